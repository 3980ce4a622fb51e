"""Whom the planner chooses, in what order, and why the others are out."""

import pytest

from gateway.errors import NoCandidate, NothingFits, TooLongForAll
from gateway.routing.book import StatsBook
from gateway.routing.breaker import FRESH, Breaker, opened
from gateway.routing.concurrency import Allowance
from gateway.routing.lane import Candidate
from gateway.routing.planner import PROBE_AGE, PROBE_SHARE, plan
from gateway.routing.policy import Route, Weights
from gateway.routing.stats import Stats
from gateway.types import Deployment, Plan, Preferences, Price, Rejection
from tests.routing.samples import deployment, request, route

NOW = 1000.0
MIDDLE = 0.5


def book(**stats: Stats) -> StatsBook:
    """A book with the stats of backends, whose deployments have the usual model."""
    found = StatsBook()
    found.deployments.put({deployment(backend).name: seen for backend, seen in stats.items()})
    return found


def order(planned: Plan) -> list[str]:
    return [choice.deployment.backend for choice in planned.choices]


def first(rules: Route, known: StatsBook, chance: float) -> str:
    return order(plan(request(), rules, known, NOW, chance))[0]


A, B, C = deployment("a"), deployment("b"), deployment("c")
MEASURED = Stats(ttft=0.5, per_token=0.01, seen=NOW - 1)
EJECTED = MEASURED._replace(breaker=opened(FRESH, NOW - 2, 0.5, "5 faults in a row"), ejected_until=NOW + 3)
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
    rules = route(deployment("a", context=10), B, max_ttft=0.1)
    with pytest.raises(NoCandidate) as caught:
        plan(request(), rules, book(b=MEASURED), NOW, MIDDLE)
    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)


def test_route_without_deployments_says_so() -> None:
    with pytest.raises(NoCandidate, match="it lists none"):
        plan(request(), route(), StatsBook(), NOW, MIDDLE)


def test_deployments_that_the_policy_excludes_are_told_when_nobody_is_left() -> None:
    with pytest.raises(NoCandidate, match="not in region eu") as caught:
        plan(request(), route(excluded=(Rejection(C, "not in region eu"),)), StatsBook(), NOW, MIDDLE)
    assert caught.value.retry_after is None  # it is so until the policy changes
    assert "Try again" not in caught.value.message


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


def test_deployment_that_failed_lately_comes_last_when_failures_alone_count() -> None:
    rules = route(A, B, C, weights=Weights(0.0, 0.0, 0.0, 1.0))
    known = book(a=MEASURED._replace(failing=0.5, failed=NOW), c=MEASURED._replace(failing=0.1, failed=NOW))
    assert order(plan(request(), rules, known, NOW, MIDDLE)) == ["b", "c", "a"]
    forgotten = book(a=MEASURED._replace(failing=0.5, failed=NOW - 3600))
    assert {first(rules, forgotten, 0.01 + step / 100) for step in range(99)} == {"a", "b", "c"}


def test_weights_that_are_all_zero_count_cost_and_latency_alike() -> None:
    rules = route(A, B, weights=Weights(0.0, 0.0, 0.0, 0.0))
    assert plan(request(), rules, StatsBook(), NOW, MIDDLE).weights == Weights()
    assert {first(rules, StatsBook(), step / 100) for step in range(100)} == {"a", "b"}


def test_model_that_does_not_speak_the_language_is_out() -> None:
    german = deployment("german", languages=frozenset({"en", "de"}))
    rules = route(german, A, detect=lambda asked: "th")
    planned = plan(request(), rules, StatsBook(), NOW, MIDDLE)
    assert order(planned) == ["a"]
    assert [(out.deployment, out.code) for out in planned.rejected] == [(german, "language")]
    assert planned.rejected[0].reason == "was not trained for the language 'th'"


def test_language_that_nobody_speaks_is_left_out_of_account() -> None:
    german = deployment("german", languages=frozenset({"en", "de"}))
    rules = route(german, deployment("short", context=1), detect=lambda asked: "th")
    assert order(plan(request(), rules, StatsBook(), NOW, MIDDLE)) == ["german"]


def test_caller_waits_no_longer_than_for_whoever_is_merely_slow() -> None:
    with pytest.raises(NoCandidate) as caught:
        plan(request(), route(A, B, max_ttft=0.1), book(a=RESTING, b=MEASURED), NOW, MIDDLE)
    assert caught.value.retry_after == 1.0


def crowded(**stats: Stats) -> StatsBook:
    """A book in which b and c have the one request that they take."""
    known = book(**stats)
    known.in_flight.update(b=1, c=1)
    return known


NARROW = route(A, deployment("b", concurrency=1), deployment("c", concurrency=1))


def test_those_that_are_merely_full_are_waited_for_when_nobody_else_is_left() -> None:
    found = plan(request(), NARROW, crowded(a=RESTING, b=MEASURED, c=MEASURED._replace(ttft=9.0)), NOW, MIDDLE)
    assert (order(found), found.full) == (["b", "c"], True)
    assert [(out.deployment, out.code) for out in found.rejected] == [(A, "resting")]
    assert found.reason == f"{B.name} comes first of those that are full; the request waits for it"


def test_nobody_is_waited_for_while_another_is_free() -> None:
    found = plan(request(), NARROW, crowded(), NOW, MIDDLE)
    assert (order(found), found.full) == (["a"], False)


def test_whoever_is_full_and_rests_as_well_is_not_waited_for() -> None:
    found = plan(request(), NARROW, crowded(a=RESTING, b=RESTING), NOW, MIDDLE)
    assert order(found) == ["c"]
    with pytest.raises(NoCandidate):
        plan(request(), NARROW, crowded(a=RESTING, b=RESTING, c=RESTING), NOW, MIDDLE)


def test_full_is_a_lesser_evil_than_ejected() -> None:
    found = plan(request(), NARROW, crowded(a=EJECTED, c=EJECTED), NOW, MIDDLE)
    assert (order(found), found.full) == (["b"], True)


def test_request_waits_for_the_one_it_wants_though_others_are_free() -> None:
    asked = request(preferences=Preferences(only=frozenset({"b"})))
    found = plan(asked, NARROW, crowded(), NOW, MIDDLE)
    assert (order(found), found.full) == (["b"], True)


def test_plan_tells_the_one_in_twenty_time_of_each_choice() -> None:
    planned = plan(request(), route(A), book(a=MEASURED._replace(tail=4.0)), NOW, MIDDLE)
    forecast = planned.choices[0].forecast
    assert forecast.late == pytest.approx(4.0 * forecast.seconds)


def test_price_of_a_cached_prefix_decides_where_prompts_are_mostly_cached() -> None:
    cheap = deployment("cheap", price=Price(1.0, 1.0))
    caching = deployment("caching", price=Price(2.0, 1.0, 0.1))
    rules, known = route(cheap, caching, weights=Weights(1.0, 0.0)), StatsBook()
    assert order(plan(request(prompt_tokens=10_000), rules, known, NOW, MIDDLE))[0] == "cheap"
    known.cached["chat"] = 0.9
    assert order(plan(request(prompt_tokens=10_000), rules, known, NOW, MIDDLE))[0] == "caching"


def test_deployment_in_the_lane_for_two_causes_is_asked_once() -> None:
    reserves = (Candidate(B, 2, "refused"), Candidate(B, 1, "overloaded"))
    rules = route(candidates=(Candidate(A), *reserves))
    both = frozenset({"refused", "overloaded"})
    planned = plan(request(), rules, StatsBook(), NOW, MIDDLE, both)
    assert [(choice.deployment.backend, choice.tier) for choice in planned.choices] == [("a", 0), ("b", 1)]


def test_pardon_of_a_deployment_does_not_call_it_from_the_reserve_as_well() -> None:
    rules = route(candidates=(Candidate(A), Candidate(A, 1, "refused")))
    planned = plan(request(), rules, book(a=EJECTED), NOW, MIDDLE)
    assert [(choice.deployment.backend, choice.when) for choice in planned.choices] == [("a", "")]


def test_wishes_of_one_caller_do_not_lead_for_others() -> None:
    asked = request(preferences=Preferences(sort="price"))
    assert plan(asked, route(A, B), StatsBook(), NOW, MIDDLE).leading == frozenset()
    assert plan(request(), route(A, B), StatsBook(), NOW, MIDDLE).leading == {A.name, B.name}


D = deployment("d")


def test_breakers_that_have_thrown_out_most_of_a_models_deployments_are_ignored() -> None:
    known = book(a=EJECTED, b=EJECTED, c=MEASURED)
    planned = plan(request(), route(A, B, C), known, NOW, MIDDLE)
    assert sorted(order(planned)) == ["a", "b", "c"]
    assert planned.rejected == ()
    half = plan(request(), route(A, B, C, D), known, NOW, MIDDLE)
    assert sorted(order(half)) == ["c", "d"]


def test_breakers_are_believed_when_nobody_of_the_best_tier_is_left_but_others_are() -> None:
    known = book(a=EJECTED, b=EJECTED, c=EJECTED)
    lower = route(candidates=(Candidate(A), Candidate(B), Candidate(C), Candidate(D, 1)))
    assert order(plan(request(), lower, known, NOW, MIDDLE)) == ["d"]
    small = deployment("small", "llama-3.1-8b-instruct")
    assert order(plan(request(), route(A, B, C, small), known, NOW, MIDDLE)) == ["small"]


def test_ignoring_a_breaker_never_ignores_a_rest() -> None:
    both = EJECTED._replace(resting_until=NOW + 30, resting_because="refuses our credentials")
    planned = plan(request(), route(A, B, C, D), book(a=EJECTED, b=EJECTED, c=both), NOW, MIDDLE)
    assert sorted(order(planned)) == ["a", "b", "d"]
    assert [(out.deployment, out.code) for out in planned.rejected] == [(C, "resting")]


def closed_at(then: float) -> Stats:
    """A deployment that is a little faster than the others, whose breaker was closed then."""
    return MEASURED._replace(ttft=0.3, breaker=Breaker(until=then, since=then), ejected_until=then)


@pytest.mark.parametrize(("seconds", "share"), [(0.0, 0.1), (10.0, 0.4), (20.0, 0.7), (30.0, 1.0), (60.0, 1.0)])
def test_deployment_whose_breaker_was_closed_gets_first_places_slowly(seconds: float, share: float) -> None:
    rules, known = route(A, B, weights=Weights(0.0, 1.0, 0.0)), book(a=closed_at(NOW - seconds), b=MEASURED)
    chances = [step / 1000 for step in range(1000)]
    plans = [plan(request(), rules, known, NOW, chance) for chance in chances]
    assert sum(order(planned)[0] == "a" for planned in plans) / 1000 == pytest.approx(share, abs=0.02)
    assert all(sorted(order(planned)) == ["a", "b"] for planned in plans)


def test_deployments_that_were_closed_together_get_their_first_places_one_at_a_time() -> None:
    rules = route(A, B, C, weights=Weights(0.0, 1.0, 0.0))
    known = book(a=closed_at(NOW - 10), b=closed_at(NOW - 10), c=MEASURED)
    orders = [order(plan(request(), rules, known, NOW, 0.01 + 0.99 * step / 1000)) for step in range(1000)]
    assert sum(one[0] == "c" for one in orders) / 1000 == pytest.approx(1 - 2 * 0.4, abs=0.05)


def test_slow_start_is_behind_peers_of_the_same_tier_and_not_behind_others() -> None:
    rules = route(candidates=(Candidate(A, 0), Candidate(B, 1)))
    assert {first(rules, book(a=closed_at(NOW), b=MEASURED), step / 50) for step in range(50)} == {"a"}


def test_half_open_deployment_has_its_own_place_until_somebody_tries_it() -> None:
    rules, known = route(A, B, weights=Weights(0.0, 1.0, 0.0)), book(b=MEASURED)
    known.deployments[A.name] = closed_at(NOW - 1)._replace(breaker=Breaker(False, NOW - 1, NOW - 1))
    assert order(plan(request(), rules, known, NOW, MIDDLE)) == ["a", "b"]
    known.started(A, NOW)
    planned = plan(request(), rules, known, NOW, MIDDLE)
    assert order(planned) == ["b"]
    assert [out.code for out in planned.rejected] == ["ejected"]
    assert order(plan(request(), route(A), known, NOW, MIDDLE)) == ["a"]


def test_overloaded_deployment_is_busy_when_it_has_as_many_requests_as_it_bears() -> None:
    rules, known = route(A, B), book(a=MEASURED, b=MEASURED)
    known.allowances[A.name] = Allowance(2.4)
    for _ in range(2):
        assert sorted(order(plan(request(), rules, known, NOW, MIDDLE))) == ["a", "b"]
        known.started(A, NOW)
    assert [(out.deployment, out.code) for out in plan(request(), rules, known, NOW, MIDDLE).rejected] == [(A, "busy")]
