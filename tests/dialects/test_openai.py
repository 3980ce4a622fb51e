"""OpenAI's requests in, answers, streams and errors out."""

from typing import Any

import openai as sdk
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.shared import ErrorObject

from gateway import errors
from gateway.dialects import openai
from gateway.errors import GatewayError, InvalidRequest
from gateway.types import CacheControl, Caller, ChatRequest, Chunk, Json

HELLO = [{"role": "user", "content": "Hello"}]
PIXEL = "data:image/png;base64,iVBORw0KGgo="


def body(**fields: Any) -> Json:
    return {"model": "llama-3.3-70b-instruct", "messages": HELLO, **fields}


def decode(raw: bytes) -> ChatRequest:
    return openai.chat_request(raw, "req_1", {}, Caller("search"), CacheControl(), 10.0, 20.0)


def parsed(**fields: Any) -> ChatRequest:
    return decode(orjson.dumps(body(**fields)))


def refused(raw: bytes) -> InvalidRequest:
    with pytest.raises(InvalidRequest) as caught:
        decode(raw)
    return caught.value


def user(content: Any) -> Json:
    return {"messages": [{"role": "user", "content": content}]}


def chunk(body: Json) -> Chunk:
    return Chunk(orjson.dumps(body), body)


def test_request_has_what_routing_reads() -> None:
    found = parsed(stream=True, stream_options={"include_usage": True}, max_tokens=50)
    assert (found.id, found.model, found.caller, found.deadline) == (
        "req_1",
        "llama-3.3-70b-instruct",
        Caller("search"),
        20.0,
    )
    assert (found.stream, found.include_usage, found.max_tokens, found.needs) == (True, True, 50, frozenset())


def test_newer_name_of_the_token_limit_wins() -> None:
    assert parsed(max_completion_tokens=10, max_tokens=50).max_tokens == 10
    assert parsed().max_tokens is None


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"stream_options": {"include_usage": True}},
        {"stream": True},
        {"stream": True, "stream_options": {}},
        {"stream": True, "stream_options": None},
    ],
)
def test_usage_in_the_stream_is_given_only_when_asked_for(fields: Json) -> None:
    assert not parsed(**fields).include_usage


def test_unknown_fields_survive() -> None:
    extra = {"repetition_penalty": 1.1, "guided_json": {"a": [1, {"b": None}]}, "vllm_xargs": {"x": "ü"}}
    assert parsed(**extra).body == body(**extra)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"model": ""}, "model"),
        ({"model": ["a"]}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "Hello"}, "messages"),
        ({"messages": HELLO * 2049}, "messages"),
        ({"messages": {"role": "user"}}, "messages"),
        ({"messages": ["Hello"]}, "messages[0]"),
        ({"messages": [*HELLO, {"content": "x"}]}, "messages[1]"),
        ({"messages": [{"role": 5}]}, "messages[0]"),
        ({"messages": [None]}, "messages[0]"),
        (user(5), "messages[0].content"),
        (user({"text": "x"}), "messages[0].content"),
        (user(["x"]), "messages[0].content[0]"),
        (user([{"type": "text", "text": "x"}, 5]), "messages[0].content[1]"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"stream_options": []}, "stream_options"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": -1}, "max_completion_tokens"),
        ({"n": 5}, "n"),
        ({"n": 0}, "n"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"top_p": 1.1}, "top_p"),
        ({"logprobs": 5}, "logprobs"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"tools": {}}, "tools"),
        ({"tools": [{}] * 129}, "tools"),
        ({"response_format": "json"}, "response_format"),
        ({"metadata": "x"}, "metadata"),
        ({"stop": ["x"] * 9}, "stop"),
    ],
)
def test_wrong_field_is_named(fields: Json, param: str) -> None:
    error = refused(orjson.dumps(body(**fields)))
    assert (error.status, error.param) == (400, param)
    assert param in error.message


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"\xef\xbb\xbf{}",
        b"null",
        b"[]",
        b"5",
        b'"text"',
        b"true",
        b"{",
        b'{"model":',
        b"{}x",
        b"\xff\xfe",
        b'{"model": NaN}',
        b'{"model": Infinity}',
        b'{"model": "\\ud800"}',
        b'{"model": "\xed\xa0\x80"}',
        b"{'model': 1}",
        b'{"a": 1e400}',
        b"model=llama",
        b"{" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
    ids=lambda raw: repr(raw[:16]),
)
def test_what_is_no_json_object_is_refused_in_a_sentence(raw: bytes) -> None:
    error = refused(raw)
    assert error.status == 400
    assert error.message.startswith("The body")
    assert len(error.message) < 300


def test_nesting_that_the_parser_bears_is_still_too_deep() -> None:
    deep: Any = []
    for _ in range(200):
        deep = [deep]
    assert "deeper than 64 levels" in refused(orjson.dumps(body(metadata={"a": deep}))).message


def test_too_many_lists_are_refused() -> None:
    assert "lists and objects" in refused(orjson.dumps(body(metadata={"a": [[]] * 30_000}))).message


def test_million_keys_are_read() -> None:
    raw = orjson.dumps(body(metadata={str(key): 0 for key in range(10**6)}))
    assert decode(raw).body["metadata"]["999999"] == 0


def test_last_of_duplicate_keys_counts_for_us_and_for_the_upstream() -> None:
    found = decode(b'{"model": "a", "model": "b", "messages": [{"role": "user", "content": "x"}]}')
    assert (found.model, found.body["model"]) == ("b", "b")


def test_null_is_the_same_as_leaving_a_field_out() -> None:
    found = parsed(temperature=None, max_tokens=None, tools=None, stream=None, stop=None, response_format=None)
    assert (found.max_tokens, found.stream, found.needs) == (None, False, frozenset())


TOOLS = [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({}, set()),
        ({"tools": []}, set()),
        ({"tools": TOOLS}, {"tools"}),
        ({"tools": TOOLS, "tool_choice": "auto"}, {"tools"}),
        ({"tools": TOOLS, "tool_choice": "none"}, {"tools"}),
        ({"tools": TOOLS, "tool_choice": "required"}, {"tools", "tool_choice"}),
        ({"tools": TOOLS, "tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tools", "tool_choice"}),
        ({"tool_choice": "required"}, set()),
        ({"response_format": {"type": "text"}}, set()),
        ({"response_format": {"type": "json_schema"}}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, {"json_object"}),
        ({"response_format": {"type": ["json_object"]}}, set()),
        ({"n": None}, set()),
        ({"n": 1}, set()),
        ({"n": 2}, {"n"}),
        ({"logprobs": True}, {"logprobs"}),
        (user([{"type": "image_url", "image_url": {"url": PIXEL}}]), {"vision"}),
    ],
)
def test_needs_are_what_a_deployment_must_be_able_to_do(fields: Json, needs: set[str]) -> None:
    assert parsed(**fields).needs == needs


@pytest.mark.parametrize("image", [{"url": PIXEL}, {"url": PIXEL, "detail": "low"}, PIXEL])
def test_image_within_the_request_is_taken(image: Any) -> None:
    assert "vision" in parsed(**user([{"type": "image_url", "image_url": image}])).needs


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/a.png",
        "https://169.254.169.254/",
        "file:///etc/passwd",
        "//x",
        "",
        " data:x",
        None,
        5,
        ["data:"],
        {"url": "data:"},
    ],
)
def test_image_elsewhere_is_refused(url: Any) -> None:
    error = refused(orjson.dumps(body(**user([{"type": "text"}, {"type": "image_url", "image_url": {"url": url}}]))))
    assert error.param == "messages[0].content[1]"
    assert "data: URL" in error.message


@pytest.mark.parametrize(
    "part",
    [
        {"image_url": {"url": "http://169.254.169.254/"}},
        {"image_url": "http://169.254.169.254/"},
        {"type": None, "image_url": {"url": "http://169.254.169.254/"}},
        {"type": "input_image", "image_url": "http://169.254.169.254/"},
        {"type": "video_url", "video_url": {"url": "http://169.254.169.254/"}},
        {"type": "audio_url", "audio_url": {"url": "http://169.254.169.254/"}},
        {"type": "image", "image": "http://169.254.169.254/"},
        {"video_url": "http://169.254.169.254/"},
    ],
    ids=lambda part: "-".join(map(str, part)),
)
def test_no_kind_of_part_sends_an_upstream_out_to_an_address(part: Json) -> None:
    refused(orjson.dumps(body(**user([part]))))


def test_prompt_is_estimated_from_text_tools_and_images() -> None:
    assert parsed(messages=[{"role": "user", "content": "x" * 400}]).prompt_tokens == 104
    assert parsed(messages=[{"role": "user", "content": None}] * 2).prompt_tokens == 8
    parts = [{"type": "text", "text": "x" * 400}, {"type": "image_url", "image_url": {"url": PIXEL}}, {"type": "odd"}]
    assert parsed(**user(parts)).prompt_tokens == 104 + openai.IMAGE_TOKENS
    tools = [{"type": "function", "function": {"name": "f" * 400}}]
    assert parsed(tools=tools).prompt_tokens > 100


CHAT: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["user", "image_url", "http://x", PIXEL, ""]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["role", "content", "type", "text", "image_url", "url"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from([field.name for field in openai.FIELDS] + ["stop"]), CHAT))
def test_any_json_is_a_request_or_an_error_of_the_caller(fields: Json) -> None:
    try:
        found = parsed(**fields)
    except InvalidRequest as error:
        assert error.status == 400
    else:
        assert found.body == body(**fields)
        assert found.prompt_tokens >= 0


@given(st.binary())
def test_any_bytes_are_a_request_or_an_error_of_the_caller(raw: bytes) -> None:
    refused(raw)


CONTENT = {"id": "c", "choices": [{"index": 0, "delta": {"content": "Hi"}}], "usage": None}
USAGE = {"id": "c", "choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
BOTH = {**CONTENT, "usage": USAGE["usage"]}


def test_chunks_keep_their_bytes_as_they_came() -> None:
    odd = Chunk(b'{ "choices" : [ ] , "x" : 1 }', {"choices": [], "x": 1})
    assert openai.frames([odd, chunk(CONTENT)], False) == b"data: %b\n\ndata: %b\n\n" % (odd.data, chunk(CONTENT).data)


def test_usage_chunk_is_left_out_unless_it_was_asked_for() -> None:
    found = [chunk(CONTENT), chunk(USAGE)]
    assert openai.frames(found, False) == b"data: %b\n\n" % found[0].data
    assert openai.frames(found, True) == b"data: %b\n\ndata: %b\n\n" % (found[0].data, found[1].data)
    assert openai.frames([chunk(USAGE)], False) == b""


def test_usage_beside_content_is_taken_out_and_the_content_stays() -> None:
    frame = openai.frames([chunk(BOTH)], False)
    assert orjson.loads(frame.removeprefix(b"data: ")) == {key: CONTENT[key] for key in ("id", "choices")}
    assert openai.frames([chunk(BOTH)], True) == b"data: %b\n\n" % chunk(BOTH).data


def test_chunk_without_choices_and_usage_stays() -> None:
    early = chunk({"choices": [], "prompt_filter_results": []})
    assert openai.frames([early], False) == b"data: %b\n\n" % early.data


def every_error() -> list[type[GatewayError]]:
    found, open_ = [], [GatewayError]
    while open_:
        found.append(open_.pop())
        open_ += found[-1].__subclasses__()
    return found


@pytest.mark.parametrize("kind", every_error(), ids=lambda kind: kind.__name__)
def test_error_has_the_shape_that_the_sdk_expects(kind: type[GatewayError]) -> None:
    error = kind.__new__(kind)  # some say by themselves what they are about
    GatewayError.__init__(error, "What happened, to whom, what to do.", param="model", details={"nearest": ["a"]})
    shape = orjson.loads(openai.error_body(error, "req_1"))
    assert list(shape) == ["error"]
    judged = ErrorObject.model_validate(shape["error"], strict=True)
    assert (judged.message, judged.param, judged.type, judged.code) == (
        "What happened, to whom, what to do.",
        "model",
        kind.type,
        kind.code,
    )
    assert shape["error"]["gateway"] == {"request_id": "req_1", "nearest": ["a"]}


def test_sdk_reads_the_fields_of_our_errors() -> None:
    shape = orjson.loads(openai.error_body(errors.ModelNotFound("No.", param="model"), "req_1"))["error"]
    error = sdk.APIError("No.", None, body=shape)  # type: ignore[arg-type]  # a request that nobody looks at
    assert (error.code, error.param, error.type) == ("model_not_found", "model", "invalid_request_error")


def test_error_event_ends_a_stream_without_done() -> None:
    event = openai.error_event(errors.StreamCut("Cut."), "req_1")
    assert event.startswith(b'data: {"error":{') and event.endswith(b"\n\n")
    assert b"[DONE]" not in event
    assert event.count(b"\n") == 2


@given(st.text())
def test_any_message_is_one_event(message: str) -> None:
    text = message.encode("utf-8", "replace").decode()
    event = openai.error_event(errors.StreamCut(text), "req_1")
    assert event.count(b"\n") == 2
    assert orjson.loads(event.removeprefix(b"data: "))["error"]["message"] == text
