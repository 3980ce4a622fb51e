"""The composition root: builds every object once, wires them, and runs the two listeners."""

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import chain
from socket import socket
from typing import NamedTuple

from gateway.api.admin import Inside, admin_app
from gateway.api.book_readings import book_readings
from gateway.api.data import DataPlane, data_plane
from gateway.api.door import Door
from gateway.api.events import Broadcast
from gateway.api.guard import Guard
from gateway.api.leaving import Drain, Leaving
from gateway.api.limit_readings import limit_readings, store_readings
from gateway.api.pressure import pressure
from gateway.api.preview import Preview
from gateway.api.readiness import Readiness
from gateway.api.readings import readings
from gateway.api.server import Listener, listener
from gateway.api.views import shadow_row
from gateway.config.live import LivePolicy
from gateway.config.watching import Watcher
from gateway.engine.admission import MOST, Most
from gateway.engine.cached import Keeping
from gateway.engine.engine import Engine
from gateway.engine.shadow import Shadows
from gateway.engine.tools import Tools
from gateway.fleet.probes import Means, Probes
from gateway.outcomes import Observer
from gateway.providers.kind import Kind
from gateway.providers.pool import ProviderPool
from gateway.providers.registry import provider_class
from gateway.routing.book import StatsBook
from gateway.stores.books import Books, Wants
from gateway.stores.cache import CACHE_KEYS, MemoryCache
from gateway.stores.cache_redis import RedisCache
from gateway.stores.callers import CALLER_KEYS, FileCallers
from gateway.stores.idempotency_redis import RedisOnce
from gateway.stores.keyring import LEASE, Keyring, Teams, no_keyring
from gateway.stores.limits_memory import MemoryLimits
from gateway.stores.limits_redis import RedisLimits
from gateway.stores.limits_tally import LimitTally
from gateway.stores.recorded import Recorded, seed
from gateway.stores.redis import MEMORY, RedisStore, shared_store
from gateway.stores.retention import Bounds
from gateway.stores.secret import derived
from gateway.stores.shared_callers import SharedCallers
from gateway.stores.state import StateFile
from gateway.telemetry.compat import Aliases
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.gauges import Reading
from gateway.telemetry.lines import RequestLines
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.pulse import Pulse
from gateway.telemetry.requests import RequestLog
from gateway.telemetry.traces import Traces, traces
from gateway.types import NOTHING

SWITCH_SECONDS = 0.00005  # after which a thread that reads a policy lets the loop go on
USUAL = Drain()


class Kept(NamedTuple):
    """What outlives the process: the state file, the gateway's secret, and how much of the logs is kept."""

    state: StateFile
    secret: bytes
    bounds: Bounds = Bounds()


@dataclass(frozen=True, slots=True)
class Gateway:
    """Everything that runs, and the two ASGI apps in front of it."""

    live: LivePolicy
    engine: Engine
    shadows: Shadows
    providers: ProviderPool
    requests: RequestLog
    readiness: Readiness
    data: DataPlane
    admin: Guard
    broadcast: Broadcast
    shared: RedisStore | None
    keyring: Keyring
    books: Books | None
    tracing: Traces | None
    limits: MemoryLimits | RedisLimits
    probes: Probes | None


@dataclass(frozen=True, slots=True)
class Options:
    """What may be set from outside, beside the policy."""

    metrics_compat: str | None = None
    store_url: str = MEMORY
    env: Mapping[str, str] = field(default_factory=lambda: NOTHING)  # OpenTelemetry's own variables are read from it
    max_in_flight: int = MOST.in_flight
    log_sample: float = 1.0
    health_checks: bool = True

    @property
    def aliases(self) -> Aliases | None:
        """Other names for the metrics."""
        return Aliases(self.metrics_compat) if self.metrics_compat else None


NO_OPTIONS = Options()


def build(
    live: LivePolicy,
    admin_key: str,
    admin_hosts: frozenset[str] = frozenset(),
    chance: Callable[[], float] = random.random,
    clock: Callable[[], float] = time.monotonic,
    kept: Kept | None = None,
    options: Options = NO_OPTIONS,
) -> Gateway:
    """A gateway for a policy; nothing is opened yet. Raises StoreUrlError."""
    shared, tally = shared_store(options.store_url), LimitTally()
    limits = MemoryLimits(clock, tally=tally) if shared is None else RedisLimits(shared, clock, tally=tally)
    providers, book = ProviderPool(), StatsBook()
    keyring = keyring_of(kept, shared)
    books = None if kept is None else books_of(kept, live, keyring)
    seen = seeing(live, book, books, options, clock)
    tools = Tools(
        providers.of,
        book,
        keeping_of(kept, shared),
        seen.observers,
        *(clock, time.time, chance, asyncio.sleep),
        trace=None if seen.tracing is None else seen.tracing.begin,
        limits=limits if books is None else Recorded(limits, books.reservations, time.time),
        most=Most(in_flight=options.max_in_flight),
    )
    gauges = gauges_of(live, tools, books, tally, shared)
    exposition = Exposition(seen.metrics.registry, gauges, options.aliases)
    follow(live, tools, providers, seen)
    engine = Engine(live.policy, tools, Shadows(tools))
    readiness = Readiness(live, book, clock)
    inside = Inside(live, book, seen.requests, exposition, clock, seen.broadcast, keyring, books, tools.keeping.cache)
    door = Door(keyring, lambda: books is not None and books.journal.full)
    return Gateway(
        live,
        engine,
        engine.shadows,
        providers,
        seen.requests,
        readiness,
        data_plane(engine, readiness, door),
        Guard(admin_app(inside), admin_key, admin_hosts),
        seen.broadcast,
        shared,
        keyring,
        books,
        seen.tracing,
        limits,
        Probes(live.policy, book, Means(providers, kind_of, clock, chance)) if options.health_checks else None,
    )


class Seeing(NamedTuple):
    """What is told of everything that happens."""

    metrics: Metrics
    requests: RequestLog
    broadcast: Broadcast
    tracing: Traces | None
    observers: tuple[Observer, ...]


def seeing(
    live: LivePolicy, book: StatsBook, books: Books | None, options: Options, clock: Callable[[], float]
) -> Seeing:
    """All observers."""
    telemetry_name = cache(lambda kind: provider_class(kind).kind.telemetry)
    metrics, requests, pulse = Metrics(telemetry_name), RequestLog(), Pulse()
    broadcast, tracing = Broadcast(pulse, live, book, clock), traces(options.env, telemetry_name)
    found: list[Observer] = [metrics, requests, RequestLines(options.log_sample), pulse, broadcast]
    found += [] if books is None else [books.journal]
    found += [] if tracing is None else [tracing]
    return Seeing(metrics, requests, broadcast, tracing, tuple(found))


def follow(live: LivePolicy, tools: Tools, providers: ProviderPool, seen: Seeing) -> None:
    """Let whatever depends on the policy follow it."""
    providers.keep(live.current.backends)
    live.preview = Preview(seen.requests, tools.book, tools.clock)
    live.listeners += [
        lambda policy: tools.book.forgive(),
        lambda policy: providers.keep(policy.backends),
        seen.broadcast.renew,
        lambda policy: tools.queues.keep(policy.backends),
    ]


def gauges_of(
    live: LivePolicy, tools: Tools, books: Books | None, tally: LimitTally, shared: RedisStore | None
) -> Callable[[], Iterator[Reading]]:
    """What is read when somebody scrapes."""
    return lambda: chain(
        readings(live, tools.book, tools.clock),
        book_readings(books),
        pressure(live.current.backends, tools),
        limit_readings(tally, tools.wall),
        store_readings(shared),
    )


def kind_of(name: str) -> Kind:
    """What is true of every backend of a provider kind."""
    return provider_class(name).kind


def keyring_of(kept: Kept | None, shared: RedisStore | None) -> Keyring:
    """The keys that are made at run time."""
    if kept is None:
        return no_keyring()
    pepper = derived(kept.secret, CALLER_KEYS)
    if shared is None:
        return Keyring(FileCallers(kept.state), pepper)
    return Keyring(SharedCallers(shared), pepper, LEASE)


def keeping_of(kept: Kept | None, shared: RedisStore | None) -> Keeping:
    """Where answers are kept, under keys that nobody else can compute."""
    secret = os.urandom(32) if kept is None else derived(kept.secret, CACHE_KEYS)
    if shared is None:
        return Keeping(MemoryCache(), secret)
    return Keeping(RedisCache(shared), secret, once=RedisOnce(shared))


def books_of(kept: Kept, live: LivePolicy, keyring: Keyring) -> Books:
    """What is written to the state file."""

    def hourly(backend: str) -> float | None:
        found = live.current.backends.get(backend)
        return None if found is None else found.usd_per_hour

    teams = Teams(live.policy, lambda: keyring.stored)
    return Books(kept.state, Wants(hourly, teams.of, shadow_row), kept.bounds)


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the gateway listens: bound sockets, and the certificate of the data plane."""

    data: socket
    admin: socket
    cert: str | None = None
    key: str | None = None


async def run(gateway: Gateway, doors: Doors, ready: Callable[[], None] = lambda: None, drain: Drain = USUAL) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the policy again. A second signal ends at once."""
    data, admin = listener(gateway.data, doors.cert, doors.key), listener(gateway.admin)
    loop = asyncio.get_running_loop()
    leaving = Leaving(gateway.readiness, data, admin, drain)
    leaving.listen(loop)
    loop.add_signal_handler(signal.SIGHUP, gateway.live.announce)
    sys.setswitchinterval(SWITCH_SECONDS)
    gateway.engine.tools.admission.start()
    probes = () if gateway.probes is None else (gateway.probes.run(),)
    beside = [
        *map(asyncio.create_task, probes),
        asyncio.create_task(Watcher(gateway.live).watch()),
        asyncio.create_task(gateway.broadcast.run()),
        asyncio.create_task(gateway.keyring.follow()),
        asyncio.create_task(gateway.limits.keep()),
        asyncio.create_task(data.sweep()),
        asyncio.create_task(admin.sweep()),
    ]
    serving = [
        asyncio.create_task(until_drained(data, doors.data, leaving, gateway.broadcast)),
        asyncio.create_task(admin.serve(sockets=[doors.admin])),
        asyncio.create_task(tell_when_ready((data, admin), ready)),
    ]
    if gateway.books is not None:
        gateway.books.open()
        if isinstance(gateway.limits, MemoryLimits):
            seed(gateway.limits, gateway.books.spent, time.time())
        beside.append(asyncio.create_task(gateway.books.follow()))
    try:
        await asyncio.gather(*serving)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
        gateway.engine.tools.admission.stop()
        await gateway.engine.tools.rests.close()
        await gateway.shadows.close()
        await gateway.providers.close()
        if gateway.books is not None:
            await asyncio.to_thread(gateway.books.close)
        await gateway.limits.close()
        if gateway.shared is not None:
            await gateway.shared.close()
        if gateway.tracing is not None:
            await asyncio.to_thread(gateway.tracing.close)


async def until_drained(data: Listener, door: socket, leaving: Leaving, broadcast: Broadcast) -> None:
    """Serve the callers to the end; the admin plane stays until then."""
    try:
        await data.serve(sockets=[door])
    finally:
        broadcast.close()
        leaving.gone()


async def tell_when_ready(listeners: tuple[Listener, ...], ready: Callable[[], None]) -> None:
    """Call `ready` once all listeners accept connections."""
    while not all(one.started for one in listeners):
        if any(one.should_exit for one in listeners):
            return
        await asyncio.sleep(0.005)
    ready()
