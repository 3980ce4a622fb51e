"""Whatever an upstream sends under status 200, every kind makes chunks of it or one of our errors."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, cast

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.demo.standins.bedrock import message
from gateway.engine.tally import Tally
from gateway.errors import InvalidResponse, Unreachable, UpstreamError
from gateway.providers.http import ANSWER_LIMIT, HttpProvider
from gateway.providers.port import HttpCall
from gateway.providers.registry import KINDS, provider_class
from gateway.providers.replicate import Replicate
from gateway.types import Backend, ChatRequest, Chunk, Deployment

HTTP = [name for name in KINDS if name not in ("litellm", "replicate")]  # the others have ways of their own
PAGE = b"<!doctype html><html><body>Welcome to nginx!</body></html>"
FRAMES = {"ollama": b"%b\n", "bedrock": b""}  # of a stream; the others have events
BIG = 1 << 20


class Said:
    """An answer of given bytes, which may have no end."""

    def __init__(self, *parts: bytes, kind: str, endless: bool = False) -> None:
        self.given, self.endless = parts, endless
        self.status = 200
        self.headers: Mapping[str, str] = {"content-type": kind}
        self.taken = 0
        self.closed = False

    async def parts(self) -> AsyncIterator[bytes]:
        while True:
            for part in self.given:
                self.taken += len(part)
                yield part
            if not self.endless:
                return

    async def read(self, limit: int) -> bytes:
        held = b""
        async for part in self.parts():
            held += part
            if len(held) > limit:
                raise InvalidResponse(f"The upstream sent an answer of more than {limit} bytes.")
        return held

    async def end(self) -> None:
        return

    def close(self) -> None:
        self.closed = True


class Given:
    """A transport that gives one answer."""

    def __init__(self, answer: Said) -> None:
        self.answer = answer

    async def send(self, call: HttpCall) -> Said:
        return self.answer

    async def close(self) -> None:
        return


async def asked(kind: str, answer: Said, stream: bool) -> list[Chunk]:
    """The chunks of an answer; raises UpstreamError. They are such that everything after can rely on them."""
    backend = Backend("main", kind, "http://127.0.0.1:9", "key-0123456789", region="us-east-1")
    provider = provider_class(kind)(backend, Given(answer))
    assert isinstance(provider, HttpProvider)
    deployment = Deployment("main/llama", "main", "llama", "meta.llama3-1-8b-instruct-v1:0", kind, "hosted")
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    source = cast("Any", provider.answer(ChatRequest("r1", "llama", body, stream), deployment))
    async with aclosing(source) as batches:
        found = [chunk async for batch in batches for chunk in batch]
    tally = Tally()
    for chunk in found:
        assert orjson.loads(chunk.data) == chunk.body
        tally.add(chunk.body)
    return found


def came(kind: str, answer: Said, stream: bool) -> list[Chunk] | UpstreamError:
    """What comes of an answer: chunks or an error; its connection is given back either way."""
    try:
        return asyncio.run(asked(kind, answer, stream))
    except UpstreamError as exc:
        return exc
    finally:
        assert answer.closed


def streamed(kind: str, data: bytes) -> bytes:
    """A piece of a stream in a kind's framing."""
    if kind == "bedrock":
        return message({":message-type": "event", ":event-type": "contentBlockDelta"}, data)
    return data + b"\n" if kind == "ollama" else b"data: " + data + b"\n\n"


CONTENT_TYPES = {"ollama": "application/x-ndjson", "bedrock": "application/vnd.amazon.eventstream"}
every_kind = pytest.mark.parametrize("kind", HTTP)


@every_kind
@pytest.mark.parametrize("stream", [False, True])
def test_a_page_is_an_invalid_response_that_names_the_backend(kind: str, stream: bool) -> None:
    for content_type in ("text/html", "text/html; charset=utf-8"):
        error = came(kind, Said(PAGE, kind=content_type), stream)
        assert type(error) is InvalidResponse and "'main'" in str(error) and "nginx" not in str(error)


@every_kind
@pytest.mark.parametrize("body", [b"", b"{", b"null", b"[]", b"{}", b'"x"', b"\xff\xfe", b"0" * 100, b"[" * 100_000])
def test_a_whole_answer_that_is_none_is_an_invalid_response(kind: str, body: bytes) -> None:
    assert type(came(kind, Said(body, kind="application/json"), False)) is InvalidResponse


@every_kind
def test_a_whole_answer_without_end_is_an_invalid_response_at_its_limit(kind: str) -> None:
    answer = Said(b" " * BIG, kind="application/json", endless=True)
    error = came(kind, answer, False)
    assert type(error) is InvalidResponse and "'main'" in str(error)
    assert answer.taken <= ANSWER_LIMIT + BIG


@every_kind
@pytest.mark.parametrize("part", [b"x" * 65536, b"data: " + b"x" * 65536, b"\x00" * 65536])
def test_a_piece_of_a_stream_without_end_is_an_invalid_response(kind: str, part: bytes) -> None:
    answer = Said(part, kind=CONTENT_TYPES.get(kind, "text/event-stream"), endless=True)
    error = came(kind, answer, True)
    assert type(error) is InvalidResponse and "'main'" in str(error)
    assert answer.taken <= 2 * BIG


@every_kind
def test_a_stream_of_nonsense_is_an_invalid_response(kind: str) -> None:
    answer = Said(streamed(kind, b"{"), kind=CONTENT_TYPES.get(kind, "text/event-stream"), endless=True)
    error = came(kind, answer, True)
    assert type(error) is InvalidResponse and "'main'" in str(error)


def test_a_wrong_checksum_ends_a_stream_of_bedrock() -> None:
    event = streamed("bedrock", b"{}")
    for place in (9, len(event) - 1):  # in the prelude's and in the message's
        damaged = event[:place] + bytes([event[place] ^ 1]) + event[place + 1 :]
        error = came("bedrock", Said(event, damaged, kind=CONTENT_TYPES["bedrock"]), True)
        assert type(error) is InvalidResponse and "damaged" in str(error)


NAMES = (
    *("choices", "index", "message", "delta", "role", "content", "tool_calls", "function", "name", "arguments", "id"),
    *("finish_reason", "usage", "prompt_tokens", "completion_tokens", "model", "error", "code", "x_groq", "done"),
    *("done_reason", "created_at", "eval_count", "thinking", "output", "stopReason", "text", "toolUse", "toolUseId"),
    *("input", "start", "contentBlockIndex", "inputTokens", "outputTokens", "reasoningContent", "status_code"),
)
SCALARS = st.none() | st.booleans() | st.integers(-3, 600) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | st.sampled_from(["", "x", "stop", "eos", "end_turn", "abort", "429"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)
CALLS = [{"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
PIECE = {"role": "assistant", "content": "Hi", "tool_calls": CALLS}
CHOICE = {"index": 0, "message": PIECE, "delta": PIECE, "finish_reason": "stop"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "inputTokens": 1, "outputTokens": 2}
BLOCK = {"text": "Hi", "toolUse": {"toolUseId": "t", "name": "f", "input": {}}, "reasoningContent": {}}
SOUND: dict[str, Any] = {  # what each kind finds something of its own in
    "model": "m",
    "choices": [CHOICE],
    "usage": USAGE,
    "x_groq": {"usage": USAGE},
    "message": {**PIECE, "thinking": "Hm", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]},
    "done": True,
    "done_reason": "stop",
    "created_at": "2026-01-01T00:00:00Z",
    "eval_count": 3,
    "output": {"message": {"role": "assistant", "content": [BLOCK]}},
    "stopReason": "end_turn",
    "contentBlockIndex": 0,
    "start": BLOCK,
    "delta": BLOCK,
}


@st.composite
def spoiled(draw: st.DrawFn, sound: dict[str, Any]) -> bytes:
    """A sound answer with something else in one place or a few."""
    body = orjson.loads(orjson.dumps(sound))
    for _ in range(draw(st.integers(0, 3))):
        node: Any = body
        while True:
            keys: list[Any] = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            inner = node[key]
            if not isinstance(inner, dict | list) or not inner or draw(st.booleans()):
                node[key] = draw(JSON)
                break
            node = inner
    return orjson.dumps(body)


@every_kind
@settings(max_examples=150)
@given(bodies=st.lists(spoiled(SOUND) | JSON.map(orjson.dumps), min_size=1, max_size=3))
def test_json_of_any_shape_is_an_answer_or_an_error(kind: str, bodies: list[bytes]) -> None:
    came(kind, Said(bodies[0], kind="application/json"), False)
    came(kind, Said(bodies[0], kind="application/json"), True)
    stream = b"".join(streamed(kind, body) for body in bodies)
    came(kind, Said(stream, kind=CONTENT_TYPES.get(kind, "text/event-stream")), True)


@every_kind
@given(data=st.binary(max_size=120))
def test_bytes_of_any_kind_are_an_answer_or_an_error(kind: str, data: bytes) -> None:
    came(kind, Said(data, kind=CONTENT_TYPES.get(kind, "text/event-stream")), True)
    came(kind, Said(data, kind="application/json"), False)
    came(kind, Said(streamed(kind, data), kind=CONTENT_TYPES.get(kind, "text/event-stream")), True)


PREDICTION: dict[str, Any] = {
    "id": "p1",
    "status": "succeeded",
    "output": ["Hi"],
    "input": {"max_tokens": 3},
    "metrics": {"input_token_count": 1, "output_token_count": 2},
    "created_at": "2026-01-01T00:00:00Z",
    "urls": {"stream": "http://127.0.0.1:9/s"},
}


async def predicted(answer: Said, stream: bool) -> list[Chunk]:
    """What Replicate makes of an answer that all its calls get; raises UpstreamError."""

    async def sleep(seconds: float) -> None:
        raise Unreachable("The upstream is not looked at again.")

    backend = Backend("main", "replicate", "http://127.0.0.1:9", "key-0123456789")
    provider = Replicate(backend, Given(answer), sleep)
    deployment = Deployment("main/llama", "main", "llama", "meta/meta-llama-3-8b-instruct", "replicate", "hosted")
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    source = cast("Any", provider.answer(ChatRequest("r1", "llama", body, stream), deployment))
    async with aclosing(source) as batches:
        return [chunk async for batch in batches for chunk in batch]


@pytest.mark.parametrize("stream", [False, True])
@given(body=spoiled(PREDICTION) | JSON.map(orjson.dumps) | st.binary(max_size=40))
def test_a_prediction_of_any_shape_is_an_answer_or_an_error(stream: bool, body: bytes) -> None:
    try:
        found = asyncio.run(predicted(Said(body, kind="application/json"), stream))
    except UpstreamError as exc:
        assert "'main'" in str(exc)
        return
    assert all(orjson.loads(chunk.data) == chunk.body for chunk in found)


@every_kind
@given(body=JSON.map(orjson.dumps) | st.binary(max_size=40))
def test_a_list_of_models_of_any_shape_is_one_or_an_error(kind: str, body: bytes) -> None:
    backend = Backend("main", kind, "http://127.0.0.1:9", "key-0123456789", region="us-east-1")
    provider = provider_class(kind)(backend, Given(Said(body, kind="application/json")))
    try:
        found = asyncio.run(cast("Any", provider.models()))
    except UpstreamError:
        return
    assert all(isinstance(model.id, str) for model in found)
