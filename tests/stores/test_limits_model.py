"""Both twins against one model: whatever is taken, settled, lost and waited for, no limit is ever exceeded."""

import asyncio
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.errors import BudgetSpent, LimitReached
from gateway.stores.limits import LEASE_SECONDS, NANO, Lease
from gateway.types import Caller, Limits, Team
from tests.redis_server import RedisServer
from tests.stores.limiters import MemoryRig, RedisRig, Rig, caller, need

SLACK = 2.0  # seconds that an example may really take, in which the server's buckets drain unseen by the model
RPM, TPM, AT_A_TIME, USD = 6, 100, 3, 2
NAMES = ("one", "other")


class Promise(RuleBasedStateMachine):
    """The model: every admission with its time, its tokens and its money."""

    server: ClassVar[RedisServer | None] = None

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.number = 0
        self.admitted: list[tuple[float, str]] = []
        self.tokens: list[tuple[float, str, int]] = []  # what was settled, or is reserved
        self.spent = dict.fromkeys(NAMES, 0)
        self.reserved: dict[str, tuple[Lease, str, float]] = {}

    @initialize()
    def begin(self) -> None:
        self.rig: Rig = MemoryRig() if self.server is None else self.loop.run_until_complete(self.shared(self.server))
        team = Team("team", Limits(rpm=RPM + 2, usd_per_month=USD * 1.5))
        limits = {"rpm": RPM, "tpm": TPM, "concurrency": AT_A_TIME, "usd_per_day": USD}
        self.callers: dict[str, Caller] = {name: caller(name, team, **limits) for name in NAMES}

    @staticmethod
    async def shared(server: RedisServer) -> Rig:
        server.client.flushall()
        return RedisRig(server)

    @rule(name=st.sampled_from(NAMES), tokens=st.integers(0, 60), cents=st.integers(0, 120))
    def acquire(self, name: str, tokens: int, cents: int) -> None:
        self.number += 1
        wanted = need(f"request-{self.number}", tokens, cents / 100)
        try:
            lease = self.loop.run_until_complete(self.rig.limits.acquire(self.callers[name], wanted))
        except BudgetSpent:
            assert self.money(name) + wanted.nano > USD * NANO or self.money() + wanted.nano > USD * 1.5 * NANO
            return
        except LimitReached:
            return
        self.admitted.append((self.now, name))
        self.reserved[wanted.id] = (lease, name, self.now)

    @rule(data=st.data(), tokens=st.integers(0, 60), share=st.floats(0, 1))
    def settle(self, data: st.DataObject, tokens: int, share: float) -> None:
        if not self.reserved:
            return
        id = data.draw(st.sampled_from(sorted(self.reserved)))
        lease, name, _ = self.reserved.pop(id)
        nano = int(lease.need.nano * share)
        self.loop.run_until_complete(self.told(lease, min(tokens, lease.need.tokens), nano))
        self.spent[name] += nano

    async def told(self, lease: Lease, tokens: int, nano: int) -> None:
        """Settle and wait for it."""
        self.rig.limits.settle(lease, tokens, nano)
        await self.rig.settled()

    @rule(seconds=st.floats(0.1, 40))
    def later(self, seconds: float) -> None:
        self.loop.run_until_complete(self.rig.later(seconds))
        self.now += seconds

    @rule()
    def renew(self) -> None:
        self.loop.run_until_complete(self.rig.renew())
        alive = {id for id, (_, _, renewed) in self.reserved.items() if self.now - renewed < LEASE_SECONDS}
        self.reserved = {
            id: (lease, name, self.now if id in alive else since) for id, (lease, name, since) in self.reserved.items()
        }

    def money(self, name: str | None = None) -> int:
        """Nano-dollars spent or reserved, by one or by both."""
        names = NAMES if name is None else (name,)
        open = sum(lease.need.nano for lease, who, _ in self.reserved.values() if who in names)
        return open + sum(self.spent[each] for each in names)

    @invariant()
    def no_window_has_more_than_limit_and_burst(self) -> None:
        for name, limit in ((NAMES[:1], RPM), (NAMES[1:], RPM), (NAMES, RPM + 2)):
            times = [time for time, who in self.admitted if who in name]
            for first, begin in enumerate(times):
                for last in range(first, len(times)):
                    window = times[last] - begin + SLACK
                    assert last - first + 1 <= limit + window * limit / 60 + 1e-6

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        assert all(self.money(name) <= USD * NANO for name in NAMES)
        assert self.money() <= USD * 1.5 * NANO

    @invariant()
    def no_more_are_in_flight_than_allowed(self) -> None:
        for name in NAMES:
            alive = [since for _, who, since in self.reserved.values() if who == name]
            assert len([since for since in alive if self.now - since < LEASE_SECONDS - SLACK]) <= AT_A_TIME

    def teardown(self) -> None:
        if hasattr(self, "rig"):
            self.loop.run_until_complete(self.end())
        self.loop.close()

    async def end(self) -> None:
        """When all is settled, nothing is reserved and what is spent is what was settled."""
        for lease, _, _ in self.reserved.values():
            self.rig.limits.settle(lease, 0, 0)
        await self.rig.settled()
        await self.rig.later(1000)
        for name in {who for _, who in self.admitted}:
            assert self.rig.open(name) == 0
            lease = await self.rig.limits.acquire(self.callers[name], need(f"last of {name}"))
            assert lease.levels[0].day == self.spent[name]
            assert lease.levels[1].month == sum(self.spent.values())
        if isinstance(self.rig, RedisRig):
            await self.rig.close()


def test_memory_keeps_the_promise() -> None:
    run(Promise)


def test_redis_keeps_the_promise(model_server: RedisServer) -> None:
    run(type("PromiseOfRedis", (Promise,), {"server": model_server}), examples=30)


@pytest.fixture
def model_server(redis_server: RedisServer) -> Iterator[RedisServer]:
    yield redis_server


def run(machine: type[Promise], examples: int = 100) -> None:
    """Run a machine as one test."""
    test = machine.TestCase
    test.settings = settings(max_examples=examples, stateful_step_count=40, deadline=None)
    test("runTest").runTest()
