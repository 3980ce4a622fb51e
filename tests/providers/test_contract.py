"""What the gateway relies on, whoever the provider is: one suite for all kinds, each against its own upstream."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import orjson
import pytest

from gateway.demo.standins.faults import (
    Cut,
    Drop,
    ErrorEvent,
    Fault,
    Malformed,
    NoDone,
    NoUsage,
    Refuse,
    Silent,
    Slow,
    html_502,
)
from gateway.demo.standins.hosted import KEY
from gateway.engine.tally import Tally
from gateway.errors import (
    BadCredentials,
    Disconnected,
    InvalidResponse,
    ModelGone,
    Overloaded,
    RateLimited,
    Rejected,
    ServerFault,
    UpstreamError,
)
from gateway.types import ChatRequest, Chunk

from .upstreams import KINDS, Kind, Link, linked

PATIENCE = 60  # seconds no test needs
WRONG = "wrong-key-8d1f"
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}

BOTH = (False, True)  # whole, streamed

pytestmark = pytest.mark.asyncio
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
whole_and_streamed = pytest.mark.parametrize("stream", BOTH, ids=["whole", "stream"])


def kinds_that(ability: str) -> pytest.MarkDecorator:
    able = [kind for kind in KINDS if getattr(kind, ability)]
    return pytest.mark.parametrize("kind", able, ids=lambda kind: kind.name)


def asking(stream: bool, **more: Any) -> ChatRequest:
    messages = [{"role": "user", "content": "Tell me about llamas."}]
    body = {"model": "llama", "messages": messages, "seed": 3, "max_tokens": 64, "stream": stream, **more}
    return ChatRequest("r1", "llama", body, stream, prompt_tokens=10, max_tokens=body["max_tokens"])


class Answer:
    """All that one question brought."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.tally = Tally()
        self.error: UpstreamError | None = None

    def add(self, chunks: list[Chunk]) -> None:
        self.chunks += chunks
        for chunk in chunks:
            self.tally.add(chunk.body)

    @property
    def pieces(self) -> list[dict[str, Any]]:
        """The messages or deltas."""
        choices = [choice for chunk in self.chunks for choice in chunk.body["choices"]]
        return [choice.get("delta") or choice.get("message") or {} for choice in choices]

    @property
    def text(self) -> str:
        return "".join(piece.get("content") or "" for piece in self.pieces)

    @property
    def arguments(self) -> dict[int, str]:
        """The arguments of each tool call."""
        found: dict[int, str] = {}
        for piece in self.pieces:
            for place, call in enumerate(piece.get("tool_calls") or []):
                index = call.get("index", place)
                found[index] = found.get(index, "") + (call["function"].get("arguments") or "")
        return found


def source(link: Link, request: ChatRequest) -> AsyncGenerator[list[Chunk], None]:
    return cast("AsyncGenerator[list[Chunk], None]", link.provider.answer(request, link.deployment))


async def ask(link: Link, request: ChatRequest) -> Answer:
    """The answer, with the error that ended it if one did."""
    answer = Answer()
    async with asyncio.timeout(PATIENCE), aclosing(source(link, request)) as batches:
        try:
            async for batch in batches:
                answer.add(batch)
        except UpstreamError as exc:
            answer.error = exc
    return answer


async def failing(kind: Kind, llama_url: str, *faults: Fault, **how: Any) -> list[UpstreamError]:
    """The errors that questions end in before any content, whole and streamed; they hold no secret."""
    async with linked(kind, llama_url, *(fault for fault in faults for _ in BOTH), **how) as link:
        answers = [await ask(link, asking(stream)) for _ in faults or [None] for stream in BOTH]
    assert not any(answer.chunks for answer in answers)
    errors = [answer.error for answer in answers if answer.error is not None]
    assert len(errors) == len(answers)
    shown = " ".join(f"{error} {error!r} {error.details}" for error in errors)
    assert KEY not in shown and WRONG not in shown and "127.0.0.1" not in shown and "<html" not in shown
    return errors


@every_kind
async def test_an_answer_is_whole_and_canonical(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        answer = await ask(link, asking(stream=False))
    (chunk,) = answer.chunks
    (choice,) = chunk.body["choices"]
    assert answer.error is None
    assert orjson.loads(chunk.data) == chunk.body
    assert chunk.body["object"] == "chat.completion" and chunk.body["id"] and chunk.body["model"]
    assert (choice["index"], choice["message"]["role"]) == (0, "assistant")
    assert choice["finish_reason"] in ("stop", "length")
    assert answer.text and answer.tally.complete
    assert answer.tally.usage is not None and answer.tally.usage.completion > 0 and answer.tally.usage.prompt > 0


@every_kind
async def test_a_stream_adds_up_to_a_whole_answer(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        whole = await ask(link, asking(stream=False))
        answer = await ask(link, asking(stream=True))
    assert answer.error is None
    assert len(answer.chunks) > 3
    assert all(orjson.loads(chunk.data) == chunk.body for chunk in answer.chunks)
    assert {chunk.body["object"] for chunk in answer.chunks} == {"chat.completion.chunk"}
    assert len({chunk.body["id"] for chunk in answer.chunks}) == 1
    assert answer.pieces[0]["role"] == "assistant"
    assert answer.text == whole.text
    assert answer.tally.complete
    assert answer.tally.finished == whole.tally.finished
    assert answer.tally.usage is not None and answer.tally.usage[:2] == (whole.tally.usage or ())[:2]


@every_kind
async def test_an_answer_cut_by_its_limit_ends_with_length(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        answers = [await ask(link, asking(stream, max_tokens=3)) for stream in (False, True)]
    assert [answer.tally.finished for answer in answers] == [{0: "length"}, {0: "length"}]
    assert [answer.tally.usage and answer.tally.usage.completion for answer in answers] == [3, 3]


@every_kind
@whole_and_streamed
async def test_a_tool_call_has_a_name_an_id_and_arguments_in_json(kind: Kind, llama_url: str, stream: bool) -> None:
    choice = {"tool_choice": "required"} if kind.forces_tools else {}
    async with linked(kind, llama_url) as link:
        answer = await ask(link, asking(stream, tools=[TOOL], **choice, max_tokens=200))
    calls = [call for piece in answer.pieces for call in piece.get("tool_calls") or []]
    assert calls and calls[0]["id"] and calls[0]["function"]["name"] == "weather"
    assert [orjson.loads(arguments).keys() for arguments in answer.arguments.values()] == [{"city"}] * len(
        answer.arguments
    )
    assert answer.tally.complete and answer.tally.content


@kinds_that("forces_tools")
async def test_a_named_tool_is_the_one_that_is_called(kind: Kind, llama_url: str) -> None:
    other = {"type": "function", "function": {**TOOL["function"], "name": "other"}}  # type: ignore[dict-item]  # JSON
    choice = {"type": "function", "function": {"name": "weather"}}
    async with linked(kind, llama_url) as link:
        answer = await ask(link, asking(False, tools=[other, TOOL], tool_choice=choice, max_tokens=200))
    calls = [call for piece in answer.pieces for call in piece.get("tool_calls") or []]
    assert {call["function"]["name"] for call in calls} == {"weather"}


@every_kind
async def test_tools_are_not_called_when_none_is_wanted(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        answer = await ask(link, asking(False, tools=[TOOL], tool_choice="none"))
    assert answer.error is None and answer.text and not answer.arguments


@every_kind
async def test_a_tools_result_is_answered_with_text(kind: Kind, llama_url: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lima"}'}}
    messages = [
        {"role": "user", "content": "How is the weather in Lima?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "mild"},
    ]
    async with linked(kind, llama_url) as link:
        answer = await ask(link, asking(False, messages=messages))
    assert answer.error is None and answer.text


@every_kind
@whole_and_streamed
async def test_an_answer_keeps_to_a_schema(kind: Kind, llama_url: str, stream: bool) -> None:
    async with linked(kind, llama_url) as link:
        answer = await ask(link, asking(stream, response_format=JSON_SCHEMA, max_tokens=200))
    assert orjson.loads(answer.text).keys() == {"city"}


@kinds_that("lists_models")
async def test_the_models_it_serves_are_listed(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        served = await link.provider.models()
    assert kind.model in {model.id for model in served}


@every_kind
async def test_a_rate_limit_says_how_long_to_wait(kind: Kind, llama_url: str) -> None:
    errors = await failing(kind, llama_url, Refuse(429, {"Retry-After": "7"}))
    assert [(type(error), error.retry_after) for error in errors] == [(RateLimited, 7.0)] * 2


@every_kind
async def test_a_failure_has_its_meaning(kind: Kind, llama_url: str) -> None:
    faults = (Drop(), Refuse(500), Refuse(503), html_502())
    errors = await failing(kind, llama_url, *faults)
    meanings = (Disconnected, ServerFault, Overloaded, ServerFault)
    assert [type(error) for error in errors] == [meaning for meaning in meanings for _ in BOTH]


@kinds_that("checks_key")
async def test_a_wrong_key_is_our_fault(kind: Kind, llama_url: str) -> None:
    errors = await failing(kind, llama_url, key=WRONG)
    assert [type(error) for error in errors] == [BadCredentials] * 2


@every_kind
async def test_a_key_that_the_upstream_quotes_is_not_passed_on(kind: Kind, llama_url: str) -> None:
    quoted = f"Wrong key {KEY} for http://127.0.0.1/v1"
    faults = [Refuse(status, message=quoted) for status in (400, 401, 403, 404, 413, 422, 429, 500, 503)]
    assert len(await failing(kind, llama_url, *faults)) == len(faults) * 2


@kinds_that("checks_model")
async def test_a_model_it_does_not_serve_is_gone(kind: Kind, llama_url: str) -> None:
    errors = await failing(kind, llama_url, model="nope")
    assert [type(error) for error in errors] == [ModelGone] * 2
    assert all("'nope'" in str(error) for error in errors)


@every_kind
async def test_a_request_that_is_wrong_is_not_the_upstreams_fault(kind: Kind, llama_url: str) -> None:
    errors = await failing(kind, llama_url, Refuse(400, message="top_k must be positive"))
    assert [(type(error), error.verdict, error.status) for error in errors] == [(Rejected, "neutral", 400)] * 2
    assert all("top_k must be positive" in str(error) for error in errors)


@every_kind
async def test_a_stream_that_is_cut_is_an_error_and_never_finished(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, Cut(after_bytes=900)) as link:
        answer = await ask(link, asking(stream=True))
    assert type(answer.error) is Disconnected
    assert answer.text and not answer.tally.complete


@every_kind
async def test_a_whole_answer_that_is_cut_is_an_error(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, Cut(after_bytes=40)) as link:
        answer = await ask(link, asking(stream=False))
    assert (type(answer.error), answer.chunks) == (Disconnected, [])


@every_kind
async def test_a_stream_without_its_last_frame_is_finished_only_if_its_choices_are(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, NoDone()) as link:
        answer = await ask(link, asking(stream=True))
    assert answer.error is None
    assert answer.text
    assert answer.tally.complete is (kind.name != "ollama")  # its last frame is what finishes it


@every_kind
async def test_usage_that_is_not_told_is_not_made_up(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, NoUsage()) as link:
        answer = await ask(link, asking(stream=True))
    assert answer.tally.complete and answer.tally.usage is None


@every_kind
async def test_one_malformed_event_is_skipped(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, None, Malformed(after_chunks=3)) as link:
        sound = await ask(link, asking(stream=True))
        answer = await ask(link, asking(stream=True))
    assert answer.error is None
    assert answer.tally.complete
    assert len(answer.chunks) == len(sound.chunks) - 1


@every_kind
async def test_a_whole_answer_that_is_malformed_is_an_invalid_response(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, Malformed()) as link:
        answer = await ask(link, asking(stream=False))
    assert (type(answer.error), answer.chunks) == (InvalidResponse, [])


@every_kind
@pytest.mark.parametrize("chunks", [0, 3])
async def test_an_error_in_a_stream_is_an_error_after_what_came_before(kind: Kind, llama_url: str, chunks: int) -> None:
    fault = ErrorEvent(after_chunks=chunks, status=500, message=f"{KEY} out of memory")
    async with linked(kind, llama_url, fault) as link:
        answer = await ask(link, asking(stream=True))
    assert type(answer.error) is ServerFault
    assert bool(answer.chunks) is (chunks > 0) and not answer.tally.complete
    assert KEY not in f"{answer.error} {answer.error!r}"


@every_kind
async def test_closing_a_stream_early_cancels_the_upstreams_work(kind: Kind, llama_url: str) -> None:
    async with asyncio.timeout(PATIENCE), linked(kind, llama_url, Silent(after_chunks=3)) as link:
        batches = source(link, asking(stream=True))
        assert await anext(batches)
        await batches.aclose()
        await link.script.requests[0].closed.wait()
    assert link.script.requests[0].disconnected


@every_kind
@whole_and_streamed
async def test_cancelling_the_wait_for_an_answer_cancels_the_upstreams_work(
    kind: Kind, llama_url: str, stream: bool
) -> None:
    async with asyncio.timeout(PATIENCE), linked(kind, llama_url, Slow()) as link:
        waiting = asyncio.create_task(ask(link, asking(stream)))
        await link.script.arrived(1)
        waiting.cancel()
        await link.script.requests[0].closed.wait()
    assert link.script.requests[0].disconnected


@every_kind
async def test_after_a_failure_the_next_question_is_answered(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, Drop(), Refuse(500), Cut(after_bytes=300), ErrorEvent(after_chunks=1)) as link:
        failed = [await ask(link, asking(stream=True)) for _ in range(4)]
        answer = await ask(link, asking(stream=True))
    assert all(each.error for each in failed)
    assert answer.error is None and answer.tally.complete


@every_kind
async def test_the_key_is_sent_and_the_callers_headers_are_not(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        await ask(link, asking(stream=False))
    (seen,) = link.script.generations
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers.keys() - kind.headers == {
        "host", "accept-encoding", "authorization", "content-length", "content-type", "user-agent",
    }  # fmt: skip
    assert kind.model.endswith(seen.json["model"])
