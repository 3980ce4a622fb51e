"""What limits cost, and what they hold: `python -m tests.bench.limits`.

CPU of this process for a lease and its settlement; how much two processes overshoot one budget with a thousand
concurrent requests; and how long a request waits for a Redis that is frozen.
"""

import asyncio
import multiprocessing
import sys
import time
from collections.abc import Awaitable, Callable
from statistics import median
from typing import NamedTuple

import uvloop

from gateway.errors import LimitReached, StoreAway
from gateway.stores.limits import NANO, Limiter, Need
from gateway.stores.limits_memory import MemoryLimits
from gateway.stores.limits_redis import RedisLimits
from gateway.stores.redis import RedisStore
from gateway.stores.redis_url import place
from gateway.types import Caller, Limits, Team
from tests.redis_server import RedisServer

ROUNDS, REQUESTS, IN_FLIGHT = 7, 4000, 16
PROCESSES, CONCURRENT = 2, 1000
FROZEN_SECONDS, PACE = 4.0, 0.005
WIDE = Limits(10**9, 10**12, 10**6, 10**6, 10**6)
BUDGET = Limits(usd_per_day=1.0)
COST = NANO // 100
CALLER = Caller("bench", limits=WIDE, team=Team("team", WIDE))
RATED = Caller("rated", limits=WIDE._replace(usd_per_day=None, usd_per_month=None))


class Figure(NamedTuple):
    """One line of the table."""

    name: str
    value: float
    unit: str


async def lease(limits: Limiter, number: int, who: Caller = CALLER) -> None:
    """One request."""
    held = await limits.acquire(who, Need(f"req_{number:024x}", 700, 1000))
    limits.settle(held, 500, 700)


async def cpu(limits: Limiter, flight: int, drain: Callable[[], Awaitable[None]]) -> float:
    """CPU microseconds of a request, the median of the rounds."""
    found, number = [], 0
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(REQUESTS // flight):
            number += flight
            if flight == 1:
                await lease(limits, number)
            else:
                await asyncio.gather(*[lease(limits, number + each) for each in range(flight)])
        await drain()
        found.append((time.process_time() - begun) / REQUESTS * 1e6)
    return median(found)


async def nothing() -> None:
    """There is nothing to wait for."""


async def costs(server: RedisServer) -> list[Figure]:
    """The figures of CPU."""
    store = RedisStore(server.place)
    shared = RedisLimits(store)
    found = [
        Figure("in memory, caller and team", await cpu(MemoryLimits(), 1, nothing), "us of CPU"),
        Figure("in Redis, one at a time", await cpu(shared, 1, shared.flush), "us of CPU"),
        Figure(f"in Redis, {IN_FLIGHT} in flight", await cpu(shared, IN_FLIGHT, shared.flush), "us of CPU"),
    ]
    await shared.close()
    await store.close()
    return found


async def rush(url: str, first: int, count: int) -> tuple[int, int]:
    """How many of so many concurrent requests are admitted, and how many found no store."""
    store = RedisStore(place(url))
    limits, who = RedisLimits(store), Caller("rush", limits=BUDGET)
    await store.open()
    asked = [limits.acquire(who, Need(f"{first + number}", 0, COST)) for number in range(count)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    await store.close()
    wrong = [one for one in found if isinstance(one, BaseException) and not isinstance(one, LimitReached | StoreAway)]
    assert not wrong, wrong
    admitted = sum(not isinstance(one, BaseException) for one in found)
    return admitted, sum(isinstance(one, StoreAway) for one in found)


def process(url: str, index: int, count: int) -> tuple[int, int]:
    """A gateway of its own."""
    return uvloop.run(rush(url, index * count, count))


def overshoot(url: str) -> list[Figure]:
    """What two processes admit of a budget for a hundred requests."""
    each = CONCURRENT // PROCESSES
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        found = pool.starmap(process, [(url, index, each) for index in range(PROCESSES)])
    admitted, away = sum(one for one, _ in found), sum(other for _, other in found)
    most = NANO // COST
    asked = f"{PROCESSES} processes, {CONCURRENT} concurrent requests, a budget for {most}"
    return [
        Figure(f"{asked}: beyond it", max(0, admitted - most), "requests"),
        Figure(f"{asked}: admitted", admitted, "requests"),
        Figure(f"{asked}: not answered by Redis in time", away, "requests"),
    ]


async def frozen(server: RedisServer) -> list[Figure]:
    """How long requests wait for a lease while Redis is frozen: in the first second, and after it."""
    store = RedisStore(place(server.url))
    limits = RedisLimits(store)
    await store.open()
    await lease(limits, 0, RATED)
    waits: list[tuple[float, float]] = []

    async def one(number: int, since: float) -> None:
        begun = time.perf_counter()
        await lease(limits, number, RATED)
        waits.append((begun - since, time.perf_counter() - begun))

    server.freeze()
    since = time.perf_counter()
    tasks: list[asyncio.Task[None]] = []
    while time.perf_counter() - since < FROZEN_SECONDS:
        tasks.append(asyncio.create_task(one(len(tasks) + 1, since)))
        await asyncio.sleep(PACE)
    done, hung = await asyncio.wait(tasks, timeout=1)
    server.thaw()
    await store.close()
    first, later = [wait for at, wait in waits if at < 1], [wait for at, wait in waits if at >= 1]
    return [
        Figure("Redis frozen: p99 wait in the first second", percentile(first) * 1000, "ms"),
        Figure("Redis frozen: p99 wait after it", percentile(later) * 1000, "ms"),
        Figure("Redis frozen: hung", len(hung) + sum(task.exception() is not None for task in done), "requests"),
    ]


def percentile(values: list[float]) -> float:
    """The 99th percentile."""
    return sorted(values)[int(len(values) * 0.99)]


def main() -> int:
    """Measure and print."""
    with RedisServer() as server:
        figures = [*uvloop.run(costs(server)), *overshoot(server.url)]
        figures += uvloop.run(frozen(server))
    for figure in figures:
        print(f"{figure.value:10.1f} {figure.unit:<10} {figure.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
