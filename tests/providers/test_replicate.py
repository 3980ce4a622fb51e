"""Replicate's predictions: made, followed, looked at, and cancelled when nobody wants them any more."""

import asyncio
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from gateway.demo.standins import replicate
from gateway.demo.standins.hosted import KEY
from gateway.engine.tally import Tally
from gateway.errors import (
    BadCredentials,
    ContextExceeded,
    Disconnected,
    InvalidResponse,
    ModelGone,
    QuotaExhausted,
    RateLimited,
    Rejected,
    ServerFault,
    UpstreamError,
)
from gateway.providers.held import Held
from gateway.providers.port import HttpCall, Response, ServedModel
from gateway.providers.replicate import PATIENCE, Replicate
from gateway.types import Backend, ChatRequest, Chunk, Deployment

ID = replicate.MODELS[0]
BASE = "https://api.replicate.com/v1"
STREAM = "https://stream.replicate.com/v1/streams/abc"
FOREVER = "forever"

pytestmark = pytest.mark.asyncio
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def asking(stream: bool = False, **more: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "Tell me about llamas."}]
    body = {"model": "llama", "messages": messages, "seed": 3, "max_tokens": 32, **more}
    return ChatRequest("r1", "llama", body, stream, prompt_tokens=10, max_tokens=body["max_tokens"])


def deployment(id: str = ID) -> Deployment:
    return Deployment("main/llama", "main", "llama", id, "replicate", "hosted", context=8192)


def prediction(status: str = "succeeded", **more: Any) -> dict[str, Any]:
    return {"id": "abc", "status": status, "model": ID, "input": {}, "output": ["Hi", " there"], **more}


def text(chunks: list[Chunk]) -> str:
    choices = [choice for chunk in chunks for choice in chunk.body["choices"]]
    return "".join((choice.get("delta") or choice.get("message") or {}).get("content") or "" for choice in choices)


# An upstream that says exactly what a test wants


def canned(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Held:
    """An answer whose bytes are there."""
    return Held(status, headers or {}, body)


class Answers:
    """A transport with the answers to the next calls; cancelling is answered by itself."""

    def __init__(self, *answers: Any, cancelling: Any = None) -> None:
        self.answers = list(answers)
        self.cancelling = cancelling or prediction("canceled")
        self.calls: list[HttpCall] = []

    async def send(self, call: HttpCall) -> Response:
        self.calls.append(call)
        answer = self.cancelling if call.url.endswith("/cancel") else self.answers.pop(0)
        if answer == FOREVER:
            await asyncio.Event().wait()
        if isinstance(answer, UpstreamError):
            raise answer
        if isinstance(answer, bytes):
            return canned(200, answer)
        return answer if isinstance(answer, Held) else canned(201, orjson.dumps(answer))

    async def close(self) -> None: ...

    @property
    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [f"{call.method} {call.url.removeprefix(BASE)}" for call in self.calls]


MADE, LOOK, CANCEL = f"POST /models/{ID}/predictions", "GET /predictions/abc", "POST /predictions/abc/cancel"


class Asked:
    """A question to such an upstream: the chunks, the pauses and the error that it brought."""

    def __init__(self, *answers: Any, **how: Any) -> None:
        self.upstream = Answers(*answers, **how)
        self.pauses: list[float] = []
        self.chunks: list[Chunk] = []
        self.error: UpstreamError | None = None
        backend = Backend("main", "replicate", "https://api.replicate.com", api_key=KEY)
        self.provider = Replicate(backend, self.upstream, self.slept)

    async def slept(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def ask(self, stream: bool = False, id: str = ID) -> "Asked":
        try:
            async for batch in self.provider.answer(asking(stream), deployment(id)):
                self.chunks += batch
        except UpstreamError as exc:
            self.error = exc
        return self

    @property
    def text(self) -> str:
        return text(self.chunks)

    @property
    def complete(self) -> bool:
        tally = Tally()
        for chunk in self.chunks:
            tally.add(chunk.body)
        return tally.complete


def throttled(**headers: str) -> Held:
    return canned(429, b'{"title": "Throttled", "detail": "wait", "status": 429}', headers)


async def test_a_whole_answer_is_waited_for_and_a_stream_is_not() -> None:
    asked = await Asked(prediction()).ask()
    (call,) = asked.upstream.calls
    assert (call.method, call.url) == ("POST", f"{BASE}/models/{ID}/predictions")
    assert call.headers["prefer"] == "wait=5" and call.headers["authorization"] == f"Bearer {KEY}"
    streamed = await Asked(prediction()).ask(stream=True)
    assert "prefer" not in streamed.upstream.calls[0].headers


async def test_looks_are_further_and_further_apart() -> None:
    asked = await Asked(*[prediction("starting")] * 7, prediction()).ask()
    assert asked.upstream.paths == [MADE, *[LOOK] * 7]
    assert asked.pauses == [0.5, 0.75, 1.125, 1.6875, 2.0, 2.0, 2.0]
    assert asked.text == "Hi there" and asked.complete


async def test_what_was_waited_for_is_looked_at_at_once() -> None:
    asked = await Asked(prediction("processing"), prediction()).ask()
    assert (asked.pauses, asked.text) == ([0.0], "Hi there")


async def test_a_prediction_that_only_began_to_speak_is_not_an_answer() -> None:
    asked = await Asked(prediction("processing", output=["Hi"]), prediction("processing"), prediction()).ask()
    assert asked.upstream.paths == [MADE, LOOK, LOOK]
    assert asked.text == "Hi there"


async def test_a_look_that_fails_is_repeated_after_the_time_that_it_asks_for() -> None:
    made, disconnected = prediction("starting"), Disconnected("gone")
    asked = await Asked(made, throttled(**{"retry-after": "7"}), disconnected, made, prediction()).ask()
    assert asked.error is None and asked.complete
    assert asked.pauses == [0.5, 7.0, 0.75, 1.125]


async def test_looks_that_go_on_failing_are_the_end() -> None:
    asked = await Asked(prediction("starting"), *[throttled(**{"ratelimit-reset": "3"})] * (PATIENCE + 1)).ask()
    assert type(asked.error) is RateLimited and asked.error.retry_after == 3.0
    assert asked.upstream.paths[-1] == CANCEL


async def test_a_look_that_cannot_succeed_is_the_end_at_once() -> None:
    asked = await Asked(prediction("starting"), canned(401, b"{}")).ask()
    assert type(asked.error) is BadCredentials
    assert asked.upstream.paths == [MADE, LOOK, CANCEL]


@whole_and_streamed
@pytest.mark.parametrize(
    ("end", "meaning"),
    [
        (prediction("failed", error="CUDA out of memory"), ServerFault),
        (prediction("failed", error="This model's maximum context length is 8192 tokens."), ContextExceeded),
        (prediction("failed", error=None), ServerFault),
        (prediction("canceled"), ServerFault),
        (prediction("aborted"), ServerFault),
        (prediction(output={"image": "x"}), InvalidResponse),
    ],
)
async def test_a_prediction_that_ends_badly_is_an_error_and_not_cancelled(
    end: dict[str, Any], meaning: type[UpstreamError], stream: bool
) -> None:
    asked = await Asked(prediction("starting"), end).ask(stream)
    assert (type(asked.error), asked.chunks) == (meaning, [])
    assert asked.upstream.paths == [MADE, LOOK]


@pytest.mark.parametrize(
    ("status", "headers", "body", "meaning"),
    [
        (401, {}, {"title": "Unauthenticated", "detail": "no valid token"}, BadCredentials),
        (402, {}, {"title": "Insufficient credit", "detail": "buy some"}, QuotaExhausted),
        (404, {}, {"detail": "The requested resource could not be found."}, ModelGone),
        (422, {}, {"title": "Invalid version or not permitted", "detail": "no such version"}, ModelGone),
        (422, {}, {"title": "Input validation failed", "detail": "- input.top_p: too large"}, Rejected),
        (429, {"ratelimit-reset": "4"}, {"detail": "Request was throttled."}, RateLimited),
        (500, {}, {"detail": "Internal server error"}, ServerFault),
    ],
)
async def test_a_refusal_has_its_meaning(
    status: int, headers: dict[str, str], body: object, meaning: type[UpstreamError]
) -> None:
    asked = await Asked(canned(status, orjson.dumps(body), headers)).ask()
    assert type(asked.error) is meaning
    assert asked.error.retry_after == (4.0 if status == 429 else None)
    assert asked.upstream.paths == [MADE]


@whole_and_streamed
async def test_a_key_that_is_quoted_is_never_passed_on(stream: bool) -> None:
    quoted = f"Bearer {KEY}: maximum context length"
    event = f"event: error\ndata: {quoted}\n\n".encode()
    for answers in (
        [prediction("failed", error=quoted)],
        [canned(422, orjson.dumps({"detail": quoted}))],
        [prediction("starting", urls={"stream": STREAM}), event if stream else prediction("failed", error=quoted)],
    ):
        asked = await Asked(*answers).ask(stream)
        assert asked.error is not None
        assert KEY not in f"{asked.error} {asked.error!r} {asked.error.logged} {asked.error.details}"


@pytest.mark.parametrize("url", ["https://evil.example/abc", "http://169.254.169.254/", "http://127.0.0.1:1/", None])
async def test_a_stream_at_a_strange_address_is_not_followed_and_the_answer_comes_all_the_same(url: object) -> None:
    asked = await Asked(prediction("starting", urls={"stream": url}), prediction()).ask(stream=True)
    assert asked.upstream.paths == [MADE, LOOK]
    assert asked.text == "Hi there" and asked.complete and len(asked.chunks) == 2


@pytest.mark.parametrize("what", ["get", "cancel"])
async def test_looking_and_cancelling_go_to_the_backends_own_address_whatever_is_said(what: str) -> None:
    made = prediction("starting", urls={what: "https://evil.example/abc"})
    asked = await Asked(made, canned(404, b"{}")).ask()
    assert asked.upstream.paths == [MADE, LOOK, CANCEL]


async def test_a_stream_that_never_began_is_looked_at_instead() -> None:
    made = prediction("starting", urls={"stream": STREAM})
    asked = await Asked(made, b": hi\n\n:408: 408 Request Timeout\n\n", prediction("starting"), prediction()).ask(True)
    assert asked.upstream.paths == [MADE, f"GET {STREAM}", LOOK, LOOK]
    assert asked.text == "Hi there" and asked.complete


async def test_a_stream_is_asked_for_as_one() -> None:
    made = prediction("starting", urls={"stream": STREAM})
    asked = await Asked(made, b"event: output\ndata: Hi\n\nevent: done\ndata: {}\n\n", prediction()).ask(True)
    call = asked.upstream.calls[1]
    assert (call.headers["accept"], call.headers["cache-control"]) == ("text/event-stream", "no-store")
    assert call.headers["authorization"] == f"Bearer {KEY}"
    assert asked.upstream.paths == [MADE, f"GET {STREAM}", LOOK] and asked.complete


@pytest.mark.parametrize("looks", [[canned(404, b"{}")], [Disconnected("gone")] * (PATIENCE + 1), [FOREVER]])
async def test_an_answer_that_is_complete_needs_no_metrics(looks: list[Any]) -> None:
    made = prediction("starting", urls={"stream": STREAM})
    asked = await Asked(made, b"event: output\ndata: Hi\n\nevent: done\ndata: {}\n\n", *looks).ask(True)
    assert asked.error is None and asked.complete and asked.text == "Hi"
    assert not any("usage" in chunk.body for chunk in asked.chunks)
    assert CANCEL not in asked.upstream.paths


@pytest.mark.parametrize("cancelling", [FOREVER, Disconnected("gone"), canned(500, b"")])
async def test_cancelling_that_fails_changes_nothing(cancelling: object) -> None:
    asked = await Asked(prediction("starting"), canned(401, b"{}"), cancelling=cancelling).ask()
    assert type(asked.error) is BadCredentials
    assert asked.upstream.paths[-1] == CANCEL


async def test_a_list_of_models_of_another_shape_is_an_invalid_response() -> None:
    for body in (b"", b"[]", b'{"models": [{"name": "x"}]}'):
        with pytest.raises(InvalidResponse):
            await Asked(canned(200, body)).provider.models()
    listed = Asked(canned(200, b'{"models": [{"owner": "meta", "name": "llama"}]}'))
    assert await listed.provider.models() == [ServedModel("meta/llama")]


async def test_a_prediction_that_was_over_when_it_was_made_is_not_cancelled() -> None:
    asked = Asked(prediction())
    waiting = asyncio.create_task(asked.ask())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, *asked.provider.tasks, return_exceptions=True)
    assert asked.upstream.paths == [MADE]
