"""Scripted providers, and an engine around them whose clock is the running loop's and whose chance is fixed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import orjson

from gateway.engine.admission import MOST, Most
from gateway.engine.answer import Answer
from gateway.engine.cached import Keeping
from gateway.engine.engine import Engine
from gateway.engine.flights import unframed
from gateway.engine.shadow import Shadows
from gateway.engine.tools import Tools
from gateway.errors import GatewayError
from gateway.outcomes import Observer, Outcome, Record, Shadowed
from gateway.providers.kind import Kind
from gateway.providers.port import HttpCall, Response, ServedModel
from gateway.routing.book import StatsBook
from gateway.routing.policy import Policy, Route
from gateway.stores.cache import MemoryCache
from gateway.types import Backend, ChatRequest, Chunk, Deployment, Json
from tests.engine.virtual_time import now
from tests.routing.samples import policy, request

Step = Json | list[Json] | float | type[BaseException] | Callable[[], BaseException]
Script = Sequence[Step]  # a body (or several at once) to send, seconds to wait, or an error to raise


def delta(index: int = 0, **fields: Any) -> Json:
    """A chunk with one choice's piece."""
    return {
        "object": "chat.completion.chunk",
        "model": "as-upstream-calls-it",
        "choices": [{"index": index, "delta": fields, "finish_reason": None}],
    }


def role() -> Json:
    """The first chunk of most streams, which has no content yet."""
    return delta(role="assistant", content="")


def text(words: str, index: int = 0) -> Json:
    """A piece of text."""
    return delta(index, content=words)


def finish(reason: str = "stop", index: int = 0) -> Json:
    """The end of a choice."""
    return {"choices": [{"index": index, "delta": {}, "finish_reason": reason}]}


def used(prompt: int = 7, completion: int = 3) -> Json:
    """The usage, in a chunk of its own."""
    return {"choices": [], "usage": {"prompt_tokens": prompt, "completion_tokens": completion}}


def whole(words: str, reason: str | None = "stop") -> Json:
    """An answer in one piece."""
    message = {"role": "assistant", "content": words}
    return {
        "object": "chat.completion",
        "model": "as-upstream-calls-it",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3},
    }


GOOD: Script = [role(), text("Hello"), text(" world"), finish(), used()]


class NoTransport:
    """A transport over which nothing may be sent."""

    async def send(self, call: HttpCall) -> Response:
        raise AssertionError(f"nothing is sent in these tests: {call.url}")

    async def close(self) -> None:
        """There is nothing to close."""


class ScriptedProvider:
    """Plays its scripts, one for each call; the last one for all calls after it."""

    kind = Kind("scripted", telemetry="scripted")

    def __init__(self, backend: Backend, transport: Any = None) -> None:
        self.backend = backend
        self.scripts: list[Script] = [GOOD]
        self.begun: list[float] = []  # when each call came
        self.closed = 0

    async def answer(self, request: ChatRequest, deployment: Deployment) -> AsyncIterator[list[Chunk]]:
        script = self.scripts[min(len(self.begun), len(self.scripts) - 1)]
        self.begun.append(now())
        try:
            for step in script:
                if isinstance(step, (int, float)):
                    await asyncio.sleep(step)
                elif isinstance(step, dict):
                    yield [chunk(step)]
                elif isinstance(step, list):
                    yield [chunk(body) for body in step]
                else:
                    raise made(step)
        finally:
            self.closed += 1

    async def models(self) -> list[ServedModel]:
        return []


def chunk(body: Json) -> Chunk:
    """A chunk of a body."""
    return Chunk(orjson.dumps(body), body)


def made(step: type[BaseException] | Callable[[], BaseException]) -> BaseException:
    """The error that a step raises; one of ours gets a message."""
    if isinstance(step, type) and issubclass(step, GatewayError):
        return step(f"a scripted {step.__name__}")
    error = step()
    assert isinstance(error, BaseException)
    return error


class Watcher:
    """An observer that keeps everything."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.records: list[Record] = []
        self.shadows: list[Shadowed] = []

    def attempted(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)

    def answered(self, record: Record) -> None:
        self.records.append(record)

    def shadowed(self, told: Shadowed) -> None:
        self.shadows.append(told)


class Rig:
    """An engine with one route, whose providers play scripts."""

    def __init__(
        self,
        route: Route,
        scripts: dict[str, list[Script]],
        before: tuple[Observer, ...] = (),
        most: Most = MOST,
        **policy_facts: Any,
    ) -> None:
        self.policy: Policy = policy(route, **policy_facts)
        self.providers = {name: ScriptedProvider(backend) for name, backend in self.policy.backends.items()}
        for name, found in scripts.items():
            self.providers[name].scripts = found
        self.book = StatsBook()
        self.cache = MemoryCache(clock=now)
        self.watcher = Watcher()
        self.chance = 0.5
        self.tools = Tools(
            provider=lambda backend: self.providers[backend.name],
            book=self.book,
            keeping=Keeping(self.cache),
            observers=(*before, self.watcher),
            clock=now,
            wall=lambda: 1_800_000_000.0,
            chance=lambda: self.chance,
            sleep=asyncio.sleep,
            most=most,
        )
        self.engine = Engine(lambda: self.policy, self.tools, Shadows(self.tools))

    def open(self, **facts: Any) -> Answer:
        """The answer to a request that streams unless it is told otherwise."""
        return self.engine.open(request(**({"stream": True, "arrived": now()} | facts)), self.policy)

    @property
    def outcomes(self) -> list[Outcome]:
        return self.watcher.outcomes

    @property
    def calls(self) -> dict[str, int]:
        """Calls by backend, where there were any."""
        return {name: len(one.begun) for name, one in self.providers.items() if one.begun}

    def quiet(self) -> bool:
        """Whether nothing is in flight and all that was begun is closed."""
        closed = all(one.closed == len(one.begun) for one in self.providers.values())
        return closed and not any(self.book.in_flight.values())


async def bodies(answer: Answer) -> list[Json]:
    """All chunks of an answer."""
    return [one.body async for batch in batches_of(answer) for one in batch]


async def batches_of(answer: Answer) -> AsyncGenerator[list[Chunk], None]:
    """An answer, from the cache where it has it."""
    kept = await answer.look_up()
    if kept is not None:
        yield unframed(kept, answer.request.stream)
        return
    async with aclosing(answer.chunks()) as batches:
        async for batch in batches:
            yield batch


def words(found: list[Json]) -> str:
    """The text in chunks."""
    pieces = [choice.get("delta") or choice.get("message") or {} for body in found for choice in body["choices"]]
    return "".join(piece.get("content") or "" for piece in pieces)
