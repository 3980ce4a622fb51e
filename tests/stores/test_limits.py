"""Limits: what both twins promise."""

import gc
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import BudgetSpent, LimitReached, TooLarge
from gateway.stores.limits import LATE_SECONDS, LEASE_SECONDS, NANO, Dates, dates
from gateway.types import Caller, Limits, Team
from tests.redis_server import RedisServer
from tests.stores.limiters import MIDDAY, MemoryRig, RedisRig, Rig, caller, need, take


@pytest_asyncio.fixture(params=["memory", "redis"])
async def rig(request: pytest.FixtureRequest) -> AsyncIterator[Rig]:
    """Each of the twins."""
    if request.param == "memory":
        yield MemoryRig()
        return
    server: RedisServer = request.getfixturevalue("redis_server")
    made = RedisRig(server)
    yield made
    await made.close()


@pytest.mark.asyncio
async def test_as_many_requests_a_minute_as_the_limit_says_and_no_more(rig: Rig) -> None:
    who = caller(rpm=5)
    await take(rig, who, 5)
    with pytest.raises(LimitReached) as caught:
        await rig.limits.acquire(who, need("sixth"))
    error = caught.value
    assert (error.status, error.code, error.type) == (429, "rate_limit_exceeded", "rate_limit_error")
    assert error.retry_after == pytest.approx(12.0, abs=0.5)
    assert ("x-should-retry", "true") in error.headers
    assert "'search'" in error.message and "5 requests a minute" in error.message


@pytest.mark.asyncio
async def test_requests_drain_steadily(rig: Rig) -> None:
    who = caller(rpm=5)
    await take(rig, who, 5)
    await rig.later(12.1)
    await rig.limits.acquire(who, need("after twelve seconds"))
    with pytest.raises(LimitReached):
        await rig.limits.acquire(who, need("one more"))


@pytest.mark.asyncio
async def test_a_refused_request_takes_nothing(rig: Rig) -> None:
    who = caller(rpm=2, tpm=100)
    await take(rig, who, 1, tokens=90)
    for number in range(5):
        with pytest.raises(LimitReached, match="100 tokens a minute"):
            await rig.limits.acquire(who, need(f"refused {number}", 20))
    await rig.limits.acquire(who, need("fits", 10))


@pytest.mark.asyncio
async def test_tokens_that_were_not_used_are_given_back(rig: Rig) -> None:
    who = caller(tpm=100)
    (lease,) = await take(rig, who, 1, tokens=100)
    rig.limits.settle(lease, 30, 0)
    await rig.settled()
    lease = await rig.limits.acquire(who, need("seventy", 70))
    assert lease.levels[0].tokens == pytest.approx(100, abs=1)


@pytest.mark.asyncio
async def test_tokens_that_were_used_beyond_the_reservation_count_too(rig: Rig) -> None:
    who = caller(tpm=100)
    (lease,) = await take(rig, who, 1, tokens=10)
    rig.limits.settle(lease, 90, 0)
    await rig.settled()
    with pytest.raises(LimitReached):
        await rig.limits.acquire(who, need("twenty", 20))


@pytest.mark.asyncio
async def test_absurd_usage_shuts_nobody_out_for_longer_than_two_minutes(rig: Rig) -> None:
    who = caller(tpm=100)
    (lease,) = await take(rig, who, 1, tokens=10)
    rig.limits.settle(lease, 10**12, 0)
    await rig.settled()
    await rig.later(121)
    await rig.limits.acquire(who, need("after two minutes", 90))


@pytest.mark.asyncio
async def test_a_request_that_never_fits_is_told_so(rig: Rig) -> None:
    with pytest.raises(TooLarge, match=r"101 tokens.*100 a minute.*never fits"):
        await rig.limits.acquire(caller(tpm=100), need("large", 101))


@pytest.mark.asyncio
async def test_requests_at_a_time_are_given_back_when_they_end(rig: Rig) -> None:
    who = caller(concurrency=2)
    leases = await take(rig, who, 2)
    with pytest.raises(LimitReached, match="2 requests at a time") as caught:
        await rig.limits.acquire(who, need("third"))
    assert caught.value.retry_after == 1.0
    rig.limits.settle(leases[0], 0, 0)
    await rig.settled()
    await rig.limits.acquire(who, need("third"))


@pytest.mark.asyncio
async def test_a_lease_that_nobody_renews_gives_its_place_back_after_a_minute(rig: Rig) -> None:
    who = caller(concurrency=1)
    held = await take(rig, who, 1)
    await rig.later(LEASE_SECONDS - 1)
    with pytest.raises(LimitReached):
        await rig.limits.acquire(who, need("too early"))
    await rig.later(2)
    await rig.limits.acquire(who, need("after a minute"))
    assert held


@pytest.mark.asyncio
async def test_a_lease_that_is_held_is_renewed_and_one_that_was_lost_is_not(rig: Rig) -> None:
    held, lost = caller("held", concurrency=1), caller("lost", concurrency=1)
    kept = await take(rig, held, 1)
    await take(rig, lost, 1)
    gc.collect()
    await rig.later(LEASE_SECONDS - 1)
    await rig.renew()
    await rig.later(2)
    with pytest.raises(LimitReached):
        await rig.limits.acquire(held, need("still busy"))
    await rig.limits.acquire(lost, need("free again"))
    assert kept


@pytest.mark.asyncio
async def test_money_is_reserved_at_the_dearest_and_settled_at_what_it_was(rig: Rig) -> None:
    who = caller(usd_per_day=1.0)
    leases = await take(rig, who, 2, usd=0.5)
    with pytest.raises(BudgetSpent) as caught:
        await rig.limits.acquire(who, need("third", usd=0.1))
    assert (caught.value.status, caught.value.code) == (429, "insufficient_quota")
    assert caught.value.retry_after == 1.0, "what is reserved may be given back soon"
    for lease in leases:
        rig.limits.settle(lease, 0, NANO // 10)
    await rig.settled()
    await rig.limits.acquire(who, need("third", usd=0.8))
    with pytest.raises(BudgetSpent):
        await rig.limits.acquire(who, need("fourth", usd=0.01))


@pytest.mark.asyncio
async def test_money_that_is_spent_comes_back_at_midnight_utc(rig: Rig) -> None:
    who = caller(usd_per_day=1.0)
    (lease,) = await take(rig, who, 1, usd=1.0)
    rig.limits.settle(lease, 0, NANO)
    await rig.settled()
    with pytest.raises(BudgetSpent, match="1 US dollars a day") as caught:
        await rig.limits.acquire(who, need("second", usd=0.1))
    wait = caught.value.retry_after
    assert wait is not None and 1 < wait <= 86_400
    assert ("x-should-retry", "true" if wait <= 120 else "false") in caught.value.headers


@pytest.mark.asyncio
async def test_a_request_without_a_price_passes_an_exhausted_budget(rig: Rig) -> None:
    who = caller(usd_per_day=1.0)
    await take(rig, who, 1, usd=1.0)
    await rig.limits.acquire(who, need("own hardware"))


@pytest.mark.asyncio
async def test_the_month_has_a_budget_of_its_own(rig: Rig) -> None:
    who = caller(usd_per_day=10, usd_per_month=0.5)
    await take(rig, who, 1, usd=0.5)
    with pytest.raises(BudgetSpent, match=r"0\.5 US dollars a month"):
        await rig.limits.acquire(who, need("second", usd=0.1))


@pytest.mark.asyncio
async def test_a_lease_is_settled_once(rig: Rig) -> None:
    who = caller(usd_per_day=1.0, tpm=1000, concurrency=3)
    (lease,) = await take(rig, who, 1, tokens=100, usd=1.0)
    for _ in range(3):
        rig.limits.settle(lease, 10, NANO // 2)
        await rig.settled()
    lease = await rig.limits.acquire(who, need("second", usd=0.5))
    assert (lease.levels[0].day, lease.levels[0].flying) == (NANO, 1)


@pytest.mark.asyncio
async def test_a_lease_may_be_settled_late_and_stays_charged_in_full_until_then(rig: Rig) -> None:
    who = caller(usd_per_day=1.0)
    (lease,) = await take(rig, who, 1, usd=1.0)
    await rig.later(LEASE_SECONDS + 1)
    with pytest.raises(BudgetSpent):
        await rig.limits.acquire(who, need("charged in full", usd=0.1))
    rig.limits.settle(lease, 0, 0)
    await rig.settled()
    await rig.limits.acquire(who, need("given back", usd=1.0))
    assert LEASE_SECONDS < LATE_SECONDS


@pytest.mark.asyncio
async def test_a_team_limits_all_its_callers_together(rig: Rig) -> None:
    team = Team("research", Limits(rpm=3))
    one, other = caller("one", team, rpm=2), caller("other", team)
    await take(rig, one, 2)
    with pytest.raises(LimitReached, match="the caller 'one'"):
        await rig.limits.acquire(one, need("over its own"))
    await rig.limits.acquire(other, need("last of the team"))
    with pytest.raises(LimitReached, match="the team 'research'"):
        await rig.limits.acquire(other, need("over the team's"))
    assert rig.tally.rejections == {("one", "rpm"): 1, ("other", "team_rpm"): 1}


@pytest.mark.asyncio
async def test_what_the_team_refuses_is_not_taken_from_the_caller(rig: Rig) -> None:
    team = Team("research", Limits(concurrency=1))
    one, other = caller("one", team, rpm=2), caller("other", team)
    (lease,) = await take(rig, other, 1)
    for number in range(4):
        with pytest.raises(LimitReached):
            await rig.limits.acquire(one, need(f"refused {number}"))
    rig.limits.settle(lease, 0, 0)
    await rig.settled()
    lease = await rig.limits.acquire(one, need("fits"))
    assert lease.levels[0].requests == pytest.approx(1, abs=0.1)


@pytest.mark.asyncio
async def test_callers_without_a_common_team_do_not_touch_each_other(rig: Rig) -> None:
    await take(rig, caller("one", rpm=1), 1)
    await take(rig, caller("other", rpm=1), 1)


@pytest.mark.asyncio
async def test_a_limit_may_change_while_it_is_used(rig: Rig) -> None:
    await take(rig, caller(rpm=5), 5)
    await take(rig, caller(rpm=10), 5, first=5)
    with pytest.raises(LimitReached):
        await take(rig, caller(rpm=10), 1, first=10)


@pytest.mark.asyncio
async def test_a_limit_that_is_new_does_not_count_what_came_before_it(rig: Rig) -> None:
    await take(rig, caller(usd_per_day=1.0), 50)
    await take(rig, caller(usd_per_day=1.0, rpm=5), 5, first=50)


@pytest.mark.asyncio
async def test_nothing_is_open_when_all_is_settled(rig: Rig) -> None:
    who = caller(rpm=100, tpm=10_000, usd_per_day=5.0)
    for lease in await take(rig, who, 20, tokens=10, usd=0.01):
        rig.limits.settle(lease, 5, 1000)
    await rig.settled()
    assert rig.open("search") == 0
    lease = await rig.limits.acquire(who, need("last"))
    assert lease.levels[0].day == 20 * 1000


@pytest.mark.asyncio
async def test_what_is_left_of_budgets_is_known(rig: Rig) -> None:
    (lease,) = await take(rig, caller(usd_per_day=1.0, usd_per_month=10), 1, usd=0.5)
    rig.limits.settle(lease, 0, NANO // 4)
    await rig.settled()
    found = {(name, limit): usd for name, limit, usd in rig.tally.remaining(lease.dates)}
    assert found == {("search", "usd_per_day"): 0.75, ("search", "usd_per_month"): 9.75}


@pytest.mark.parametrize("limit", [1, 2**31, 10**15])
@pytest.mark.asyncio
async def test_limits_of_any_size_hold(rig: Rig, limit: int) -> None:
    who = caller(rpm=limit, tpm=limit, concurrency=limit, usd_per_day=limit, usd_per_month=limit)
    (lease,) = await take(rig, who, 1, tokens=1, usd=1)
    assert lease.levels[0].requests == 1.0 and lease.levels[0].day == NANO


@pytest.mark.parametrize(
    "name",
    [
        "'; redis.call('FLUSHALL') --",
        "}{:*:open",
        "{a}:caller:b",
        "] redis.call('set','x',1) --[[",
        "\r\nFLUSHALL\r\n",
        "%s%n\\0",
        "\0",
        "مرحبا",
        "a" * 300,
    ],
)
@pytest.mark.asyncio
async def test_a_name_is_a_name_whatever_is_in_it(rig: Rig, name: str) -> None:
    team = Team(name, Limits(rpm=3))
    await take(rig, caller("bystander", rpm=1), 1)
    await take(rig, caller(name, team, rpm=2), 2)
    with pytest.raises(LimitReached):
        await rig.limits.acquire(caller(name, team, rpm=2), need("third"))
    with pytest.raises(LimitReached):
        await rig.limits.acquire(caller("bystander", rpm=1), need("second"))


@pytest.mark.asyncio
async def test_a_caller_is_not_its_team_even_with_the_same_name(rig: Rig) -> None:
    await take(rig, caller("same", rpm=1), 1)
    member = Caller("member", team=Team("same", Limits(rpm=1)))
    await take(rig, member, 1)


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
@pytest.mark.asyncio
async def test_a_clock_that_jumps_an_hour_neither_frees_nor_stops_anybody(jump: float) -> None:
    rig = MemoryRig()
    await take(rig, caller(rpm=5), 5)
    rig.wall += jump
    with pytest.raises(LimitReached):
        await rig.limits.acquire(caller(rpm=5), need("sixth"))
    await rig.later(12.1)
    await rig.limits.acquire(caller(rpm=5), need("sixth"))


@pytest.mark.asyncio
async def test_a_day_that_has_begun_does_not_begin_again_when_the_clock_is_set_back() -> None:
    rig, who = MemoryRig(), caller(usd_per_day=1.0)
    midnight = MIDDAY + 43_200
    rig.wall = midnight - 1
    await take(rig, who, 1, usd=1.0)
    rig.wall = midnight + 60
    await take(rig, who, 1, usd=1.0, first=1)
    rig.wall = midnight - 3000
    with pytest.raises(BudgetSpent):
        await rig.limits.acquire(who, need("an hour back", usd=1.0))
    rig.wall = midnight + 70
    with pytest.raises(BudgetSpent):
        await rig.limits.acquire(who, need("the same day", usd=1.0))
    rig.wall = midnight + 86_400
    await rig.limits.acquire(who, need("the next", usd=1.0))


@pytest.mark.asyncio
async def test_a_clock_that_was_a_year_ahead_shuts_nobody_out_for_a_year() -> None:
    rig, who = MemoryRig(), caller(usd_per_day=1.0)
    rig.wall = MIDDAY + 365 * 86_400
    await take(rig, who, 1, usd=1.0)
    rig.wall = MIDDAY
    await take(rig, who, 1, usd=1.0, first=1)


@pytest.mark.asyncio
async def test_a_reservation_of_yesterday_is_settled_in_yesterday() -> None:
    rig, who = MemoryRig(), caller(usd_per_day=1.0, usd_per_month=5.0)
    (lease,) = await take(rig, who, 1, usd=1.0)
    await rig.later(43_201)
    rig.limits.settle(lease, 0, NANO // 2)
    lease = await rig.limits.acquire(who, need("today", usd=1.0))
    assert (lease.levels[0].day, lease.levels[0].month) == (NANO, 3 * NANO // 2)


@pytest.mark.asyncio
async def test_what_was_spent_before_the_process_began_counts() -> None:
    rig, who = MemoryRig(), caller(usd_per_day=1.0, usd_per_month=5.0)
    rig.limits.seed("search", False, NANO, 2 * NANO)
    with pytest.raises(BudgetSpent):
        await rig.limits.acquire(who, need("today", usd=0.1))
    await rig.later(86_400)
    lease = await rig.limits.acquire(who, need("tomorrow", usd=0.1))
    assert lease.levels[0].month == 2 * NANO + NANO // 10


@given(st.integers(0, 40_000))
def test_months_are_those_of_the_calendar(day: int) -> None:
    date = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(days=day)
    assert dates(day * 86_400 + 5.0) == Dates(day, date.year * 12 + date.month - 1)
