"""One request's way: cache, plan, attempts until one of them has content, and what is known of it afterwards."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass

import orjson

from gateway.engine.attempt import Attempt, patience_of
from gateway.engine.observers import tell_attempted
from gateway.engine.turns import Turn, Turns
from gateway.errors import NotCached, TotalTimeout, UpstreamError
from gateway.providers.port import Provider
from gateway.routing.filters import unavailable
from gateway.routing.planner import plan
from gateway.routing.policy import Policy, Route
from gateway.routing.stats import StatsBook
from gateway.stores.cache import ENTRY_BYTES, Cache, Entry, cache_key
from gateway.types import (
    Backend,
    CacheResult,
    ChatRequest,
    Choice,
    Chunk,
    Deployment,
    Observer,
    Outcome,
    Plan,
    Timeouts,
)


@dataclass(frozen=True, slots=True)
class Tools:
    """What answering needs, built once; time and chance are among it."""

    provider: Callable[[Backend], Provider]
    book: StatsBook
    cache: Cache
    observers: tuple[Observer, ...]
    clock: Callable[[], float]  # monotonic seconds
    wall: Callable[[], float]  # Unix time
    chance: Callable[[], float]  # in [0, 1)
    sleep: Callable[[float], Awaitable[None]]


class Answer:
    """The answer to one request, and all that is known of it so far."""

    def __init__(self, request: ChatRequest, policy: Policy, route: Route, tools: Tools) -> None:
        self.request = request
        self.policy = policy
        self.route = route
        self.tools = tools
        self.plan: Plan | None = None
        self.outcomes: list[Outcome] = []
        self.deployment: Deployment | None = None  # who answers, or was asked last
        self.attempted = 0  # attempts so far, a running one included
        self.cache: CacheResult = "bypass"
        self.hit: Entry | None = None
        self.whole = False
        self.asked: float | None = None  # when the first attempt began
        self.content: float | None = None  # when the first content came

    def chunks(self) -> AsyncGenerator[list[Chunk], None]:
        """The answer as it comes; its first piece is the commit point. Raises GatewayError."""
        key = self.key()
        return self.asking() if key is None else self.remembering(key)

    async def remembering(self, key: bytes) -> AsyncGenerator[list[Chunk], None]:
        """The answer from the cache, or a new one that is kept if it is whole."""
        if await self.look_up(key):
            yield self.replay()
            return
        keep: list[bytes] = []
        size = 0
        async with aclosing(self.asking()) as batches:
            async for batch in batches:
                size += sum([len(chunk.data) for chunk in batch])
                keep += [chunk.data for chunk in batch] if size <= ENTRY_BYTES else []
                yield batch
        if self.whole and size <= ENTRY_BYTES and not self.request.cache.no_store:
            await self.store(key, keep)

    async def asking(self) -> AsyncGenerator[list[Chunk], None]:
        """The one loop of failover: from deployment to deployment of the plan until one has content."""
        turns = Turns(self.made().choices, self.route.attempts, self.tools.chance, self.closed)
        turn = turns.next()
        while turn is not None:
            await self.pause(turn.wait)
            attempt = self.begin(turn)
            try:
                async with attempt:
                    while (batch := await attempt.batch()) is not None:
                        self.content = self.content or attempt.first
                        yield batch
                self.whole = attempt.tally.whole
                return
            except UpstreamError as exc:
                if attempt.first is not None:
                    raise
                error = exc
            turn = turns.next(turn.choice, error)
        raise self.exhausted(error)

    def made(self) -> Plan:
        """The plan of this request, made now."""
        if self.request.cache.only_if_cached:
            raise NotCached("The request wants a cached answer only, and there is none; ask without only-if-cached.")
        now, chance = self.tools.clock(), self.tools.chance()
        self.plan = plan(self.request, self.route, self.tools.book, now, chance)
        return self.plan

    def begin(self, turn: Turn) -> Attempt:
        """The attempt of a turn."""
        deployment = turn.choice.deployment
        self.deployment = deployment
        self.attempted += 1
        provider = self.tools.provider(self.policy.backends[deployment.backend])
        limits: Timeouts = self.route.timeouts.get(deployment.backend, deployment.timeouts)
        measured = self.tools.book.of(deployment).per_token is not None
        patience = patience_of(self.request, turn.choice, limits, turn.last, measured)
        attempt = Attempt(self.request, deployment, provider, limits, patience, self.tools.clock, self.ended)
        self.asked = self.asked or attempt.started
        self.tools.book.started(deployment)
        return attempt

    def closed(self, choice: Choice) -> str | None:
        """Why a choice of the plan cannot be asked any more."""
        return unavailable(choice.deployment, self.tools.book, self.tools.clock())

    def ended(self, outcome: Outcome) -> None:
        """An attempt is over: learn from it and tell the observers."""
        self.outcomes.append(outcome)
        self.tools.book.ended(outcome)
        self.tools.book.habits(self.route.name, outcome.deployment.model, self.request.prompt_tokens, outcome)
        tell_attempted(self.tools.observers, outcome)

    async def pause(self, seconds: float) -> None:
        """Wait before the next attempt; raises TotalTimeout when the request's time would run out."""
        deadline = self.request.deadline
        if deadline is not None and self.tools.clock() + seconds >= deadline:
            raise self.exhausted(TotalTimeout("The time for this request is used up; ask for less, or allow more."))
        if seconds:
            await self.tools.sleep(seconds)

    def exhausted(self, error: UpstreamError) -> UpstreamError:
        """The last error, with all of them told, and the SDK asked not to repeat what was repeated already."""
        if len(self.outcomes) > 1:
            before = "".join(f"{outcome.deployment.name}: {outcome.message} " for outcome in self.outcomes[:-1])
            failed = f"All {len(self.outcomes)} attempts failed. {before}{self.outcomes[-1].deployment.name}: "
            error.message, error.logged = failed + error.message, failed + error.logged
        error.details = {
            "attempts": [
                {"deployment": outcome.deployment.name, "error": outcome.error_type} for outcome in self.outcomes
            ]
        }
        error.headers = (("x-should-retry", "false"),)
        return error

    def key(self) -> bytes | None:
        """The cache key, when the route caches and the caller does not forbid it."""
        if self.route.cache is None or (self.request.cache.no_store and self.request.cache.no_cache):
            return None
        return cache_key(self.request.caller.name, self.route.name, self.request)

    async def look_up(self, key: bytes) -> bool:
        """Whether there is a cached answer that caller and route accept today."""
        control, rules = self.request.cache, self.route.cache
        if rules is None or control.no_cache:
            return False
        self.cache = "miss"
        age = rules.ttl if control.max_age is None else min(rules.ttl, control.max_age)
        entry = await self.tools.cache.get(key, self.tools.clock() - age)
        if entry is None or not any(entry.deployment == candidate.deployment for candidate in self.route.candidates):
            return False
        self.cache, self.hit, self.deployment = "hit", entry, entry.deployment
        return True

    def replay(self) -> list[Chunk]:
        """The cached answer; it costs nothing now."""
        assert self.hit is not None
        self.content = self.tools.clock()
        return [free(Chunk(data, orjson.loads(data))) for data in self.hit.chunks]

    async def store(self, key: bytes, chunks: list[bytes]) -> None:
        """Keep a whole answer."""
        outcome = self.outcomes[-1]
        now = self.tools.clock()
        entry = Entry(tuple(chunks), outcome.deployment, outcome.usage, outcome.cost, now)
        await self.tools.cache.put(key, entry)


def free(chunk: Chunk) -> Chunk:
    """A cached chunk with `usage.cost` zero, where it has one."""
    usage = chunk.body.get("usage")
    if not isinstance(usage, dict) or "cost" not in usage:
        return chunk
    body = {**chunk.body, "usage": {**usage, "cost": 0.0}}
    return Chunk(orjson.dumps(body), body)
