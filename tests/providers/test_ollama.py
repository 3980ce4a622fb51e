"""OpenAI's chats in Ollama's words and back, without a server."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.tally import Tally
from gateway.errors import (
    ContextExceeded,
    InvalidResponse,
    ModelGone,
    Overloaded,
    Rejected,
    ServerFault,
    UpstreamError,
)
from gateway.providers.ollama import LARGEST_WINDOW, Ollama, native_body, window
from gateway.providers.port import ServedModel
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, ChatRequest, Chunk, Deployment

BACKEND = Backend("den", "ollama", "http://127.0.0.1:11434")
ASK = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
TIME = {"type": "function", "function": {"name": "time", "parameters": {}}}
PIXEL = "iVBORw0KGgo="
MADE = "2026-11-24T10:00:00.123456789Z"
UNIX = 1795514400

TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
CALLS = st.lists(
    st.tuples(TEXT, TEXT, st.dictionaries(TEXT, JSON, max_size=4)),
    min_size=1,
    max_size=4,
    unique_by=lambda call: call[0],
)


def provider(url: str = BACKEND.url) -> Ollama:
    return Ollama(Backend("den", "ollama", url), PooledTransport(keepalive=30))


def deployment(context: int | None = 131_072) -> Deployment:
    return Deployment("den/llama", "den", "llama", "llama3.1:8b", "ollama", "self_hosted", context=context)


def asking(messages: Any = ASK, prompt_tokens: int = 10, **body: Any) -> ChatRequest:
    return ChatRequest(
        id="r1",
        model="llama",
        body={"model": "llama", "messages": messages, **body},
        stream=bool(body.get("stream")),
        prompt_tokens=prompt_tokens,
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
    )


def sent(messages: Any = ASK, **body: Any) -> dict[str, Any]:
    return native_body(asking(messages, **body), deployment())


def options(**body: Any) -> dict[str, Any]:
    """What is sent as options beside the window, which is always there."""
    found: dict[str, Any] = sent(**body)["options"]
    assert found.pop("num_ctx") == 4096
    return found


def said(content: str = "", done: bool = False, **more: Any) -> dict[str, Any]:
    names = ("thinking", "tool_calls", "images")
    message = {"role": "assistant", "content": content} | {name: more.pop(name) for name in names if name in more}
    return {"model": "llama3.1:8b", "created_at": MADE, "message": message, "done": done, **more}


def ended(content: str = "", **more: Any) -> dict[str, Any]:
    return said(content, done=True, **{"done_reason": "stop", "prompt_eval_count": 7, "eval_count": 3, **more})


def call(name: str, arguments: object, **more: Any) -> dict[str, Any]:
    return {**more, "function": {"name": name, "arguments": arguments}}


def streamed(*lines: object, request: ChatRequest | None = None) -> list[Chunk]:
    """The chunks of a stream that ends in good order."""
    decoder = provider().decoder(request or asking(stream=True), deployment())
    text = b"".join((line if isinstance(line, bytes) else orjson.dumps(line)) + b"\n" for line in lines)
    chunks = decoder.feed(text)
    if decoder.failure is not None:
        raise decoder.failure
    assert decoder.done
    return chunks


def whole(answer: object, request: ChatRequest | None = None) -> dict[str, Any]:
    return provider().completion(orjson.dumps(answer), request or asking()).body


# The request


def test_a_request_has_the_deployments_id_and_goes_to_the_native_api() -> None:
    request = asking(stream=True)
    made = provider().call(request, deployment())
    body = orjson.loads(made.body)
    assert (made.method, made.url) == ("POST", "http://127.0.0.1:11434/api/chat")
    assert (body["model"], body["stream"], body["messages"]) == ("llama3.1:8b", True, ASK)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/api"])
def test_an_address_may_end_in_any_of_its_apis(suffix: str) -> None:
    assert provider(f"http://den:11434{suffix}").chat_url == "http://den:11434/api/chat"


def test_without_an_address_it_is_the_one_on_this_machine() -> None:
    assert provider("").chat_url == "http://127.0.0.1:11434/api/chat"


def test_a_request_without_more_says_nothing_more() -> None:
    assert sent().keys() == {"model", "messages", "stream", "options", "truncate", "shift"}
    assert options() == {}


def test_a_prompt_is_never_cut_in_silence() -> None:
    assert (sent()["truncate"], sent()["shift"]) == (False, False)


def test_sampling_parameters_become_options() -> None:
    same = {
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 40,
        "min_p": 0.1,
        "typical_p": 0.7,
        "seed": 3,
        "repeat_penalty": 1.1,
        "repeat_last_n": 64,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
    }
    assert options(**same) == same


def test_parameters_with_another_name_or_shape_are_translated() -> None:
    assert options(stop="x") == {"stop": ["x"]}
    assert options(stop=["x", "y"]) == {"stop": ["x", "y"]}
    assert options(max_tokens=9) == {"num_predict": 9}
    assert options(max_completion_tokens=8, max_tokens=9) == {"num_predict": 8}
    assert options(repetition_penalty=1.2) == {"repeat_penalty": 1.2}


def test_zero_is_a_value_and_null_is_none() -> None:
    assert options(temperature=0, seed=0, top_p=None, stop=None, max_tokens=None) == {"temperature": 0, "seed": 0}


def test_what_ollama_does_not_know_or_callers_must_not_set_is_left_out() -> None:
    assert (
        options(n=2, logit_bias={"1": 2}, user="me", num_ctx=9, num_gpu=1, num_thread=64, options={"num_ctx": 9}) == {}
    )
    assert sent(n=2, tool_choice="auto", logprobs=True, stream_options={}, options={}).keys() == sent().keys()


@pytest.mark.parametrize(
    ("prompt", "output", "context", "size"),
    [
        (10, None, 131_072, 4096),
        (2457, None, 131_072, 4096),  # 2457 * 1.25 + 1024 is just 4096
        (2458, None, 131_072, 8192),
        (10, 4000, 131_072, 4096),
        (10, 4096, 131_072, 8192),
        (100_000, None, 131_072, 131_072),
        (200_000, None, 131_072, 131_072),
        (10, None, 2048, 2048),
        (10_000, None, 12_000, 12_000),
        (10_000, None, None, 16_384),
    ],
)
def test_the_window_is_the_power_of_two_that_holds_prompt_and_answer(
    prompt: int, output: int | None, context: int | None, size: int
) -> None:
    assert window(asking(prompt_tokens=prompt, max_tokens=output), context) == size


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_the_window_holds_prompt_and_answer_as_far_as_the_model_does(prompt: int, output: int) -> None:
    asked = asking(prompt_tokens=prompt, max_tokens=output)
    assert window(asked, 1 << 20) >= min(1 << 20, prompt * 1.25 + output)


@given(st.integers(0, 10**6), st.integers(1, 10**6))
def test_the_window_is_bounded_where_nobody_says_what_the_model_holds(prompt: int, output: int) -> None:
    size = window(asking(prompt_tokens=prompt, max_tokens=output), None)
    assert size <= LARGEST_WINDOW == 32768
    assert size == LARGEST_WINDOW or size >= prompt * 1.25 + output


def test_formats_are_json_or_a_schema_or_none() -> None:
    assert sent(response_format={"type": "json_object"})["format"] == "json"
    wanted = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    assert sent(response_format=wanted)["format"] == SCHEMA
    assert "format" not in sent(response_format={"type": "text"})
    assert sent(response_format={"type": "json_schema"})["format"] == "json"


def test_tools_are_offered_unless_none_is_wanted() -> None:
    both = [WEATHER, TIME]
    assert sent(tools=both)["tools"] == both
    assert sent(tools=both, tool_choice="required")["tools"] == both
    assert "tools" not in sent(tools=both, tool_choice="none")
    assert "tools" not in sent(tools=[])


def test_a_named_tool_is_the_only_one_offered() -> None:
    choice = {"type": "function", "function": {"name": "time"}}
    assert sent(tools=[WEATHER, TIME], tool_choice=choice)["tools"] == [TIME]


@pytest.mark.parametrize(
    "choice", [{"type": "function"}, {"function": "time"}, {"type": "function", "function": {}}, 7]
)
def test_an_odd_choice_of_tools_leaves_all_of_them(choice: object) -> None:
    assert sent(tools=[WEATHER, "odd", TIME], tool_choice=choice)["tools"] == [WEATHER, "odd", TIME]


@pytest.mark.parametrize(
    ("asked", "think"),
    [
        ({"think": True}, True),
        ({"think": False}, False),
        ({"think": "high"}, "high"),
        ({"reasoning_effort": "low"}, "low"),
        ({"reasoning_effort": "none"}, False),
        ({"reasoning_effort": "minimal"}, "low"),
        ({"reasoning_effort": "xhigh"}, "max"),
        ({"reasoning_effort": "low", "think": False}, False),
    ],
)
def test_how_hard_to_think_is_passed_on(asked: dict[str, Any], think: object) -> None:
    assert sent(**asked)["think"] == think


def test_a_model_is_kept_loaded_as_long_as_the_caller_says_and_else_as_ollama_is_set() -> None:
    assert sent(keep_alive="10m")["keep_alive"] == "10m"
    assert sent(keep_alive=0)["keep_alive"] == 0
    assert "keep_alive" not in sent()


# The messages


def test_text_parts_are_joined_and_images_are_bare_base64() -> None:
    parts = [
        {"type": "text", "text": "What is"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "image_url", "image_url": "data:image/svg+xml,%3Csvg/%3E"},
        {"type": "text", "text": "this?"},
    ]
    (message,) = sent([{"role": "user", "content": parts}])["messages"]
    assert message == {"role": "user", "content": "What is\nthis?", "images": [PIXEL, "PHN2Zy8+"]}


def test_roles_that_ollama_does_not_know_have_its_names() -> None:
    turns = [{"role": "developer", "content": "Be short."}, {"role": "function", "name": "time", "content": "noon"}]
    assert sent(turns)["messages"] == [
        {"role": "system", "content": "Be short."},
        {"role": "tool", "content": "noon", "tool_name": "time"},
    ]


def test_a_tools_result_has_the_name_of_the_tool_that_was_called() -> None:
    calls = [
        {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Paris"}'}},
        {"id": "b", "type": "function", "function": {"name": "time", "arguments": ""}},
    ]
    turns = [
        {"role": "assistant", "content": None, "tool_calls": calls},
        {"role": "tool", "tool_call_id": "b", "content": "noon"},
        {"role": "tool", "tool_call_id": "a", "content": "mild"},
        {"role": "tool", "tool_call_id": "c", "content": "lost"},
    ]
    assert sent(turns)["messages"] == [
        {"role": "assistant", "content": "", "tool_calls": [
            call("weather", {"city": "Paris"}, id="a"), call("time", {}, id="b"),
        ]},
        {"role": "tool", "content": "noon", "tool_name": "time", "tool_call_id": "b"},
        {"role": "tool", "content": "mild", "tool_name": "weather", "tool_call_id": "a"},
        {"role": "tool", "content": "lost", "tool_call_id": "c"},
    ]  # fmt: skip


def test_earlier_thoughts_go_along() -> None:
    turns = [{"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}]
    assert sent(turns)["messages"] == [{"role": "assistant", "content": "4", "thinking": "2 + 2"}]


@pytest.mark.parametrize(
    "message",
    [
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}]},
        {"role": "user", "content": [{"type": "image_url"}]},
        {"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]},
        {"role": "user", "content": ["odd"]},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{"}}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "[]"}}]},
        {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": 7}}]},
        {"role": "assistant", "tool_calls": [{"id": "a"}]},
        {"role": "assistant", "tool_calls": ["odd"]},
        {"role": "assistant", "tool_calls": 7},
    ],
)
def test_what_has_no_words_in_ollamas_api_is_refused_and_may_go_elsewhere(message: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match=r"^Backend 'den' cannot be sent ") as caught:
        sent([message])
    assert (caught.value.elsewhere, caught.value.verdict, caught.value.param) == (True, "neutral", "messages")


# The answer in one piece


def test_an_answer_is_openais() -> None:
    assert whole(ended("Hi")) == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": UNIX,
        "model": "llama3.1:8b",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


def test_an_answer_and_its_bytes_are_the_same() -> None:
    chunk = provider().completion(orjson.dumps(ended("Hi")), asking())
    assert orjson.loads(chunk.data) == chunk.body


def test_an_answer_of_calls_has_no_content_and_says_so() -> None:
    answer = ended(tool_calls=[call("weather", {"city": "Paris"}, id="a"), call("time", {})])
    (choice,) = whole(answer)["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Paris"}'}},
            {"id": "call_r1_1", "type": "function", "function": {"name": "time", "arguments": "{}"}},
        ],
    }


def test_an_answer_without_text_has_an_empty_one_and_thoughts_beside_it() -> None:
    (choice,) = whole(ended(thinking="Hm."))["choices"]
    assert choice["message"] == {"role": "assistant", "content": "", "reasoning_content": "Hm."}


@pytest.mark.parametrize(
    ("reason", "calls", "finish"),
    [("stop", [], "stop"), ("length", [], "length"), ("stop", [call("f", {})], "tool_calls"),
     ("length", [call("f", {})], "length"), ("unload", [], "stop")],
)  # fmt: skip
def test_the_reason_for_the_end_is_openais(reason: str, calls: list[Any], finish: str) -> None:
    (choice,) = whole(ended("x", done_reason=reason, tool_calls=calls))["choices"]
    assert choice["finish_reason"] == finish
    *_, last, _ = streamed(ended("x", done_reason=reason, tool_calls=calls))
    assert last.body["choices"][0]["finish_reason"] == finish


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ({"prompt_eval_count": 7, "eval_count": 3}, (7, 3)),
        ({"eval_count": 3}, (10, 3)),
        ({"prompt_eval_count": 7}, (7, 0)),
        ({"prompt_eval_count": "7", "eval_count": 3}, (10, 3)),
        ({}, None),
    ],
)
def test_usage_is_as_ollama_counts_or_estimated_or_not_there(
    counts: dict[str, Any], usage: tuple[int, int] | None
) -> None:
    answer = said("Hi", done=True, done_reason="stop", **counts)
    tally = Tally()
    for chunk in streamed(answer):
        tally.add(chunk.body)
    found = whole(answer).get("usage")
    if usage is None:
        assert (found, tally.usage) == (None, None)
    else:
        assert found is not None
        assert (found["prompt_tokens"], found["completion_tokens"], found["total_tokens"]) == (*usage, sum(usage))
        assert tally.usage is not None and tally.usage[:2] == usage


@pytest.mark.parametrize(
    "answer",
    [b"", b"{", b"[]", b"{}", b'{"done": true}', b'{"message": "x", "done": true}', orjson.dumps(said("unfinished")),
     orjson.dumps(ended(tool_calls=[{}])), orjson.dumps(ended(thinking=7)), b"<html></html>"],
)  # fmt: skip
def test_what_is_no_answer_is_an_invalid_response(answer: bytes) -> None:
    with pytest.raises(InvalidResponse):
        provider().completion(answer, asking())


def test_a_time_that_is_none_is_the_beginning_of_time() -> None:
    assert whole({**ended("Hi"), "created_at": "now"})["created"] == 0


# The stream


def test_a_stream_is_openais() -> None:
    chunks = [chunk.body for chunk in streamed(said("Hel"), said("lo"), ended())]
    head = {"id": "chatcmpl-r1", "object": "chat.completion.chunk", "created": UNIX, "model": "llama3.1:8b"}

    def piece(delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}

    assert chunks == [
        piece({"role": "assistant", "content": "Hel"}),
        piece({"content": "lo"}),
        piece({}, "stop"),
        {**head, "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}},
    ]


def test_chunks_and_their_bytes_are_the_same() -> None:
    for chunk in streamed(said("Hel"), said(thinking="Hm."), ended()):
        assert orjson.loads(chunk.data) == chunk.body


def test_all_chunks_have_the_head_of_the_first() -> None:
    later = {"created_at": "2026-11-24T10:00:59Z", "model": "other"}
    heads = {
        orjson.dumps({**chunk.body, "choices": 0, "usage": 0}) for chunk in streamed(said("a"), {**ended(), **later})
    }
    assert len(heads) == 1


def test_lines_that_add_nothing_make_no_chunk() -> None:
    assert len(streamed(said(), said("a"), said(), ended())) == 3


def test_an_answer_of_nothing_still_has_a_role_and_an_end() -> None:
    end, usage = streamed(ended())
    assert end.body["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert usage.body["choices"] == []


def test_text_in_the_last_line_is_not_lost() -> None:
    end, _ = streamed(ended("Hi"))
    assert end.body["choices"][0] == {
        "index": 0, "delta": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop",
    }  # fmt: skip


def test_thoughts_are_reasoning_content() -> None:
    first, *_ = streamed(said(thinking="Hm."), said("Hi"), ended())
    assert first.body["choices"][0]["delta"] == {"role": "assistant", "content": "", "reasoning_content": "Hm."}


def test_calls_of_several_lines_are_numbered_through() -> None:
    lines = (
        said(tool_calls=[call("a", {}, id="x"), call("b", {})]),
        said(tool_calls=[{"function": {"index": 0, "name": "c", "arguments": {"d": 1}}}]),
    )
    deltas = [chunk.body["choices"][0]["delta"] for chunk in streamed(*lines, ended())[:2]]
    assert [(part["index"], part["id"], part["function"]) for delta in deltas for part in delta["tool_calls"]] == [
        (0, "x", {"name": "a", "arguments": "{}"}),
        (1, "call_r1_1", {"name": "b", "arguments": "{}"}),
        (2, "call_r1_2", {"name": "c", "arguments": '{"d":1}'}),
    ]


def test_nothing_after_the_last_line_is_read() -> None:
    assert len(streamed(ended("a"), said("b"), b"nonsense")) == 2


@given(st.data())
def test_any_cut_of_a_stream_gives_the_same_chunks(data: st.DataObject) -> None:
    lines = (said("🦙 "), said(tool_calls=[call("f", {"ä": 1})]), ended())
    text = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=8)))
    decoder = provider().decoder(asking(stream=True), deployment())
    parts = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    assert [chunk for part in parts for chunk in decoder.feed(part)] == streamed(*lines)


@pytest.mark.parametrize(
    "nonsense", [b"{", b"[]", b"{}", b'{"message": 1}', b'{"message": {"tool_calls": [{"function": {}}]}}', b"\xff"]
)
def test_one_malformed_line_is_skipped_and_a_second_is_an_invalid_response(nonsense: bytes) -> None:
    assert len(streamed(said("a"), nonsense, said("b"), ended())) == 4
    with pytest.raises(InvalidResponse):
        streamed(said("a"), nonsense, nonsense, ended())


@pytest.mark.parametrize(
    ("words", "meaning"),
    [
        ("an error was encountered while running the model: CUDA error", ServerFault),
        ("server busy, please try again.  maximum pending requests exceeded", Overloaded),
        ("model 'llama3.1:8b' not found", ModelGone),
        ("the input length exceeds the context length", ContextExceeded),
        ({"message": "odd"}, ServerFault),
    ],
)
def test_an_error_under_status_200_has_the_meaning_of_its_words(words: object, meaning: type[UpstreamError]) -> None:
    decoder = provider().decoder(asking(stream=True), deployment())
    chunks = decoder.feed(orjson.dumps(said("Hel")) + b"\n" + orjson.dumps({"error": words}) + b"\n")
    assert len(chunks) == 1
    assert type(decoder.failure) is meaning
    with pytest.raises(meaning):
        whole({"error": words})


# Round trip


@given(CALLS)
def test_calls_come_back_from_ollama_as_they_went_there(calls: list[tuple[str, str, dict[str, Any]]]) -> None:
    openai = [
        {"id": id, "type": "function", "function": {"name": name, "arguments": orjson.dumps(arguments).decode()}}
        for id, name, arguments in calls
    ]
    (message,) = sent([{"role": "assistant", "content": None, "tool_calls": openai}])["messages"]
    assert whole(ended(tool_calls=message["tool_calls"]))["choices"][0]["message"]["tool_calls"] == openai
    chunks = streamed(*(said(tool_calls=[each]) for each in message["tool_calls"]), ended())
    deltas = [chunk.body["choices"][0]["delta"] for chunk in chunks[:-2]]
    parts = [part for delta in deltas for part in delta["tool_calls"]]
    assert [{name: value for name, value in part.items() if name != "index"} for part in parts] == openai
    assert [part["index"] for part in parts] == list(range(len(openai)))


# The models


def test_models_are_those_on_its_disk() -> None:
    listed = provider().models_listed(b'{"models": [{"name": "llama3.1:8b", "model": "x"}, {"size": 1}, 7]}')
    assert listed == [ServedModel("llama3.1:8b")]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"models": {}}'])
def test_a_list_of_models_of_another_shape_is_an_invalid_response(body: bytes) -> None:
    with pytest.raises(InvalidResponse, match="list of models"):
        provider().models_listed(body)
