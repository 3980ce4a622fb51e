"""What the cache in memory costs with so many answers in it: looks, new entries, and the longest pauses."""

import asyncio
import gc
import random
import time
from collections.abc import Awaitable, Callable

from gateway.stores.cache import SLOT_SECONDS, Entry, MemoryCache, Purge

BODY = b'{"id":"chatcmpl-1","choices":[{"index":0,"message":{"role":"assistant","content":"Yes."}}]}'
ROOM = 1 << 40  # bytes: nothing has to go
TTL = 3600.0  # seconds, in which the entries came evenly
LOOKS = 20_000
PER_CALLER = 1_000  # entries


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def key(number: int) -> bytes:
    """The key of an entry."""
    return random.Random(number).randbytes(32)


async def filled(count: int, clock: Clock) -> tuple[MemoryCache, list[bytes]]:
    """A cache with so many entries, and some of their keys."""
    cache, keys, every = MemoryCache(ROOM, clock), [], max(1, count // LOOKS)
    for number in range(count):
        clock.now = number * TTL / count
        name = number.to_bytes(32, "big") if number % every else key(number)
        await cache.put(name, Entry(BODY, "gpu/llama", f"caller-{number // PER_CALLER}", "bench", "llama"), TTL)
        if not number % every:
            keys.append(name)
    random.Random(1).shuffle(keys)
    return cache, keys


async def each_us(keys: list[bytes], work: Callable[[bytes], Awaitable[object]]) -> float:
    """CPU microseconds of a piece of work for each key."""
    begun = time.process_time()
    for name in keys:
        await work(name)
    return (time.process_time() - begun) * 1e6 / len(keys)


async def pause_ms(work: Awaitable[object]) -> float:
    """CPU milliseconds of one piece of work, in which nothing else is done."""
    begun = time.process_time()
    await work
    return (time.process_time() - begun) * 1e3


async def costs(count: int) -> dict[str, float]:
    """All figures for one size."""
    clock = Clock()
    cache, keys = await filled(count, clock)
    entry = Entry(BODY, "gpu/llama", "caller-0", "bench", "llama")
    absent = [key(-number - 1) for number in range(len(keys))]
    found = {
        "CPU us per hit": await each_us(keys, lambda name: cache.get([name])),
        "CPU us per miss": await each_us(absent, lambda name: cache.get([name])),
        "CPU us per new entry": await each_us(absent, lambda name: cache.put(name, entry, TTL)),
        "ms of forgetting a caller": await pause_ms(cache.purge(Purge(caller=f"caller-{(count - 1) // PER_CALLER}"))),
    }
    clock.now = TTL + SLOT_SECONDS + 1
    return {**found, "ms of letting a minute's entries go": await pause_ms(cache.put(b"one", entry, TTL))}


def cache_cost(count: int) -> dict[str, float]:
    """The same, without the collector of garbage."""
    gc.collect()
    gc.disable()
    try:
        return asyncio.run(costs(count))
    finally:
        gc.enable()
