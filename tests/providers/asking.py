"""One question to one provider in front of its upstream, and all that it brought."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

import pytest

from gateway.demo.standins.faults import Fault
from gateway.demo.standins.hosted import KEY
from gateway.engine.tally import Tally
from gateway.errors import UpstreamError
from gateway.types import ChatRequest, Chunk

from .upstreams import CANARY, KINDS, Kind, Link, linked

PATIENCE = 60  # seconds no test needs
WRONG = "wrong-key-8d1f"
UNSPOKEN = (KEY, WRONG, CANARY, "127.0.0.1", "localhost", "<html")  # what no error may hold
OURS = (401, 403)  # what no caller may get for a key that is not theirs
ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
LONG: Any = [{"role": "user", "content": "llama " * 9000}]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA},
}
JSON_SCHEMA = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}


every_kind = pytest.mark.parametrize("kind", KINDS, ids=str)
whole_and_streamed = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])


def kinds_with(word: str) -> pytest.MarkDecorator:
    """The kinds that have words for something."""
    return pytest.mark.parametrize("kind", [kind for kind in KINDS if word not in kind.lacks], ids=str)


def kinds_without(word: str) -> pytest.MarkDecorator:
    """The kinds that have none."""
    return pytest.mark.parametrize("kind", [kind for kind in KINDS if word in kind.lacks], ids=str)


def question(stream: bool = False, **more: Any) -> ChatRequest:
    """A chat request."""
    body = {"model": "llama", "messages": ASK, "seed": 3, "max_tokens": 64, "stream": stream, **more}
    mine = {"authorization": f"Bearer {CANARY}", "x-mine": CANARY}
    return ChatRequest("r1", "llama", body, stream, prompt_tokens=10, max_tokens=body["max_tokens"], headers=mine)


class Answer:
    """All that one question brought."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.tally = Tally()
        self.error: UpstreamError | None = None

    def add(self, chunks: list[Chunk]) -> None:
        """More of it."""
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
        """What it says."""
        return "".join(piece.get("content") or "" for piece in self.pieces)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The tool calls, or the pieces of them."""
        return [call for piece in self.pieces for call in piece.get("tool_calls") or []]

    @property
    def arguments(self) -> dict[int, str]:
        """The arguments of each tool call."""
        found: dict[int, str] = {}
        for piece in self.pieces:
            for place, call in enumerate(piece.get("tool_calls") or []):
                index = call.get("index", place)
                found[index] = found.get(index, "") + (call["function"].get("arguments") or "")
        return found

    @property
    def seen(self) -> tuple[object, ...]:
        """What a caller makes of it."""
        return self.text, self.arguments, self.tally.finished, self.tally.usage


def source(link: Link, request: ChatRequest) -> AsyncGenerator[list[Chunk], None]:
    """The answer as it comes."""
    return cast("AsyncGenerator[list[Chunk], None]", link.provider.answer(request, link.deployment))


async def ask(link: Link, request: ChatRequest) -> Answer:
    """The answer, with the error that ended it if one did; whatever the error, it gives nothing away."""
    answer = Answer()
    async with asyncio.timeout(PATIENCE), aclosing(source(link, request)) as batches:
        try:
            async for batch in batches:
                answer.add(batch)
        except UpstreamError as exc:
            answer.error = exc
    if answer.error is not None:
        assert not told(answer.error)
        assert answer.error.status not in OURS
    return answer


def told(error: UpstreamError) -> list[str]:
    """What an error gives away."""
    shown = f"{error} {error!r} {error.args} {error.message} {error.logged} {error.param} {error.details}"
    return [word for word in UNSPOKEN if word in shown]


async def chunks_of(link: Link, request: ChatRequest) -> list[Chunk]:
    """The answer over a link; raises UpstreamError."""
    answer = await ask(link, request)
    if answer.error is not None:
        raise answer.error
    return answer.chunks


async def asked(
    name: str, llama_url: str, request: ChatRequest, *faults: Fault, **how: Any
) -> tuple[list[Chunk], dict[str, Any]]:
    """The answer of a kind, and the body that its upstream got; raises UpstreamError."""
    async with linked(named(name), llama_url, *faults, **how) as link:
        found = await chunks_of(link, request)
        return found, link.script.generations[-1].json


async def error_of(name: str, llama_url: str, request: ChatRequest, *faults: Fault, **how: Any) -> UpstreamError:
    """The error in which a question to a kind ends."""
    async with linked(named(name), llama_url, *faults, **how) as link:
        answer = await ask(link, request)
    assert answer.error is not None
    return answer.error


def named(name: str) -> Kind:
    """The kind of a name."""
    return next(kind for kind in KINDS if kind.name == name)


def ends(found: list[Chunk]) -> list[str]:
    """The finish reasons of an answer."""
    choices = [choice for chunk in found for choice in chunk.body["choices"]]
    return [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
