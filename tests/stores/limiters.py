"""The two twins that keep limits, with time that a test can let pass."""

from typing import Any

from gateway.stores.limits import NANO, Lease, Need
from gateway.stores.limits_memory import MemoryLimits
from gateway.stores.limits_redis import RedisLimits
from gateway.stores.limits_tally import LimitTally
from gateway.stores.redis import RedisStore
from gateway.stores.redis_url import Place
from gateway.types import Caller, Limits, Team
from tests.redis_server import RedisServer

MIDDAY = 1_795_608_000.0  # 2026-11-25T12:00:00Z


class MemoryRig:
    """The twin in memory."""

    def __init__(self) -> None:
        self.now, self.wall = 1000.0, MIDDAY
        self.tally = LimitTally()
        self.limits = MemoryLimits(lambda: self.now, lambda: self.wall, self.tally)

    async def later(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds

    async def settled(self) -> None:
        """Nothing waits."""

    async def renew(self) -> None:
        self.limits.renew()

    def open(self, name: str) -> int:
        return len(self.limits.accounts[name, False].open)


class RedisRig:
    """The twin in Redis, whose clock is the server's own: time passes by what is kept growing older."""

    def __init__(self, server: RedisServer, at: Place | None = None) -> None:
        self.server = server
        self.tally = LimitTally()
        self.store = RedisStore(at or server.place)
        self.limits = RedisLimits(self.store, tally=self.tally)

    async def later(self, seconds: float) -> None:
        client, micro = self.server.client, int(seconds * 1e6)
        for key in client.scan_iter("gateway:limits:*"):
            if key.endswith(b":open"):
                for id, _ in client.zscan_iter(key):
                    client.zincrby(key, -micro, id)
            elif client.type(key) == b"hash":
                client.hincrby(key, "at", -micro)

    async def settled(self) -> None:
        await self.limits.flush()

    async def renew(self) -> None:
        await self.limits.renew()

    def open(self, name: str) -> int:
        found = list(self.server.client.scan_iter(f"*caller:{name}:open"))
        return sum(self.server.client.zcard(key) for key in found)

    async def close(self) -> None:
        """Close the connections."""
        await self.limits.close()
        await self.store.close()


Rig = MemoryRig | RedisRig


def caller(name: str = "search", team: Team | None = None, **limits: Any) -> Caller:
    """A caller with limits."""
    return Caller(name, limits=Limits(**limits), team=team)


def need(id: str, tokens: int = 0, usd: float = 0.0) -> Need:
    """What a request may use."""
    return Need(id, tokens, round(usd * NANO))


async def take(rig: Rig, who: Caller, count: int, tokens: int = 0, usd: float = 0.0, first: int = 0) -> list[Lease]:
    """Several leases."""
    return [await rig.limits.acquire(who, need(f"{who.name}-{first + n}", tokens, usd)) for n in range(count)]
