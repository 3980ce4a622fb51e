"""The way of a request whose route keeps answers: one that is kept, one that is on its way, or a new one."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field

import orjson

from gateway.dialects import openai
from gateway.engine.flights import Asked, Flight, Flights, joined
from gateway.engine.semantic import Meant, Semantics
from gateway.errors import GatewayError, PolicyError, UpstreamError
from gateway.routing.policy import CachePolicy, Semantic, served_as
from gateway.stores.cache import ENTRY_BYTES, Cache, Entry, Kept, MemoryCache, cache_key, tenant_of
from gateway.stores.idempotency import MemoryOnce, Once
from gateway.types import ChatRequest, Chunk, Json

TRIED = 3  # answers to other questions that are looked up, the nearest first


@dataclass(frozen=True, slots=True)
class Keeping:
    """What keeping answers needs, built once."""

    cache: Cache = field(default_factory=MemoryCache)
    secret: bytes = b""  # that keys depend on
    flights: Flights = field(default_factory=dict)
    once: Once = field(default_factory=MemoryOnce)
    semantics: Semantics = field(default_factory=Semantics)


class Cached:
    """One request on a route that keeps answers."""

    __slots__ = ("answer", "chance", "clock", "free", "given", "keeping", "keys", "meant", "rules")

    def __init__(
        self,
        answer: Asked,
        rules: CachePolicy,
        keeping: Keeping,
        clock: Callable[[], float],
        chance: Callable[[], float],
    ) -> None:
        self.answer = answer
        self.rules = rules
        self.keeping = keeping
        self.clock = clock
        self.chance = chance
        self.keys: Sequence[bytes] = ()  # each for one answer to the same request
        self.free: Sequence[bytes] = ()  # those of them without an answer
        self.meant: Meant | None = None  # where another question may be the same
        self.given = False  # whether the caller has something of an answer

    async def look_up(self) -> bytes | None:
        """The answer that is kept, as it goes out, where caller and route accept it today."""
        request, rules = self.answer.request, self.rules
        control = request.cache
        if control.no_cache and control.no_store:
            return None
        key = self.key(request.body)
        self.keys = self.free = several(key, rules.answers) if rules.answers > 1 and varies(request) else (key,)
        if control.no_cache:
            return None
        self.answer.cache = "miss"
        found = await self.keeping.cache.get(self.keys)
        good = [kept for kept in found if kept is not None and self.good(kept)]
        if len(good) < len(found) and not (good and control.only_if_cached):
            pairs = zip(self.keys, found, strict=True)
            self.free = [key for key, kept in pairs if kept is None or not self.good(kept)]
            return None if rules.semantic is None else await self.alike(rules.semantic)
        return self.replayed(good[0] if len(good) == 1 else good[int(self.chance() * len(good))])

    def key(self, body: Json) -> bytes:
        """The key of a body, were it this request's."""
        request, route = self.answer.request, self.answer.route
        tenant = tenant_of(request.caller, self.rules.share)
        return cache_key(self.keeping.secret, tenant, route.name, route.models, request, body)

    async def alike(self, rules: Semantic) -> bytes | None:
        """The answer that is kept to another question which means the same."""
        semantics = self.keeping.semantics
        self.meant = await semantics.meant(rules, self.answer.request, self.key, self.answer.embedder)
        if self.meant is None:
            return None
        for alike, key in semantics.found(self.meant, rules.threshold)[:TRIED]:
            (kept,) = await self.keeping.cache.get((key,))
            if kept is not None and self.good(kept):
                self.answer.alike = alike
                return self.replayed(kept)
        return None

    def good(self, kept: Kept) -> bool:
        """Whether caller and route accept an answer today."""
        request = self.answer.request
        youngest, models = request.cache.max_age, request.caller.models
        if kept.age > self.rules.ttl or (youngest is not None and kept.age > youngest):
            return False
        return kept.entry.by in self.answer.route.served and (models is None or kept.entry.model in models)

    def replayed(self, kept: Kept) -> bytes:
        """An answer that is kept; it costs nothing now."""
        answer = self.answer
        answer.cache, answer.hit, answer.age = "hit", kept.entry, kept.age
        answer.deployment = answer.route.served[kept.entry.by]
        answer.content = self.clock()
        return kept.entry.body

    def chunks(self) -> AsyncGenerator[list[Chunk], None]:
        """An answer that is not kept yet, as it comes. Raises GatewayError."""
        control = self.answer.request.cache
        if not self.keys or control.only_if_cached:
            return self.answer.asking()
        if control.no_cache or control.no_store or not self.rules.coalesce:
            return self.alone()
        return self.together()

    async def alone(self) -> AsyncGenerator[list[Chunk], None]:
        """A new answer for one caller, kept if it is whole."""
        pieces: list[bytes] = []
        size = 0
        async with aclosing(self.answer.asking()) as batches:
            async for batch in batches:
                if size <= ENTRY_BYTES:
                    pieces.append(self.framed(batch))
                    size += len(pieces[-1])
                yield batch
        await self.keep(None if size > ENTRY_BYTES else b"".join(pieces))

    async def together(self) -> AsyncGenerator[list[Chunk], None]:
        """An answer that somebody else asks for at this moment, or a new one that others may join.

        What ended the other's way need not end this one: one of those who joined takes over, and the others join that
        one.
        """
        while (flight := self.running()) is not None:
            try:
                async with aclosing(self.joining(flight)) as batches:
                    async for batch in batches:
                        yield batch
                return
            except GatewayError as exc:
                if self.ends(exc, flight):
                    raise
        async with aclosing(self.leading()) as batches:
            async for batch in batches:
                yield batch

    def ends(self, error: GatewayError, flight: Flight) -> bool:
        """Whether what has ended a flight ends this request too.

        An upstream's word does, and anything after content; a limit does where it is the same caller's, and a lack of
        candidates where this one has waited for them, too.
        """
        request = self.answer.request
        if self.given or isinstance(error, UpstreamError):
            return True
        if isinstance(error, PolicyError):
            return self.clock() - request.arrived >= self.answer.route.wait
        return request.caller.name == flight.asked.request.caller.name

    def running(self) -> Flight | None:
        """The flight to join; None when there is an answer left to be asked for."""
        flights = self.keeping.flights
        found = [flights[key] for key in self.free if key in flights]
        if len(found) < len(self.free):
            return None
        flight = found[0] if len(found) == 1 else found[int(self.chance() * len(found))]
        return flight if flight.takes(self.answer) else None

    async def leading(self) -> AsyncGenerator[list[Chunk], None]:
        """A new answer, which others may join while it comes."""
        flights = self.keeping.flights
        self.answer.cache = "miss"
        self.free = [key for key in self.free if key not in flights] or self.free
        leader = Flight(flights, self.free[0], self.answer, self.framed).start(self.keep)
        try:
            async for batch in leader.batches():
                yield batch
        finally:
            await leader.close()

    async def joining(self, flight: Flight) -> AsyncGenerator[list[Chunk], None]:
        """The answer of a flight, from its start; it costs this caller nothing."""
        answer = self.answer
        answer.cache = "coalesced"
        try:
            async with aclosing(joined(flight, answer.request.deadline, self.clock)) as batches:
                async for batch in batches:
                    if not self.given:
                        self.given, answer.deployment, answer.content = True, flight.asked.deployment, self.clock()
                        answer.hit = entry_of(flight.asked)
                    yield batch
        finally:
            if self.given:
                answer.hit = entry_of(flight.asked)

    def framed(self, batch: list[Chunk]) -> bytes:
        """A batch as it is kept: what goes out for it, with a cost of zero."""
        if self.answer.request.stream:
            return openai.frames([free(chunk) for chunk in batch], self.answer.request.include_usage)
        return free(batch[0]).data

    async def keep(self, body: bytes | None) -> None:
        """Keep an answer that ended by itself."""
        if body is None or not self.answer.whole or self.answer.request.cache.no_store:
            return
        entry = entry_of(self.answer, body)
        if entry is not None:
            await self.keeping.cache.put(self.free[0], entry, self.rules.ttl)
            self.answer.kept = True
            if self.meant is not None:
                self.keeping.semantics.answered(self.meant, self.free[0])


def varies(request: ChatRequest) -> bool:
    """Whether the same request may have another answer each time."""
    return request.body.get("temperature") != 0 and request.body.get("seed") is None


def several(key: bytes, answers: int) -> Sequence[bytes]:
    """Keys for so many answers to one request."""
    return [key, *(key + bytes((number,)) for number in range(1, answers))]


def entry_of(asked: Asked, body: bytes = b"") -> Entry | None:
    """An answer as it is kept; None while nobody answers."""
    deployment = asked.deployment
    if deployment is None:
        return None
    mine = [outcome for outcome in asked.outcomes if outcome.deployment is deployment]
    cost = mine[-1].cost if mine else None
    caller, route = asked.request.caller.name, asked.route.name
    return Entry(body, served_as(deployment), caller, route, deployment.model, asked.usage, cost)


def free(chunk: Chunk) -> Chunk:
    """A chunk with `usage.cost` zero, where it has one."""
    usage = chunk.body.get("usage")
    if not isinstance(usage, dict) or "cost" not in usage:
        return chunk
    body = {**chunk.body, "usage": {**usage, "cost": 0.0}}
    return Chunk(orjson.dumps(body), body)
