"""OpenAI's chats as predictions and back, without a server."""

from itertools import islice
from typing import Any

import orjson
import pytest

from gateway.errors import InvalidResponse, Rejected
from gateway.providers import replicate_prediction as translate
from gateway.types import ChatRequest, Deployment

ASK = [{"role": "user", "content": "Hello"}]
ID = "meta/meta-llama-3-8b-instruct"
STOPS = "<|end_of_text|>,<|eot_id|>"
OURS = "https://api.replicate.com/v1"
NEAR = "http://127.0.0.1:8080/v1"


def deployment(id: str = ID, model: str = "llama", **more: Any) -> Deployment:
    return Deployment("den/llama", "den", model, id, "replicate", "hosted", **more)


def asking(stream: bool = False, prompt_tokens: int = 10, **body: Any) -> ChatRequest:
    asked = {"model": "llama", "messages": ASK, **body}
    return ChatRequest("r1", "llama", asked, stream, prompt_tokens=prompt_tokens)


def given(to: Deployment | None = None, **body: Any) -> dict[str, Any]:
    """What is sent as input beside the prompt."""
    found = translate.input_of(asking(**body), to or deployment())
    return {name: value for name, value in found.items() if name not in ("prompt", "prompt_template")}


def prediction(**more: Any) -> dict[str, Any]:
    made = {"id": "abc", "model": ID, "status": "succeeded", "created_at": "2026-11-24T10:00:00.123Z"}
    return {**made, "input": {"max_tokens": 9}, "output": ["Hi", " there"], **more}


def streams_at(url: object, base: str = OURS) -> bool:
    found = translate.stream_url({"urls": {"stream": url}}, base)
    assert found in (None, url)
    return found is not None


@pytest.mark.parametrize(
    ("id", "path", "more"),
    [
        (ID, f"/models/{ID}/predictions", {}),
        (f"{ID}:5a68", "/predictions", {"version": "5a68"}),
        ("deployments/acme/llama", "/deployments/acme/llama/predictions", {}),
        ("nope?x", "/models/nope%3Fx/predictions", {}),
    ],
)
def test_models_versions_and_deployments_have_places_of_their_own(id: str, path: str, more: dict[str, str]) -> None:
    assert translate.place(id) == (path, more)


def test_a_body_holds_the_input_and_whether_it_is_to_stream() -> None:
    plain = orjson.loads(translate.body_of(asking(), deployment(), {"version": "v"}))
    streamed = orjson.loads(translate.body_of(asking(stream=True), deployment(), {}))
    assert plain.keys() == {"input", "version"} and streamed.keys() == {"input", "stream"}
    assert streamed["stream"] is True


def test_no_other_template_is_put_around_the_prompt() -> None:
    found = translate.input_of(asking(), deployment())
    assert found["prompt_template"] == "{prompt}"
    assert found["prompt"].startswith("<|begin_of_text|>") and "system_prompt" not in found


def test_llama_2_has_its_template_and_its_word_for_the_limit() -> None:
    tuned = deployment("deployments/acme/chat", "acme-7b", base="codellama-7b-instruct")
    for to in (deployment("meta/llama-2-70b-chat"), deployment("deployments/acme/chat", "llama-2-70b-chat"), tuned):
        assert translate.input_of(asking(max_tokens=5), to) == {
            "prompt": "[INST] Hello [/INST]",
            "prompt_template": "{prompt}",
            "max_new_tokens": 5,
        }


def test_sampling_parameters_have_the_same_names_and_zero_is_a_value() -> None:
    same: dict[str, Any] = {
        "temperature": 0,
        "top_p": 0.9,
        "top_k": 40,
        "seed": 0,
        "presence_penalty": 1,
        "frequency_penalty": 0.2,
    }
    assert given(**same, max_tokens=5, user="me", n=1, logprobs=None, tools=[]) == {
        **same,
        "max_tokens": 5,
        "stop_sequences": STOPS,
    }
    assert given(temperature=None, max_tokens=5) == {"max_tokens": 5, "stop_sequences": STOPS}


@pytest.mark.parametrize(("stop", "sent"), [("x", f"{STOPS},x"), (["x", "y"], f"{STOPS},x,y"), ([], STOPS)])
def test_stops_are_added_to_llamas_own(stop: object, sent: str) -> None:
    assert given(stop=stop)["stop_sequences"] == sent


def test_a_stop_with_a_comma_cannot_be_sent_and_another_may_be_asked() -> None:
    with pytest.raises(Rejected) as caught:
        given(stop=["a, b"])
    assert caught.value.elsewhere and caught.value.param == "stop"


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 2), ("tools", [{"type": "function"}]), ("response_format", {"type": "json_object"})],
)
def test_what_it_cannot_do_is_not_passed_over(name: str, value: Any) -> None:
    with pytest.raises(Rejected) as caught:
        given(**{name: value})
    assert caught.value.elsewhere and caught.value.param == name


def test_what_is_not_really_asked_for_is_passed_over() -> None:
    tool: dict[str, Any] = {"tools": [{"type": "function"}], "tool_choice": "none"}
    assert given(**tool, n=1, response_format={"type": "text"}).keys() == {"max_tokens", "stop_sequences"}


@pytest.mark.parametrize(
    ("prompt", "facts", "limit"),
    [
        (10, {}, 2048),
        (10, {"max_output": 512}, 512),
        (6000, {"context": 8192}, 692),
        (8000, {"context": 8192}, 256),
        (8000, {"context": 131_072}, 2048),
    ],
)
def test_an_answer_without_a_limit_has_what_the_context_leaves(prompt: int, facts: dict[str, Any], limit: int) -> None:
    assert translate.limit(asking(prompt_tokens=prompt), deployment(**facts)) == limit


def test_the_newer_name_of_the_limit_comes_first() -> None:
    assert given(max_completion_tokens=3, max_tokens=4)["max_tokens"] == 3


@pytest.mark.parametrize(
    "url",
    [
        "https://api.replicate.com/v1/streams/abc",
        "https://stream.replicate.com/v1/streams/abc",
        "https://streaming-api.svc.rno2.c.replicate.net/v1/streams/abc",
        "https://stream.replicate.delivery:443/abc",
    ],
)
def test_streams_at_replicates_own_hosts_are_followed(url: str) -> None:
    assert streams_at(url) and streams_at(url, NEAR)


@pytest.mark.parametrize(
    "url",
    [
        "http://stream.replicate.com/abc",
        "https://stream.replicate.com:8443/abc",
        "https://evil.example/abc",
        "https://replicate.com.evil.example/abc",
        "https://evilreplicate.com/abc",
        "https://api.replicate.com@evil.example/abc",
        "https://169.254.169.254/latest/meta-data",
        "http://127.0.0.1:8080/abc",
        "http://localhost/abc",
        "file:///etc/passwd",
        "//api.replicate.com/abc",
        "https://api.replicate.com/a b",
        "https://api.replicate.com/a\r\nx: y",
        "https://äpi.replicate.com/abc",
        "https://api.replicate.com:port/abc",
        "https://[::1/abc",
        "",
        None,
        7,
    ],
)
def test_streams_anywhere_else_are_not(url: object) -> None:
    assert not streams_at(url)


def test_a_stream_on_this_machine_is_followed_from_this_machine_only() -> None:
    for url in ("http://localhost:9/abc", "http://127.0.0.2:9/abc", "http://[::1]:9/abc", "https://127.0.0.1/abc"):
        assert streams_at(url, NEAR) and not streams_at(url, OURS)
    assert not streams_at("http://10.0.0.1/abc", NEAR)


def test_a_stream_at_the_backends_own_address_is_followed() -> None:
    assert streams_at("http://proxy.internal:8000/abc", "http://proxy.internal:8000/v1")
    assert not streams_at("http://proxy.internal:8001/abc", "http://proxy.internal:8000/v1")


@pytest.mark.parametrize("urls", [None, {}, [], "x"])
def test_without_an_address_there_is_no_stream(urls: object) -> None:
    assert translate.stream_url({"urls": urls}, OURS) is None


def test_pauses_grow_up_to_two_seconds() -> None:
    assert list(islice(translate.pauses(), 6)) == [0.5, 0.75, 1.125, 1.6875, 2.0, 2.0]


def test_a_prediction_is_a_whole_answer() -> None:
    made = prediction(metrics={"input_token_count": 7, "output_token_count": 3, "predict_time": 0.1})
    answer = translate.whole(made, asking(), "den")
    message = {"role": "assistant", "content": "Hi there"}
    assert orjson.loads(answer.data) == answer.body == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 1795514400,
        "model": ID,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }  # fmt: skip


@pytest.mark.parametrize(
    "metrics", [None, {}, {"predict_time": 1}, {"output_token_count": 3}, {"input_token_count": 3}]
)
def test_usage_that_is_not_told_is_not_made_up(metrics: object) -> None:
    assert "usage" not in translate.whole(prediction(metrics=metrics), asking(), "den").body


@pytest.mark.parametrize(
    ("asked", "used", "reason"),
    [
        ({"max_tokens": 3}, 3, "length"),
        ({"max_new_tokens": 3}, 3, "length"),
        ({"max_tokens": 4}, 3, "stop"),
        ({}, 3, "stop"),
    ],
)
def test_an_answer_as_long_as_allowed_was_cut(asked: dict[str, int], used: int, reason: str) -> None:
    made = prediction(input=asked, metrics={"output_token_count": used})
    assert translate.finish_reason(made) == reason


@pytest.mark.parametrize(("output", "text"), [("Hi", "Hi"), (["a", "b"], "ab"), ([], ""), (None, "")])
def test_an_output_is_a_text_or_pieces_of_one(output: object, text: str) -> None:
    assert translate.text_of(prediction(output=output), "den") == text


@pytest.mark.parametrize("output", [{"url": "x"}, [1], 7, [["a"]]])
def test_an_output_that_is_no_text_is_an_invalid_response(output: object) -> None:
    with pytest.raises(InvalidResponse):
        translate.text_of(prediction(output=output), "den")


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"id": "a"}', b'{"id": "a", "status": 1}', b'{"id": "a/../b", "status": "starting"}']
)
def test_what_is_no_prediction_is_an_invalid_response(body: bytes) -> None:
    with pytest.raises(InvalidResponse):
        translate.prediction(body, "den")


def test_a_stream_ends_with_its_reason_and_its_usage() -> None:
    made = prediction(metrics={"input_token_count": 7, "output_token_count": 9})
    last, usage = translate.endings(made, {"id": "x"}, begun=True)
    assert last.body["choices"] == [{"index": 0, "delta": {}, "finish_reason": "length"}]
    assert (usage.body["choices"], usage.body["usage"]["total_tokens"]) == ([], 16)


def test_a_stream_without_a_word_says_the_role_at_its_end() -> None:
    (last,) = translate.endings(prediction(), {"id": "x"}, begun=False)
    assert last.body["choices"][0]["delta"] == {"role": "assistant", "content": ""}


def test_a_prediction_that_does_not_say_when_or_what_it_is_has_what_we_know() -> None:
    assert translate.head({}, asking(), "chat.completion") == {
        "id": "chatcmpl-r1",
        "object": "chat.completion",
        "created": 0,
        "model": "llama",
    }
