"""Whom the planner chooses, in what order, and why the others are out."""

from itertools import pairwise
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, NoCandidate, NothingFits, TooLongForAll
from gateway.routing.filters import FILTERS
from gateway.routing.planner import PROBE_AGE, PROBE_SHARE, TIE, consider, plan, sift
from gateway.routing.policy import Candidate, Route, Weights
from gateway.routing.stats import Stats, StatsBook
from gateway.routing.terms import TERMS, to_best
from gateway.types import ChatRequest, Deployment, Plan, Price, Rejection
from tests.routing.samples import deployment, request, route

NOW = 1000.0
MIDDLE = 0.5
CODES = {"capability", "context", "output", "cost", "latency", "busy", "resting", "ejected"}


def book(**stats: Stats) -> StatsBook:
    """A book with the stats of backends, whose deployments have the usual model."""
    found = StatsBook()
    found.deployments = {deployment(backend).name: seen for backend, seen in stats.items()}
    return found


def order(planned: Plan) -> list[str]:
    return [choice.deployment.backend for choice in planned.choices]


def first(rules: Route, known: StatsBook, chance: float) -> str:
    return order(plan(request(), rules, known, NOW, chance))[0]


A, B, C = deployment("a"), deployment("b"), deployment("c")
MEASURED = Stats(ttft=0.5, per_token=0.01, seen=NOW - 1)
EJECTED = Stats(ttft=0.5, per_token=0.01, seen=NOW - 1, faults=5, ejections=1, ejected_until=NOW + 3)
RESTING = Stats(ttft=0.5, per_token=0.01, seen=NOW - 1, resting_until=NOW + 30, resting_because="quota exhausted")


def test_cheaper_deployment_comes_first_when_cost_alone_counts() -> None:
    dear = deployment("dear", price=Price(5.0, 5.0))
    cheap = deployment("cheap", price=Price(1.0, 1.0))
    rules = route(dear, cheap, weights=Weights(1.0, 0.0, 0.0))
    assert order(plan(request(prompt_tokens=10_000), rules, StatsBook(), NOW, MIDDLE)) == ["cheap", "dear"]


def test_faster_deployment_comes_first_when_latency_alone_counts() -> None:
    rules = route(A, B, weights=Weights(0.0, 1.0, 0.0))
    known = book(a=Stats(ttft=5.0, per_token=0.1, seen=NOW), b=MEASURED)
    assert order(plan(request(), rules, known, NOW, MIDDLE)) == ["b", "a"]


def test_smaller_model_comes_first_when_size_alone_counts() -> None:
    small = deployment("small", "llama-3.1-8b-instruct", size=8.0)
    rules = route(A, small, weights=Weights(0.0, 0.0, 1.0))
    assert order(plan(request(), rules, StatsBook(), NOW, MIDDLE)) == ["small", "a"]


def test_lower_tier_comes_first_whatever_the_score() -> None:
    dear = deployment("own", price=Price(100.0, 100.0))
    cheap = deployment("hosted", price=Price(0.1, 0.1), location="hosted")
    rules = route(candidates=(Candidate(cheap, 1), Candidate(dear, 0)), weights=Weights(1.0, 0.0, 0.0))
    planned = plan(request(), rules, StatsBook(), NOW, MIDDLE)
    assert order(planned) == ["own", "hosted"]
    assert planned.reason == f"{dear.name} comes first by the route's preference"


def test_prompt_is_corrected_by_what_its_own_model_has_counted() -> None:
    other, known = deployment("b", "llama-3.1-8b-instruct"), StatsBook()
    known.correction[A.model] = 1.5
    planned = plan(request(prompt_tokens=100), route(A, other), known, NOW, MIDDLE)
    assert {choice.deployment: choice.forecast.prompt_tokens for choice in planned.choices} == {A: 150, other: 100}


def test_best_in_every_term_scores_one() -> None:
    planned = plan(request(), route(A), StatsBook(), NOW, MIDDLE)
    assert planned.choices[0].score == pytest.approx(1.0)
    assert planned.reason == f"{A.name} is the only candidate"


def test_differences_below_the_scale_of_a_term_hardly_count() -> None:
    """One free token against one that costs a thousandth of a cent is no factor of infinity."""
    free, nearly = deployment("free"), deployment("nearly", price=Price(0.001, 0.001))
    planned = plan(request(), route(free, nearly, weights=Weights(1.0, 0.0, 0.0)), StatsBook(), NOW, MIDDLE)
    assert max(choice.score for choice in planned.choices) < 1.01


@pytest.mark.parametrize("count", range(2, 9))
def test_near_ties_are_spread_by_chance(count: int) -> None:
    """Every one of equal deployments is first at times, and nobody more than half of the time and a bit."""
    rules = route(*[deployment(f"gpu-{index}") for index in range(count)])
    tries = 1000
    firsts = [first(rules, StatsBook(), 0.01 + 0.99 * step / tries) for step in range(tries)]
    shares = [firsts.count(f"gpu-{index}") / tries for index in range(count)]
    assert min(shares) > 0.25 / count
    assert max(shares) < 0.65


def test_clear_winner_is_first_whatever_the_chance() -> None:
    rules = route(A, B, C, weights=Weights(0.0, 1.0, 0.0))
    slower = MEASURED._replace(ttft=1.0)
    known = book(a=slower, b=MEASURED, c=slower)
    assert {first(rules, known, step / 500) for step in range(500)} == {"b"}


def test_one_request_in_a_hundred_probes_whoever_was_measured_longest_ago() -> None:
    rules = route(A, B, C, weights=Weights(0.0, 1.0, 0.0))
    stale = Stats(ttft=9.0, per_token=0.1, seen=NOW - PROBE_AGE - 1)
    staler = Stats(ttft=9.0, per_token=0.1, seen=NOW - PROBE_AGE - 2)
    known = book(a=stale, b=MEASURED, c=staler)
    probing = plan(request(), rules, known, NOW, PROBE_SHARE / 2)
    assert order(probing)[0] == "c"
    assert probing.reason == f"probing {C.name}, not measured lately"
    assert first(rules, known, PROBE_SHARE) == "b"


def test_deployment_never_measured_is_the_stalest_of_all() -> None:
    rules = route(A, B, weights=Weights(1.0, 0.0, 0.0))
    dear = deployment("a", price=Price(9.0, 9.0))
    rules = route(dear, B, weights=Weights(1.0, 0.0, 0.0))
    assert first(rules, book(b=MEASURED), PROBE_SHARE / 2) == "a"
    assert first(rules, book(b=MEASURED), MIDDLE) == "b"


def test_probing_leaves_recent_measurements_alone() -> None:
    rules = route(A, B, weights=Weights(0.0, 1.0, 0.0))
    known = book(a=Stats(ttft=9.0, per_token=0.1, seen=NOW - PROBE_AGE + 1), b=MEASURED)
    assert first(rules, known, 0.0) == "b"


def test_probing_never_leaves_the_best_tier() -> None:
    rules = route(candidates=(Candidate(A, 0), Candidate(B, 1)))
    assert first(rules, book(a=MEASURED), 0.0) == "a"


def test_ejected_deployment_is_not_asked_while_another_is_left() -> None:
    planned = plan(request(), route(A, B), book(a=EJECTED), NOW, MIDDLE)
    assert order(planned) == ["b"]
    assert [(out.deployment, out.code) for out in planned.rejected] == [(A, "ejected")]


def test_ejected_deployments_are_pardoned_when_nobody_else_is_left() -> None:
    planned = plan(request(), route(A, B, C), book(a=EJECTED, b=RESTING, c=EJECTED), NOW, MIDDLE)
    assert sorted(order(planned)) == ["a", "c"]
    assert [(out.deployment, out.code) for out in planned.rejected] == [(B, "resting")]


def test_resting_deployments_are_never_pardoned() -> None:
    both = EJECTED._replace(resting_until=NOW + 12, resting_because="quota exhausted")
    with pytest.raises(NoCandidate) as caught:
        plan(request(), route(A, B), book(a=RESTING, b=both), NOW, MIDDLE)
    assert caught.value.retry_after == pytest.approx(12.0)
    assert "quota exhausted" in caught.value.message


def test_policy_exclusions_stay_in_the_plan() -> None:
    out = Rejection(C, "not in region eu")
    assert plan(request(), route(A, excluded=(out,)), StatsBook(), NOW, MIDDLE).rejected == (out,)


def test_request_too_long_for_all_is_the_callers_to_shorten() -> None:
    rules = route(deployment("a", context=100), deployment("b", context=200))
    with pytest.raises(TooLongForAll) as caught:
        plan(request(prompt_tokens=1000), rules, StatsBook(), NOW, MIDDLE)
    error = caught.value
    assert (error.status, error.code, error.param) == (400, "context_length_exceeded", "messages")
    assert error.details is not None and [row["code"] for row in error.details["candidates"]] == ["context"] * 2


@pytest.mark.parametrize("other", [deployment("b"), deployment("b", context=10, capabilities=frozenset({"vision"}))])
def test_request_that_nobody_can_serve_is_a_wrong_request(other: Deployment) -> None:
    asked = request(needs=frozenset({"vision"}))
    with pytest.raises(NothingFits) as caught:
        plan(asked, route(A, other), StatsBook(), NOW, MIDDLE)
    assert (caught.value.status, caught.value.code) == (400, "unsupported_parameter")


def test_mixed_reasons_are_nobodys_fault_and_worth_another_try() -> None:
    known = StatsBook()
    known.in_flight["b"] = 1
    rules = route(deployment("a", context=10), deployment("b", concurrency=1))
    with pytest.raises(NoCandidate) as caught:
        plan(request(), rules, known, NOW, MIDDLE)
    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)


def test_route_without_deployments_says_so() -> None:
    with pytest.raises(NoCandidate, match="it lists none"):
        plan(request(), route(), StatsBook(), NOW, MIDDLE)


def test_deployments_that_the_policy_excludes_are_told_when_nobody_is_left() -> None:
    with pytest.raises(NoCandidate, match="not in region eu"):
        plan(request(), route(excluded=(Rejection(C, "not in region eu"),)), StatsBook(), NOW, MIDDLE)


def test_resting_deployment_is_named_although_the_policy_excludes_many() -> None:
    excluded = tuple(Rejection(deployment(f"far-{number}"), "not in region eu") for number in range(20))
    with pytest.raises(NoCandidate) as caught:
        plan(request(), route(A, excluded=excluded), book(a=RESTING), NOW, MIDDLE)
    assert f"{A.name}: quota exhausted, for another 30.0 s" in caught.value.message
    assert caught.value.details is not None and len(caught.value.details["candidates"]) == 21


def test_one_slow_answer_does_not_shut_the_only_deployment_out_for_good() -> None:
    known, rules = book(a=Stats(ttft=9.0, per_token=0.01, seen=NOW)), route(A, max_ttft=1.0)
    with pytest.raises(NoCandidate, match=r"first token in 9.00 s, the route wants 1 s"):
        plan(request(), rules, known, NOW + 29.0, MIDDLE)
    assert order(plan(request(), rules, known, NOW + 31.0, MIDDLE)) == ["a"]


def test_completion_longer_than_every_deployment_gives_is_a_wrong_request() -> None:
    with pytest.raises(NothingFits, match="gives 100 tokens, 500 are asked for"):
        plan(request(max_tokens=500), route(deployment("a", max_output=100)), StatsBook(), NOW, MIDDLE)


class World(NamedTuple):
    """Everything that a plan depends on."""

    request: ChatRequest
    route: Route
    book: StatsBook
    chance: float


CAPABILITIES = st.frozensets(st.sampled_from(["tools", "vision", "logprobs"]), max_size=2)
AMOUNTS = st.floats(0.0, 100.0)


@st.composite
def candidates(draw: st.DrawFn) -> tuple[Candidate, ...]:
    found = []
    for index in range(draw(st.integers(0, 6))):
        model = draw(st.sampled_from(["llama-a", "llama-b"]))
        target = Deployment(
            name=f"d{index}",
            backend=draw(st.sampled_from(["b0", "b1", "b2"])),
            model=model,
            id=model,
            kind="vllm",
            location=draw(st.sampled_from(["self_hosted", "hosted"])),
            capabilities=draw(CAPABILITIES) | draw(CAPABILITIES),
            size=draw(st.none() | st.floats(0.5, 500.0)),
            context=draw(st.none() | st.integers(1, 200_000)),
            price=draw(st.none() | st.builds(Price, AMOUNTS, AMOUNTS)),
            slots=draw(st.integers(1, 64)),
            concurrency=draw(st.none() | st.integers(0, 4)),
        )
        found.append(Candidate(target, draw(st.integers(0, 2))))
    return tuple(found)


@st.composite
def stats(draw: st.DrawFn) -> Stats:
    until = st.just(float("-inf")) | st.floats(NOW - 10, NOW + 10)
    seen = draw(st.none() | st.floats(0.0, 1e4))
    return Stats(
        ttft=draw(st.none() | st.floats(0.0, 100.0)) if seen is not None else None,
        per_token=draw(st.none() | st.floats(0.0, 1.0)),
        seen=float("-inf") if seen is None else NOW - seen,
        faults=draw(st.integers(0, 10)),
        ejected_until=draw(until),
        resting_until=draw(until),
        resting_because="asked us to slow down (429)",
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    found = draw(candidates())
    known = StatsBook()
    known.deployments = {one.deployment.name: draw(stats()) for one in found if draw(st.booleans())}
    known.in_flight = draw(st.dictionaries(st.sampled_from(["b0", "b1", "b2"]), st.integers(0, 200)))
    known.output = draw(st.just({}) | st.builds(lambda tokens: {"chat": tokens}, st.floats(0, 1e5)))
    known.correction = draw(st.dictionaries(st.sampled_from(["llama-a", "llama-b"]), st.floats(0.25, 4.0)))
    parts = [draw(st.integers(0, 10)) for _ in Weights._fields]
    weights = Weights(*[part / sum(parts) for part in parts]) if sum(parts) else Weights()
    rules = route(
        candidates=found,
        weights=weights,
        max_usd=draw(st.none() | st.floats(0.0, 1.0)),
        max_ttft=draw(st.none() | st.floats(0.0, 50.0)),
    )
    asked = request(
        prompt_tokens=draw(st.integers(0, 200_000)),
        max_tokens=draw(st.none() | st.integers(1, 100_000)),
        needs=draw(CAPABILITIES),
    )
    return World(asked, rules, known, draw(st.floats(0, 1, exclude_max=True)))


def planned(world: World) -> Plan | GatewayError:
    try:
        return plan(world.request, world.route, world.book, NOW, world.chance)
    except (NothingFits, TooLongForAll, NoCandidate) as error:
        return error


@given(worlds())
def test_plan_is_total_and_the_same_for_the_same_arguments(world: World) -> None:
    one, other = planned(world), planned(world)
    if isinstance(one, Plan):
        assert one == other
        assert one.choices
    else:
        assert isinstance(other, GatewayError)
        assert (type(one), one.message, one.retry_after) == (type(other), other.message, other.retry_after)
        assert one.retry_after is None or one.retry_after >= 1


@given(worlds())
def test_every_candidate_is_either_a_choice_or_a_rejection_with_a_reason(world: World) -> None:
    found = planned(world)
    if not isinstance(found, Plan):
        return
    named = [choice.deployment.name for choice in found.choices] + [out.deployment.name for out in found.rejected]
    assert sorted(named) == sorted(candidate.deployment.name for candidate in world.route.candidates)
    assert all(out.reason and out.code in CODES for out in found.rejected)


@given(worlds())
def test_nobody_is_chosen_whom_a_filter_rejects_unless_all_are_out_and_it_is_pardoned(world: World) -> None:
    found = planned(world)
    passed, rejected = sift(consider(world.request, world.route, world.book, NOW), FILTERS)
    free = {case.deployment.name for case in passed}
    pardoned = {out.deployment.name for out in rejected if out.code == "ejected"}
    chosen = {choice.deployment.name for choice in found.choices} if isinstance(found, Plan) else set()
    assert chosen == (free or pardoned)


@given(worlds())
def test_score_is_the_weighted_sum_of_ratios_to_the_best(world: World) -> None:
    found = planned(world)
    if not isinstance(found, Plan):
        return
    scores = dict.fromkeys((choice.deployment.name for choice in found.choices), 0.0)
    for term, weight in zip(TERMS, found.weights, strict=True):
        ratios = to_best([term.value(choice.deployment, choice.forecast) for choice in found.choices], term.scale)
        assert min(ratios) == pytest.approx(1.0)
        for choice, ratio in zip(found.choices, ratios, strict=True):
            scores[choice.deployment.name] += weight * ratio
    for choice in found.choices:
        assert choice.score == pytest.approx(scores[choice.deployment.name])


@given(worlds())
def test_tiers_come_first_and_within_a_tier_nobody_is_passed_by_a_clearly_worse_one(world: World) -> None:
    found = planned(world)
    if not isinstance(found, Plan):
        return
    tiers = [choice.tier for choice in found.choices]
    assert tiers == sorted(tiers)
    ranked = found.choices[1:] if found.reason.startswith("probing") else found.choices
    for better, worse in pairwise(ranked):
        assert better.tier < worse.tier or better.score <= worse.score * (1 + TIE) + 1e-9
