"""What a flight that ends badly, or that a request may not join, is to those who ask the same."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway import errors
from gateway.engine import flights
from gateway.engine.admission import HEADER
from gateway.engine.answer import Answer
from gateway.errors import LimitReached
from gateway.routing.policy import CachePolicy
from gateway.stores.limits_memory import MemoryLimits
from gateway.types import CacheControl, Caller, Limits, Price, Team
from tests.engine.fakes import Rig, Script, bodies, finish, text, used, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, policy, request, route

A, B = (deployment(name, price=Price(1.0, 2.0)) for name in "ab")
SLOW: Script = [text("one"), 1.0, text(" two"), finish(), used()]
ONE = Limits(rpm=1)


def rig(**facts: Any) -> Rig:
    """A rig with limits of callers, which go by virtual time."""
    made = Rig(route(A, cache=CachePolicy(60.0, share="team"), attempts=1, **facts), {"a": [SLOW]})
    made.tools = replace(made.tools, limits=MemoryLimits(now, lambda: 1_800_000_000.0))
    made.engine.tools = made.tools
    return made


async def later(seconds: float, of: Rig, **facts: Any) -> Answer:
    """An answer that was read to its end, asked for after so many seconds."""
    await asyncio.sleep(seconds)
    answer = of.open(**facts)
    assert words(await bodies(answer)) == "one two"
    return answer


def test_limit_of_the_caller_who_asks_is_not_the_limit_of_the_one_who_joined() -> None:
    async def scenario() -> None:
        of, team = rig(), Team("research")
        spent, other = Caller("spent", team=team, limits=ONE), Caller("other", team=team, limits=ONE)
        await later(0.0, of, caller=spent, body=request().body | {"seed": 1})
        found = await asyncio.gather(
            *[later(0.0, of, caller=caller) for caller in (spent, other, spent)], return_exceptions=True
        )
        assert isinstance(found[0], LimitReached)
        assert isinstance(found[1], Answer)
        assert isinstance(found[2], LimitReached)
        assert found[0] is not found[2]
        assert found[2].levels

    run(scenario())


def test_error_is_the_same_for_everybody_and_an_object_of_each() -> None:
    first = LimitReached("Wait.", retry_after=2.0, headers=(("a", "b"),), levels=())
    second = flights.again(first)
    assert second is not first
    assert isinstance(second, LimitReached)
    assert (str(second), second.retry_after, second.headers, second.levels) == ("Wait.", 2.0, (("a", "b"),), ())


@pytest.mark.parametrize("count", [2, 10])
def test_nobody_waits_for_a_candidate_again_and_again(count: int) -> None:
    async def scenario() -> None:
        of = Rig(route(A, cache=CachePolicy(60.0), wait=2.0), {})
        of.book.drain(frozenset({"a"}), [A])
        began = now()
        waits = [0.0] + [0.5] * (count - 1)
        found = await asyncio.gather(*[later(wait, of) for wait in waits], return_exceptions=True)
        assert {type(one) for one in found} == {errors.NoCandidate}
        assert now() - began <= 4.0
        assert of.quiet()

    run(scenario())


def test_nobody_joins_a_flight_of_a_policy_that_allowed_more() -> None:
    async def scenario() -> None:
        of = Rig(route(A, B, cache=CachePolicy(60.0), attempts=1), {"a": [SLOW], "b": [SLOW]})
        first = asyncio.create_task(later(0.0, of))
        await asyncio.sleep(0.5)
        wide, own = of.policy, {"a": B, "b": A}[next(iter(of.calls))]
        of.policy = replace(wide, routes=(route(own, cache=CachePolicy(60.0)),), by_model=by_model(own))
        assert (await later(0.0, of)).deployment is own
        await first
        of.policy = wide

    run(scenario())


def by_model(only: Any) -> Any:
    """The routes by model of a policy that allows one deployment alone."""
    return policy(route(only, cache=CachePolicy(60.0))).by_model


@pytest.mark.parametrize("classes", [("batch", "default"), ("default", "batch")])
def test_request_of_another_class_waits_by_itself(classes: tuple[str, str]) -> None:
    async def scenario() -> None:
        of = rig()
        await asyncio.gather(*[later(0.1 * at, of, headers={HEADER: one}) for at, one in enumerate(classes)])
        assert of.calls == {"a": 2}

    run(scenario())


def test_answer_that_only_the_cache_could_give_takes_nothing_of_what_a_caller_may_use() -> None:
    async def scenario() -> None:
        of = rig()
        caller = Caller("search", limits=ONE)
        with pytest.raises(errors.NotCached):
            await bodies(of.open(caller=caller, cache=CacheControl(only_if_cached=True)))
        assert (await later(0.0, of, caller=caller)).cache == "miss"
        with pytest.raises(errors.NotCached):
            await bodies(of.open(caller=caller, cache=CacheControl(only_if_cached=True), body={"messages": [], "a": 1}))

    run(scenario())
