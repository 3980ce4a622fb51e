"""What is sent to hosts of OpenAI's API, and what is made of their streams, without a server."""

from typing import Any

import orjson
import pytest

from gateway.errors import InvalidResponse, ServerFault, UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.groq import Groq
from gateway.providers.llama_cpp import LlamaCpp
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.providers.port import ServedModel
from gateway.providers.together import Together
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, ChatRequest, Deployment

BACKEND = Backend("main", "openai_compatible", "http://127.0.0.1:8000", api_key="k")
DEPLOYMENT = Deployment("main/llama", "main", "llama", "llama-3.1-8b", "openai_compatible", "hosted")
HI = {"choices": [{"index": 0, "delta": {"content": "Hi"}, "finish_reason": None}]}
END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def provider(kind: type[OpenAICompatible] = OpenAICompatible, **backend: Any) -> OpenAICompatible:
    made = {"name": "main", "kind": "openai_compatible", "url": BACKEND.url, **backend}
    return kind(Backend(**made), PooledTransport(keepalive=3))


def asking(stream: bool = False, **more: Any) -> ChatRequest:
    return ChatRequest("r1", "llama", {"model": "llama", "messages": [], **more}, stream)


def sent(kind: type[OpenAICompatible] = OpenAICompatible, stream: bool = False, **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = orjson.loads(provider(kind).call(asking(stream, **more), DEPLOYMENT).body)
    return body


def decoder(kind: type[OpenAICompatible] = OpenAICompatible) -> Decoder:
    return provider(kind).decoder(asking(stream=True), DEPLOYMENT)


def events(*bodies: object) -> bytes:
    return b"".join(b"data: %b\n\n" % (body if isinstance(body, bytes) else orjson.dumps(body)) for body in bodies)


@pytest.mark.parametrize(
    "url", ["http://host/base", "http://host/base/", "http://host/base/v1", "http://host/base/v1/"]
)
def test_an_address_may_end_in_its_version(url: str) -> None:
    made = provider(url=url)
    assert made.chat_url == "http://host/base/v1/chat/completions"
    assert made.models_url == "http://host/base/v1/models"


def test_headers_of_the_policy_come_over_ours() -> None:
    made = provider(api_key="k", headers={"Authorization": "Key other", "X-Team": "search"})
    assert made.headers["authorization"] == "Key other"
    assert made.headers["x-team"] == "search"


def test_unknown_fields_go_along_and_the_deployments_id_replaces_the_model() -> None:
    assert sent(top_k=4, structured_outputs={}) == {
        "model": "llama-3.1-8b", "messages": [], "top_k": 4, "structured_outputs": {},
    }  # fmt: skip


def test_the_callers_body_is_left_as_it_is() -> None:
    request = asking(stream=True, max_completion_tokens=5, stream_options={"include_usage": False})
    before = orjson.dumps(request.body)
    provider().call(request, DEPLOYMENT)
    assert orjson.dumps(request.body) == before


def test_a_limit_has_its_older_name_and_usage_is_always_asked_for() -> None:
    body = sent(stream=True, max_completion_tokens=5, max_tokens=6, stream_options={"x": 1})
    assert body["max_tokens"] == 5 and "max_completion_tokens" not in body
    assert body["stream_options"] == {"x": 1, "include_usage": True}


def test_llama_cpp_gets_only_the_tool_that_is_named_and_none_if_none_is_wanted() -> None:
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    named = sent(LlamaCpp, tools=tools, tool_choice={"type": "function", "function": {"name": "b"}})
    assert (named["tools"], named["tool_choice"]) == ([tools[1]], "required")
    assert "tools" not in sent(LlamaCpp, tools=tools, tool_choice="none")
    assert sent(LlamaCpp, tools=tools)["tools"] == tools


def test_chunks_are_the_bytes_that_came() -> None:
    text = b'{ "choices" : [ ] , "extra": 1 }'
    (chunk,) = decoder().feed(events(text))
    assert (chunk.data, chunk.body) == (text, {"choices": [], "extra": 1})


def test_a_chunk_of_several_lines_is_written_in_one() -> None:
    (chunk,) = decoder().feed(b'data: {"choices":\ndata: []}\n\n')
    assert chunk.data == b'{"choices":[]}'


def test_nothing_after_done_is_read() -> None:
    made = decoder()
    assert len(made.feed(events(HI, END, b"[DONE]", HI))) == 2
    assert made.done


@pytest.mark.parametrize(
    "nonsense", [b"{", b"[]", b"7", b"{}", b'{"choices": null}', b'{"choices": [1]}', b'{"error": null}', b"\xff"]
)
def test_one_malformed_event_is_skipped_and_a_second_ends_the_stream(nonsense: bytes) -> None:
    made = decoder()
    assert len(made.feed(events(HI, nonsense, END))) == 2
    assert not made.failure
    assert len(made.feed(events(HI, nonsense, END))) == 1
    assert isinstance(made.failure, InvalidResponse)


def test_chunks_before_an_error_in_the_same_part_are_not_lost() -> None:
    made = decoder()
    assert len(made.feed(events(HI, {"error": {"message": "out of memory"}}))) == 1
    assert type(made.failure) is ServerFault


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"choices": []}', b'{"choices": [1]}', b"<html></html>"])
def test_what_is_no_answer_is_an_invalid_response(body: bytes) -> None:
    with pytest.raises(InvalidResponse):
        provider().completion(body, asking())


def test_an_error_under_status_200_is_an_error() -> None:
    with pytest.raises(UpstreamError):
        provider().completion(b'{"error": {"message": "odd"}, "choices": []}', asking())


def test_groqs_usage_is_at_the_top_and_nowhere_else() -> None:
    inside, both, top = decoder(Groq).feed(
        events(
            {**END, "x_groq": {"id": "req_1", "usage": {"a": 1}}},
            {**END, "usage": {"b": 2}, "x_groq": {"usage": {"a": 1}}},
            {**END, "usage": {"b": 2}, "x_groq": {}},
        )
    )
    assert [orjson.loads(chunk.data)["usage"] for chunk in (inside, both, top)] == [{"a": 1}, {"b": 2}, {"b": 2}]
    assert [orjson.loads(chunk.data)["x_groq"] for chunk in (inside, both, top)] == [{"id": "req_1"}, {}, {}]


def test_groqs_error_inside_a_chunk_ends_the_stream() -> None:
    made = decoder(Groq)
    made.feed(events({**HI, "x_groq": {"error": "over capacity"}}))
    assert type(made.failure) is ServerFault


def test_togethers_natural_end_is_stop() -> None:
    eos = {"choices": [{"index": 0, "delta": {}, "finish_reason": "eos"}]}
    (chunk,) = decoder(Together).feed(events(eos))
    assert orjson.loads(chunk.data) == END


@pytest.mark.parametrize(
    ("body", "models"),
    [
        ({"data": [{"id": "a", "max_model_len": 8}, {"id": "b"}, {"name": "c"}, 7]}, [("a", 8), ("b", None)]),
        ([{"id": "a", "context_length": 8}], [("a", 8)]),
        ({"data": []}, []),
    ],
)
def test_models_are_listed_in_either_shape(body: object, models: list[tuple[str, int | None]]) -> None:
    assert provider().models_listed(orjson.dumps(body)) == [ServedModel(*model) for model in models]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"data": {}}', b"7"])
def test_a_list_of_models_of_another_shape_is_an_invalid_response(body: bytes) -> None:
    with pytest.raises(InvalidResponse, match="list of models"):
        provider().models_listed(body)
