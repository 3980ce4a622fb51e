"""What a caller may use, around the answer it gets: however that ends, its lease is settled once."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from dataclasses import replace
from itertools import count
from typing import Any

import orjson
import pytest

from gateway.engine.leases import LONGEST, TEMPLATE_TOKENS, USUAL_TOKENS, most_prompt_tokens, need
from gateway.errors import BudgetSpent, LimitReached, ServerFault, StreamCut, TooLarge, UpstreamError
from gateway.routing.lane import Candidate
from gateway.routing.policy import CachePolicy, Route
from gateway.stores.limits import NANO
from gateway.stores.limits_memory import Account, MemoryLimits
from gateway.types import Caller, Limits, Price, Team
from tests.engine.fakes import GOOD, Rig, Script, bodies, role, text, whole
from tests.engine.virtual_time import now, run
from tests.routing.samples import BODY, deployment, request, route

A, B = (deployment(name, price=Price(1.0, 2.0)) for name in "ab")
COST = round((7 * 1.0 + 3 * 2.0) / 1e6 * NANO)  # of an answer of the scripts, in nano-dollars
PROMPT = len(orjson.dumps(BODY)) + TEMPLATE_TOKENS  # tokens, at most
DEAREST = round((PROMPT * 1.0 + 100 * 2.0) / 1e6 * NANO)  # of one of a hundred tokens
NUMBERS = count()
LIMITS = Limits(rpm=100, tpm=10_000, concurrency=2, usd_per_day=1.0)


def in_order(**facts: Any) -> Route:
    """A route that asks the first, then the second."""
    return route(candidates=(Candidate(A), Candidate(B, 1)), **facts)


def rig(*scripts: list[Script], of: Route | None = None) -> Rig:
    """A rig whose limits go by virtual time."""
    made = Rig(of or in_order(attempts=3), dict(zip("ab", scripts, strict=False)))
    made.tools = replace(made.tools, limits=MemoryLimits(now, lambda: 1_800_000_000.0))
    made.engine.tools = made.tools
    return made


def asked(limits: Limits = LIMITS, **facts: Any) -> dict[str, Any]:
    """The facts of a request by a caller with limits."""
    return {
        "id": f"req_{next(NUMBERS)}",
        "caller": Caller("search", limits=limits),
        "prompt_tokens": 10,
        "max_tokens": 100,
        **facts,
    }


def account(of: Rig) -> Account:
    """What the caller has used."""
    assert isinstance(of.tools.limits, MemoryLimits)
    return of.tools.limits.accounts["search", False]


def spent(of: Rig) -> int:
    """Nano-dollars spent or reserved."""
    return account(of).day


def scenario(make: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run in virtual time."""
    run(make())


def test_an_answer_costs_what_it_cost_and_not_what_was_reserved() -> None:
    async def go() -> None:
        of = rig([GOOD])
        answer = of.open(**asked())
        await bodies(answer)
        assert (spent(of), account(of).open) == (COST, {}) and account(of).tokens == pytest.approx(10)
        assert answer.lease is not None and answer.lease.levels[0].day == DEAREST

    scenario(go)


def test_a_caller_without_limits_has_no_lease() -> None:
    async def go() -> None:
        of = rig([GOOD])
        answer = of.open()
        await bodies(answer)
        assert answer.lease is None and isinstance(of.tools.limits, MemoryLimits) and not of.tools.limits.accounts

    scenario(go)


def test_a_refused_request_asks_nobody() -> None:
    async def go() -> None:
        of = rig([GOOD])
        await bodies(of.open(**asked(Limits(rpm=1))))
        with pytest.raises(LimitReached):
            await bodies(of.open(**asked(Limits(rpm=1))))
        with pytest.raises(TooLarge):
            await bodies(of.open(**asked(Limits(tpm=50))))
        with pytest.raises(BudgetSpent):
            await bodies(of.open(**asked(Limits(usd_per_day=0.0001))))
        assert of.calls == {"a": 1}

    scenario(go)


def test_attempts_that_failed_without_an_answer_cost_nothing() -> None:
    async def go() -> None:
        of = rig([[ServerFault]], [[ServerFault]])
        with pytest.raises(UpstreamError):
            await bodies(of.open(**asked()))
        assert (spent(of), account(of).tokens, account(of).open) == (0, 0, {})
        assert account(of).requests > 0

    scenario(go)


def test_all_attempts_that_gave_something_are_paid() -> None:
    async def go() -> None:
        of = rig([[role(), text("Hello"), StreamCut]], [GOOD], of=in_order(attempts=2, mid_stream="buffer"))
        answer = of.open(**asked())
        await bodies(answer)
        outcomes = [one for one in answer.outcomes if one.cost]
        assert len(outcomes) == 2
        assert spent(of) == sum(round((one.cost or 0) * NANO) for one in outcomes) > COST
        assert account(of).open == {}

    scenario(go)


def test_another_attempt_after_one_that_cost_something_reserves_more() -> None:
    async def go() -> None:
        of = rig([[role(), text("Hello"), StreamCut]], [GOOD], of=in_order(attempts=2, mid_stream="buffer"))
        with pytest.raises(BudgetSpent):
            await bodies(of.open(**asked(Limits(usd_per_day=DEAREST / NANO))))
        assert of.calls == {"a": 1}
        assert account(of).open == {} and 0 < spent(of) < DEAREST

    scenario(go)


def test_a_caller_that_hangs_up_gives_back_what_it_did_not_use() -> None:
    async def go() -> None:
        of = rig([[role(), text("Hello"), 60.0, *GOOD]])
        answer = of.open(**asked())
        async with aclosing(answer.chunks()) as chunks:
            await anext(chunks)
            assert len(account(of).open) == 1 and spent(of) == DEAREST
        assert account(of).open == {} and 0 < spent(of) < DEAREST

    scenario(go)


def test_a_task_that_is_cancelled_before_the_first_token_pays_its_prompt_alone() -> None:
    async def go() -> None:
        of = rig([[60.0, *GOOD]])
        task = asyncio.create_task(bodies(of.open(**asked())))
        await asyncio.sleep(1)
        assert len(account(of).open) == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert account(of).open == {} and spent(of) == 10_000

    scenario(go)


def test_only_so_many_are_in_flight_at_a_time() -> None:
    async def go() -> None:
        of = rig([[5.0, *GOOD]], of=route(A, attempts=1))
        tasks = [asyncio.create_task(bodies(of.open(**asked()))) for _ in range(5)]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert sum(isinstance(one, LimitReached) for one in found) == 3
        await bodies(of.open(**asked()))

    scenario(go)


def test_what_the_cache_answers_takes_nothing() -> None:
    async def go() -> None:
        of = rig([GOOD], of=route(A, attempts=1, cache=CachePolicy(60)))
        tight = asked(Limits(rpm=1, usd_per_day=1.0))
        first = await bodies(of.open(**tight))
        again = of.open(**tight)
        assert (await bodies(again))[0] == first[0] and again.lease is None
        assert spent(of) == COST

    scenario(go)


def test_a_team_pays_for_all_its_callers() -> None:
    async def go() -> None:
        of = rig([GOOD])
        team = Team("research", Limits(rpm=2))
        for name in ("one", "other"):
            await bodies(of.open(caller=Caller(name, team=team)))
        with pytest.raises(LimitReached, match="research"):
            await bodies(of.open(caller=Caller("third", team=team)))

    scenario(go)


def test_the_dearest_that_is_permitted_is_reserved() -> None:
    cheap, dear = deployment("cheap", price=Price(1.0, 1.0)), deployment("dear", model="other", price=Price(9.0, 9.0))
    both = route(cheap, dear)
    wanted = request(**asked())
    assert need(wanted, both).nano == round((PROMPT + 100) * 9.0 / 1e6 * NANO)
    narrow = replace(wanted, caller=replace(wanted.caller, models=frozenset({cheap.model})))
    assert need(narrow, both).nano == round((PROMPT + 100) * 1.0 / 1e6 * NANO)


def test_an_unlimited_completion_is_reserved_as_long_as_it_can_get() -> None:
    wanted = request(**asked(max_tokens=None))
    for output, context, longest in ((500, None, 500), (None, 1010, 1000), (None, None, LONGEST)):
        one = deployment("one", price=Price(0.0, 1.0), max_output=output, context=context)
        assert need(wanted, route(one)).nano == longest * 1000


def test_a_prompt_is_reserved_as_if_every_byte_were_a_token() -> None:
    strange = {"messages": [{"role": "user", "content": "\U0001f999" * 100}]}
    assert most_prompt_tokens(request(body=strange, prompt_tokens=25)) > 4 * 100
    assert most_prompt_tokens(request(prompt_tokens=1600)) == 1600 + TEMPLATE_TOKENS, "images are counted apart"


def test_several_answers_are_reserved_several_times() -> None:
    wanted = request(**asked(body={"n": 3}))
    prompt = most_prompt_tokens(wanted)
    assert need(wanted, route(A)).tokens == 10 + 3 * 100
    assert need(wanted, route(A)).nano == round((prompt * 1.0 + 300 * 2.0) / 1e6 * NANO)


def test_the_usual_number_of_tokens_is_reserved_where_nobody_says_how_many() -> None:
    assert need(request(**asked(max_tokens=None)), route(A)).tokens == 10 + USUAL_TOKENS
    assert need(request(**asked(Limits(tpm=100), max_tokens=None)), route(A)).tokens == 100
    assert need(request(**asked(Limits(tpm=5), max_tokens=None)), route(A)).tokens == 10


def test_only_what_is_limited_is_counted() -> None:
    found = need(request(**asked(Limits(rpm=1))), route(A))
    assert (found.tokens, found.nano, found.requests) == (0, 0, 1)


def test_an_answer_in_one_piece_is_settled_too() -> None:
    async def go() -> None:
        of = rig([[whole("Hello")]])
        await bodies(of.open(**asked(stream=False)))
        assert (spent(of), account(of).open) == (COST, {})

    scenario(go)
