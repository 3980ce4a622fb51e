"""The composition root: builds every object once, wires them, and runs the two listeners."""

import asyncio
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from socket import socket

from gateway.api.admin import Inside, admin_app
from gateway.api.data import DataPlane, data_plane
from gateway.api.guard import Guard
from gateway.api.preview import Preview
from gateway.api.readiness import Readiness
from gateway.api.readings import readings
from gateway.api.server import Listener, listener
from gateway.config.live import LivePolicy
from gateway.config.watching import Watcher
from gateway.engine.answer import Tools
from gateway.engine.engine import Engine
from gateway.engine.shadow import Shadows
from gateway.providers.pool import ProviderPool
from gateway.providers.registry import provider_class
from gateway.routing.stats import StatsBook
from gateway.stores.cache import MemoryCache
from gateway.telemetry.gauges import Gauges
from gateway.telemetry.lines import RequestLines
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.requests import RequestLog

SWITCH_SECONDS = 0.00005  # after which a thread that reads a policy lets the loop go on


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


def build(
    live: LivePolicy,
    admin_key: str,
    admin_hosts: frozenset[str] = frozenset(),
    chance: Callable[[], float] = random.random,
    clock: Callable[[], float] = time.monotonic,
) -> Gateway:
    """A gateway for a policy; nothing is opened yet."""
    providers, book, requests = ProviderPool(), StatsBook(), RequestLog()
    providers.keep(live.current.backends)
    live.preview = Preview(requests, book, clock)
    live.listeners += [lambda policy: book.forgive(), lambda policy: providers.keep(policy.backends)]
    metrics = Metrics(cache(lambda kind: provider_class(kind).kind.telemetry))
    metrics.registry.register(Gauges(lambda: readings(live, book, clock)))
    observers = (metrics, requests, RequestLines())
    tools = Tools(providers.of, book, MemoryCache(), observers, clock, time.time, chance, asyncio.sleep)
    shadows = Shadows(tools)
    engine = Engine(live.policy, tools, shadows)
    readiness = Readiness(live, book, clock)
    inside = Inside(live, book, requests, metrics.registry, clock)
    return Gateway(
        live,
        engine,
        shadows,
        providers,
        requests,
        readiness,
        data_plane(engine, readiness),
        Guard(admin_app(inside), admin_key, admin_hosts),
    )


@dataclass(frozen=True, slots=True)
class Doors:
    """Where the gateway listens: bound sockets, and the certificate of the data plane."""

    data: socket
    admin: socket
    cert: str | None = None
    key: str | None = None


async def run(gateway: Gateway, doors: Doors, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP reads the policy again. A second signal ends at once."""
    data, admin = listener(gateway.data, doors.cert, doors.key), listener(gateway.admin)
    handle_signals(gateway, (data, admin))
    sys.setswitchinterval(SWITCH_SECONDS)
    watching = asyncio.create_task(Watcher(gateway.live).watch())
    serving = [
        asyncio.create_task(data.serve(sockets=[doors.data])),
        asyncio.create_task(admin.serve(sockets=[doors.admin])),
        asyncio.create_task(data.sweep()),
        asyncio.create_task(admin.sweep()),
        asyncio.create_task(tell_when_ready((data, admin), ready)),
    ]
    try:
        await asyncio.gather(*serving)
    finally:
        watching.cancel()
        await asyncio.wait([watching])
        await gateway.shadows.close()
        await gateway.providers.close()


def handle_signals(gateway: Gateway, listeners: tuple[Listener, ...]) -> None:
    """One handling of signals for both listeners."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        gateway.readiness.draining = True
        for one in listeners:
            one.force_exit = one.should_exit
            one.should_exit = True

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_signal_handler(signal.SIGINT, stop)
    loop.add_signal_handler(signal.SIGHUP, gateway.live.announce)


async def tell_when_ready(listeners: tuple[Listener, ...], ready: Callable[[], None]) -> None:
    """Call `ready` once all listeners accept connections."""
    while not all(one.started for one in listeners):
        if any(one.should_exit for one in listeners):
            return
        await asyncio.sleep(0.005)
    ready()
