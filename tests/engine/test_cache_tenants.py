"""Nobody gets an answer that was made for somebody else: any run of requests, bursts, purges, waits and reloads."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from gateway.types import CacheControl, Caller
from tests.engine.tenants import AT_ONCE, CALLERS, CONTROLS, PROMPTS, ROUTES, STEP, Told, World, area, driven, strange

CALLER, PROMPT, WHERE = (st.sampled_from(some) for some in (CALLERS, PROMPTS[:3], ROUTES))
ASKED = st.tuples(CALLER, WHERE, PROMPT, st.booleans(), st.sampled_from(CONTROLS))


class Tenants(RuleBasedStateMachine):
    """Random callers on random routes."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = World.__new__(World)
        self.run(self.begun())

    async def begun(self) -> None:
        self.world = World()

    def teardown(self) -> None:
        self.runner.close()

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(what)

    @rule(asked=st.lists(ASKED, min_size=1, max_size=AT_ONCE))
    def burst(self, asked: list[tuple[Caller, str, str, bool, CacheControl]]) -> None:
        told: list[Told] = self.run(self.world.burst(asked))
        assert [one for one in told if strange(one)] == []
        assert self.world.rig.tools.keeping.flights == {}

    @rule(caller=st.none() | CALLER)
    def purge(self, caller: Caller | None) -> None:
        self.run(self.world.purge(caller))

    @rule(seconds=st.floats(0, STEP))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

    @rule()
    def reload(self) -> None:
        self.world.reload()


TestTenants = Tenants.TestCase
TestTenants.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_traffic_has_hits_of_every_kind_and_never_a_strangers(seed: int) -> None:
    count, said = asyncio.run(driven(3000, seed))
    assert count == 0
    assert all(said.values()), said


def test_strangers_are_told_from_those_who_share() -> None:
    red, blue, green, loner, _ = CALLERS
    assert not strange(Told(red, "caller", "red", "hit"))
    assert strange(Told(red, "caller", "blue", "hit"))
    assert not strange(Told(blue, "team", "red", "hit"))
    assert strange(Told(green, "team", "red", "hit"))
    assert strange(Told(loner, "team", "red", "hit"))
    assert not strange(Told(green, "all", "red", "hit"))


def test_area_is_one_half_for_equals_and_one_for_what_never_overlaps() -> None:
    assert area([1, 2, 3], [1, 2, 3]) == 0.5
    assert area([4, 5], [1, 2, 3]) == area([1, 2, 3], [4, 5]) == 1.0
