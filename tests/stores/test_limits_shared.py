"""Limits that several gateways share: exact while Redis is there, by the rules of each use while it is away."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
import pytest_asyncio

from gateway.errors import BudgetSpent, GatewayError, LimitReached, StoreAway
from gateway.stores.limits import NANO, Need
from gateway.stores.limits_redis import PENDING
from gateway.stores.redis_url import Place
from gateway.types import Caller, Limits
from tests.redis_server import CALM, RedisServer
from tests.stores.limiters import RedisRig, caller, need, take

pytestmark = pytest.mark.asyncio
CENT = NANO // 100


def hasty(server: RedisServer) -> Place:
    """A server that is given up soon."""
    return replace(server.place, patience=CALM._replace(operation=0.2, longest=2))


@pytest_asyncio.fixture
async def pair(own_redis: RedisServer) -> AsyncIterator[tuple[RedisRig, RedisRig]]:
    """Two gateways on a Redis that may be broken."""
    rigs = RedisRig(own_redis, hasty(own_redis)), RedisRig(own_redis, hasty(own_redis))
    for rig in rigs:
        await rig.limits.beat()
    await rigs[0].limits.beat()
    yield rigs
    for rig in rigs:
        await rig.close()


async def admitted(rigs: tuple[RedisRig, ...], who: Caller, each: Need, count: int) -> int:
    """How many of so many concurrent requests are admitted, by all gateways together."""
    needs = [each._replace(id=f"{index}-{number}") for index in range(len(rigs)) for number in range(count)]
    asked = [rigs[index % len(rigs)].limits.acquire(who, one) for index, one in enumerate(needs)]
    found = await asyncio.gather(*asked, return_exceptions=True)
    unexpected = [one for one in found if isinstance(one, BaseException) and not isinstance(one, LimitReached)]
    assert not unexpected
    return sum(not isinstance(one, BaseException) for one in found)


@pytest.mark.parametrize(
    ("limits", "each", "most"),
    [
        ({"usd_per_day": 1.0}, Need("", nano=3 * CENT), 33),
        ({"usd_per_month": 0.5}, Need("", nano=CENT), 50),
        ({"rpm": 20}, Need(""), 20),
        ({"tpm": 100}, Need("", tokens=7), 14),
        ({"concurrency": 9}, Need(""), 9),
    ],
)
async def test_two_gateways_admit_exactly_what_one_limit_allows(
    pair: tuple[RedisRig, RedisRig], limits: dict[str, Any], each: Need, most: int
) -> None:
    assert await admitted(pair, caller(**limits), each, 200) == most


async def test_gateways_know_how_many_they_are(pair: tuple[RedisRig, RedisRig]) -> None:
    assert [rig.limits.gateways for rig in pair] == [2, 2]


async def test_requests_fall_to_a_share_of_the_limit_while_the_store_is_away(pair: tuple[RedisRig, RedisRig]) -> None:
    pair[0].server.kill()
    assert await admitted(pair, caller(rpm=20, tpm=1000, concurrency=30), Need("", tokens=10), 50) == 20
    assert pair[0].store.fallbacks["limits"] == 50


async def test_a_request_larger_than_the_share_is_admitted_when_nothing_else_is(
    pair: tuple[RedisRig, RedisRig],
) -> None:
    pair[0].server.kill()
    await pair[0].limits.acquire(caller(tpm=100), need("large", 90))
    with pytest.raises(LimitReached):
        await pair[0].limits.acquire(caller(tpm=100), need("second", 10))


async def test_a_budget_is_closed_while_the_store_is_away_and_never_with_a_401(
    pair: tuple[RedisRig, RedisRig],
) -> None:
    pair[0].server.kill()
    with pytest.raises(StoreAway, match="budget of the caller 'search' cannot be checked") as caught:
        await pair[0].limits.acquire(caller(usd_per_day=1.0), need("any", usd=0.01))
    assert caught.value.status == 503 and ("x-should-retry", "true") in caught.value.headers
    assert "127.0.0.1" not in caught.value.message
    assert pair[0].store.fallbacks["budget"] == 1


async def test_what_costs_nothing_passes_a_closed_budget(pair: tuple[RedisRig, RedisRig]) -> None:
    pair[0].server.kill()
    await pair[0].limits.acquire(caller(usd_per_day=1.0), need("own hardware"))


async def test_a_budget_may_fall_to_a_share_of_what_was_left(pair: tuple[RedisRig, RedisRig]) -> None:
    who = Caller("search", limits=Limits(usd_per_day=1.0), on_store_failure="local")
    (lease,) = await take(pair[0], who, 1, usd=0.6)
    await take(pair[1], who, 1, usd=0.0, first=1)
    pair[0].limits.settle(lease, 0, 60 * CENT)
    await pair[0].settled()
    pair[0].server.kill()
    assert await admitted(pair[:1], who, Need("", nano=CENT), 100) == 20
    assert await admitted(pair[1:], who, Need("", nano=CENT), 100) == 20


async def test_money_spent_while_the_store_was_away_is_counted_when_it_is_back(
    pair: tuple[RedisRig, RedisRig],
) -> None:
    who = Caller("search", limits=Limits(usd_per_day=1.0), on_store_failure="local")
    first, second = pair
    (lease,) = await take(first, who, 1, usd=0.2)
    first.server.freeze()
    away = await first.limits.acquire(who, need("away", usd=0.3))
    first.limits.settle(away, 0, 25 * CENT)
    first.limits.settle(lease, 0, 20 * CENT)
    first.server.thaw()
    await back(first)
    found = await second.limits.acquire(who, need("after"))
    assert (found.levels[0].day, found.levels[0].flying) == (45 * CENT, 1)


async def test_a_server_that_was_emptied_learns_again_what_was_spent(pair: tuple[RedisRig, RedisRig]) -> None:
    who = caller(usd_per_day=1.0)
    (lease,) = await take(pair[0], who, 1, usd=0.9)
    pair[0].limits.settle(lease, 0, 90 * CENT)
    await pair[0].settled()
    pair[0].server.kill()
    pair[0].server.start()
    await back(pair[0])
    with pytest.raises(BudgetSpent):
        await pair[0].limits.acquire(who, need("second", usd=0.2))


async def test_settlements_wait_for_the_store_and_are_not_counted_twice(pair: tuple[RedisRig, RedisRig]) -> None:
    who, first = caller(usd_per_day=1.0, concurrency=50), pair[0]
    leases = await take(first, who, 10, usd=0.1)
    first.server.freeze()
    for lease in leases:
        first.limits.settle(lease, 0, 5 * CENT)
    with pytest.raises(StoreAway):
        await first.limits.flush()
    assert len(first.limits.pending) == 10
    first.server.thaw()
    await back(first)
    lease = await first.limits.acquire(who, need("after"))
    assert (lease.levels[0].day, lease.levels[0].flying) == (50 * CENT, 1)


async def test_what_waits_for_the_store_is_bounded(pair: tuple[RedisRig, RedisRig]) -> None:
    (lease,) = await take(pair[0], caller(rpm=1), 1)
    pair[0].server.kill()
    for _ in range(PENDING + 10):
        pair[0].limits.settle(lease, 0, 0)
    assert len(pair[0].limits.pending) == PENDING


async def test_a_request_that_is_given_up_while_it_reserves_leaves_nothing_behind(
    pair: tuple[RedisRig, RedisRig],
) -> None:
    first, who = pair[0], caller(usd_per_day=1.0, concurrency=1)
    await take(first, caller("warm", rpm=1), 1)
    task = asyncio.create_task(first.limits.acquire(who, need("given up", usd=1.0)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await first.settled()
    lease = await first.limits.acquire(who, need("second", usd=1.0))
    assert lease.levels[0].flying == 1


async def test_a_gateway_that_ends_settles_what_is_left(pair: tuple[RedisRig, RedisRig]) -> None:
    who = caller(concurrency=1)
    (lease,) = await take(pair[0], who, 1)
    pair[0].limits.settle(lease, 0, 0)
    await pair[0].limits.close()
    await pair[1].limits.acquire(who, need("next"))


async def back(rig: RedisRig) -> None:
    """Wait until the store is back and everything is told to it."""
    async with asyncio.timeout(20):
        while True:
            try:
                await rig.limits.flush()
                await rig.store.command("PING")
            except GatewayError:
                await asyncio.sleep(0.05)
            else:
                return
