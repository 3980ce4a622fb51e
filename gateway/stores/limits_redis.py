"""Limits that several gateways share: reserved in one call to Redis, settled in batches off the caller's path.

While Redis is away, requests and tokens a minute and concurrency fall to this gateway's share of them, and a budget is
closed, or open as far as this gateway's share of what was left goes where the caller has `on_store_failure: local`.
What was used then, and what could not be settled, is told to Redis when it is back.
"""

import asyncio
import os
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count, islice
from typing import NamedTuple
from urllib.parse import quote
from weakref import WeakSet

from gateway.errors import StoreAway
from gateway.stores.limits import (
    LEASE_SECONDS,
    NO_DATES,
    RENEW_SECONDS,
    UNLIMITED,
    Dates,
    Kind,
    Lease,
    Need,
    nano,
    refused,
    subjects,
    taken,
    too_large,
)
from gateway.stores.limits_lua import ACQUIRE, BEAT, RENEW, SETTLE
from gateway.stores.limits_memory import MemoryLimits
from gateway.stores.limits_share import budgeted, closed, fitting, share
from gateway.stores.limits_tally import LimitTally
from gateway.stores.redis import PREFIX, Call, RedisStore
from gateway.stores.redis_wire import Reply, Word
from gateway.types import Caller, Level, Subject

KINDS: tuple[Kind, ...] = ("rpm", "tpm", "concurrency", "usd_per_day", "usd_per_month")  # as the script numbers them
MICRO = 10**6
LEASE = int(LEASE_SECONDS * MICRO)
BEAT_SECONDS = 5.0
ALIVE = 3 * int(BEAT_SECONDS) * MICRO  # for which a gateway counts after it was last heard of
RENEW_BEATS = int(RENEW_SECONDS / BEAT_SECONDS)
GATEWAYS = f"{PREFIX}gateways"
FLUSH_SECONDS = 0.02  # in which settlements gather
AGAIN_SECONDS = 1.0  # until those that failed are tried again
PENDING = 10_000  # settlements that wait; what is beyond stays charged as it was reserved
BATCH = 100
NO_LEVEL = Level(Subject("", UNLIMITED))


class Known(NamedTuple):
    """A caller, and what of it never changes."""

    caller: Caller
    subjects: tuple[Subject, ...]
    keys: tuple[str, ...]
    limits: tuple[tuple[int, ...], ...]  # of each subject, -1 where there is none


class Settlement(NamedTuple):
    """What is to be told to Redis of a lease."""

    known: Known
    need: Need
    dates: Dates
    tokens: int
    nano: int
    away: bool = False  # it was reserved without Redis


class RedisLimits:
    """A Limiter that all gateways of one Redis share."""

    def __init__(
        self,
        store: RedisStore,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        tally: LimitTally | None = None,
    ) -> None:
        self.store = store
        self.wall = wall
        self.tally = tally or LimitTally()
        self.alone = MemoryLimits(clock, wall, self.tally.beside())
        self.id = os.urandom(8).hex()
        self.gateways = 1  # that share the limits, as far as we last knew
        self.known: dict[str, Known] = {}
        self.leases: WeakSet[Lease] = WeakSet()  # a lease that nobody holds any more is not renewed
        self.pending: deque[Settlement] = deque(maxlen=PENDING)
        self.flushing: asyncio.Task[None] | None = None

    async def acquire(self, caller: Caller, need: Need) -> Lease:
        """Reserve, for caller and team together; raises LimitReached, BudgetSpent, TooLarge, StoreAway."""
        known = self.known_caller(caller)
        for subject in known.subjects:
            if (error := too_large(subject, need)) is not None:
                self.tally.rejected(caller, subject, "tpm")
                raise error
        try:
            reply = await self.store.run(ACQUIRE, known.keys, self.arguments(known, need))
        except StoreAway as exc:
            if exc.asked:
                self.put(Settlement(known, need, NO_DATES, 0, 0))  # it may have reserved it all the same
            return self.without(known, need, exc)
        except asyncio.CancelledError:
            self.put(Settlement(known, need, NO_DATES, 0, 0))
            raise
        return self.leased(known, need, reply)

    def arguments(self, known: Known, need: Need) -> list[Word]:
        """What the script is told."""
        found: list[Word] = [need.id, need.tokens, need.nano, need.requests, LEASE]
        for subject, limits in zip(known.subjects, known.limits, strict=True):
            found += limits
            seen = self.tally.known(subject) if limits[3] >= 0 or limits[4] >= 0 else None
            level, when = (NO_LEVEL, NO_DATES) if seen is None else seen
            found += (when.day, level.day, when.month, level.month)
        return found

    def leased(self, known: Known, need: Need, reply: Reply) -> Lease:
        """The lease that the script gave; raises LimitReached and BudgetSpent where it refused."""
        assert isinstance(reply, list)
        place, kind, now, day, month = [number(one) for one in reply[:5]]
        pairs = zip(known.subjects, reply[5:], strict=True)
        levels = tuple([level(subject, used) for subject, used in pairs])
        if place:
            self.tally.rejected(known.caller, known.subjects[place - 1], KINDS[kind - 1])
            raise refused(levels, levels[place - 1], KINDS[kind - 1], need, now / MICRO)
        lease = Lease(known.caller, need, tuple([taken(one, need) for one in levels]), Dates(day, month))
        self.tally.seen(lease.levels, lease.dates)
        self.leases.add(lease)
        return lease

    def without(self, known: Known, need: Need, exc: StoreAway) -> Lease:
        """A lease on this gateway's share; raises StoreAway where a budget is closed, LimitReached, BudgetSpent."""
        if need.nano and budgeted(known.subjects):
            self.store.missed("budget")
            if known.caller.on_store_failure == "closed":
                raise closed(known.caller, exc)
        else:
            self.store.missed("limits")
        shares = tuple([share(subject, self.gateways, self.tally, self.wall()) for subject in known.subjects])
        lease = self.alone.acquired(known.caller, self.alone.accounts_of(shares), fitting(need, shares))
        lease.away = True
        return lease

    def settle(self, lease: Lease, tokens: int, nano: int) -> None:
        """Put what was used in the place of what was reserved, soon."""
        self.leases.discard(lease)
        known = self.known_caller(lease.caller)
        if not lease.away:
            self.put(Settlement(known, lease.need, lease.dates, tokens, nano))
            return
        self.alone.settle(lease, tokens, nano)
        if nano:
            self.put(Settlement(known, lease.need, lease.dates, 0, nano, True))

    def put(self, settlement: Settlement) -> None:
        """Tell it to Redis with the next batch."""
        self.pending.append(settlement)
        if self.flushing is None or self.flushing.done():
            self.flushing = asyncio.create_task(self.flushed())

    async def flushed(self) -> None:
        """Tell Redis all that waits, again and again until it has heard."""
        await asyncio.sleep(FLUSH_SECONDS)
        while self.pending:
            try:
                await self.flush()
            except StoreAway:
                await asyncio.sleep(AGAIN_SECONDS)

    async def flush(self) -> None:
        """Tell Redis what waits, in one round trip for each batch; raises StoreAway, and nothing is lost then."""
        while self.pending:
            batch = list(islice(self.pending, BATCH))
            for _ in batch:  # a server of a Cluster that is away must not stop what is for the others
                self.pending.popleft()
            try:
                replies = await self.store.batch([settling(one) for one in batch])
            except (StoreAway, asyncio.CancelledError):
                self.pending.extend(batch)
                raise
            for one, reply in zip(batch, replies, strict=True):
                self.settled(one, reply)

    def settled(self, one: Settlement, reply: Reply) -> None:
        """Redis has counted it; it says what is spent now."""
        if one.away:
            self.alone.forget(one.known.subjects, one.dates, one.nano)
        for subject, spent in zip(one.known.subjects, reply if isinstance(reply, list) else [], strict=True):
            if isinstance(spent, list) and spent:
                day, by_day, month, by_month = [number(value) for value in spent]
                self.tally.seen((Level(subject, day=by_day, month=by_month),), Dates(day, month))

    async def keep(self) -> None:
        """Tell the other gateways that this one is there, and prolong its leases, for ever."""
        for beat in count():
            try:
                await self.beat()
                if beat % RENEW_BEATS == RENEW_BEATS - 1:
                    await self.renew()
            except StoreAway:
                self.store.missed("heartbeat")
            await asyncio.sleep(BEAT_SECONDS)

    async def beat(self) -> None:
        """Count the gateways; raises StoreAway."""
        alive = await self.store.run(BEAT, (GATEWAYS,), (self.id, ALIVE))
        self.gateways = max(1, number(alive))

    async def renew(self) -> None:
        """Prolong every lease that somebody holds; raises StoreAway."""
        self.alone.renew()
        held: defaultdict[str, list[str]] = defaultdict(list)
        for lease in [one for one in self.leases if not one.away]:
            for key in self.known_caller(lease.caller).keys[1::2]:
                held[key].append(lease.need.id)
        if held:
            await self.store.batch([RENEW.call((key,), (LEASE, *ids)) for key, ids in held.items()])

    async def close(self) -> None:
        """Tell Redis what is left, if it hears us now."""
        if self.flushing is not None:
            self.flushing.cancel()
            await asyncio.wait([self.flushing])
        with suppress(StoreAway):
            await self.flush()

    def known_caller(self, caller: Caller) -> Known:
        """The facts of a caller, kept as long as it is the same."""
        known = self.known.get(caller.name)
        if known is None or known.caller is not caller:
            found = subjects(caller)
            tag = quote(caller.name if caller.team is None else f"team:{caller.team.name}", safe=":")
            keys = [key for one in found for key in keys_of(one, tag)]
            known = self.known[caller.name] = Known(caller, found, tuple(keys), tuple([numbers(one) for one in found]))
        return known


def keys_of(subject: Subject, tag: str) -> tuple[str, str]:
    """The keys of a subject; the tag keeps a caller's and its team's on one server of a Cluster."""
    name = f"{PREFIX}limits:{{{tag}}}:{'team' if subject.team else 'caller'}:{quote(subject.name, safe='')}"
    return name, f"{name}:open"


def numbers(subject: Subject) -> tuple[int, ...]:
    """The limits as the script takes them."""
    limits = subject.limits
    found = (limits.rpm, limits.tpm, limits.concurrency, nano(limits.usd_per_day), nano(limits.usd_per_month))
    return tuple([-1 if one is None else one for one in found])


def settling(one: Settlement) -> Call:
    """The call that settles."""
    known, need = one.known, one.need
    tokens, nano = (0, one.nano) if one.away else (one.tokens - need.tokens, one.nano - need.nano)
    rates = [limit for limits in known.limits for limit in limits[:2]]
    mark = (f"{known.keys[1]}:{need.id}",) if one.away else ()
    return SETTLE.call((*known.keys, *mark), (need.id, tokens, nano, *one.dates, *rates))


def level(subject: Subject, used: Reply) -> Level:
    """A level as the script tells it."""
    assert isinstance(used, list)
    requests, tokens, flying, day, month = used
    assert isinstance(requests, bytes) and isinstance(tokens, bytes)
    return Level(subject, float(requests), float(tokens), number(flying), number(day), number(month))


def number(value: Reply) -> int:
    """A whole number of a reply."""
    assert isinstance(value, int | bytes)
    return int(value)
