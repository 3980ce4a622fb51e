"""A plan in words and as JSON."""

from typing import Any

import pytest
from hypothesis import given

from gateway.policytools.explain import deliberation_json, plan_json, plan_text
from gateway.routing.book import StatsBook
from gateway.routing.filters import FILTERS
from gateway.routing.lane import Candidate, Lane
from gateway.routing.planner import PARDONED, deliberate, plan
from gateway.routing.policy import Arm, Route, Weights
from gateway.routing.stats import Stats
from gateway.types import ChatRequest, Json, Price, Rejection
from tests.routing.samples import deployment, request, route
from tests.routing.worlds import World, deliberated, planned, worlds

NOW = 1000.0
OWN = deployment("own", size=8.0)
DEAR = deployment("dear", price=Price(100.0, 100.0), location="hosted", context=50)
FAR = deployment("far", price=Price(1.0, 1.0), location="hosted")
THIRD = Weights(0.25, 0.25, 0.25, 0.25)


def explained(rules: Route, known: StatsBook | None = None, asked: ChatRequest | None = None) -> Json:
    """The plan of a request with all verdicts."""
    return deliberation_json(deliberate(asked or request(), rules, known or StatsBook(), NOW, 0.5), 0.5)


def book(**stats: Stats) -> StatsBook:
    found = StatsBook()
    found.deployments.put({deployment(backend).name: seen for backend, seen in stats.items()})
    return found


def test_each_term_of_each_candidate_has_value_unit_ratio_and_weight_and_they_add_up_to_the_score() -> None:
    known = book(own=Stats(failing=0.5, failed=NOW))
    rules = route(OWN, FAR, weights=Weights(0.4, 0.3, 0.2, 0.1))
    for row in explained(rules, known)["choices"]:
        assert [(name, term["unit"], term["weight"]) for name, term in row["terms"].items()] == [
            ("cost", "USD", 0.4),
            ("latency", "s", 0.3),
            ("size", "B", 0.2),
            ("failures", "share", 0.1),
        ]
        assert sum(term["adds"] for term in row["terms"].values()) == pytest.approx(row["score"])
        assert all(term["adds"] == pytest.approx(term["ratio"] * term["weight"]) for term in row["terms"].values())
    values = {row["deployment"]: row["terms"]["failures"]["value"] for row in explained(rules, known)["choices"]}
    assert values == {OWN.name: 0.5, FAR.name: 0.0}


def test_time_is_told_for_half_and_for_nineteen_of_twenty() -> None:
    choice = explained(route(OWN), book(own=Stats(ttft=1.0, per_token=0.01, seen=NOW, tail=3.0)))["choices"][0]
    assert choice["seconds"] == pytest.approx(1.0 + 2.56)
    assert choice["late"] == pytest.approx(3.0 * choice["seconds"])


def test_runner_up_is_told_with_its_cost_and_time() -> None:
    told = explained(route(OWN, FAR))
    first, second = told["choices"]
    assert told["runner_up"] == {
        "deployment": second["deployment"],
        "usd": second["usd"],
        "seconds": second["seconds"],
        "more_usd": pytest.approx(second["usd"] - first["usd"]),
        "more_seconds": pytest.approx(second["seconds"] - first["seconds"]),
    }
    assert explained(route(OWN))["runner_up"] is None


def test_every_filter_gives_its_verdict_on_every_candidate() -> None:
    busy = book(dear=Stats(resting_until=NOW + 9, resting_because="asked us to slow down (429)"))
    rows = explained(route(OWN, DEAR, max_usd=0.001), busy)["verdicts"]
    assert [row["deployment"] for row in rows] == [OWN.name, DEAR.name]
    assert all(list(row["filters"]) == [*(each.code for each in FILTERS), "caller", "preference"] for row in rows)
    assert set(rows[0]["filters"].values()) == {None}
    against = {code: reason for code, reason in rows[1]["filters"].items() if reason}
    assert against == {
        "context": "needs 100 tokens, holds 50",
        "cost": "costs $0.035600, the route allows $0.001",
        "resting": "asked us to slow down (429), for another 9.0 s",
    }
    assert [row["passed"] for row in rows] == [True, False]


def test_reserves_that_wait_are_told_apart_with_what_they_wait_for() -> None:
    rules = route(candidates=(Candidate(OWN), Candidate(FAR, 0, "refused")))
    told = explained(rules)
    assert told["rejected"] == []
    assert [(row["deployment"], row["reason"]) for row in told["reserves"]] == [
        (FAR.name, "in reserve: joins when the others refuse the request")
    ]
    assert f"in reserve: {FAR.name}: joins when the others refuse the request" in plan_text(told)


def test_cause_and_arm_are_told() -> None:
    arm = Arm("new", 1.0, Lane([Candidate(DEAR), Candidate(FAR, 1, "context")]))
    told = explained(route(OWN, arms=(arm,)))
    assert (told["arm"], told["causes"]) == ("new", ["context"])
    assert told["choices"][0]["when"] == "context"
    text = plan_text(told)
    assert "route    chat, arm new " in text
    assert "called   the reserves for context" in text


def test_text_has_the_table_the_terms_the_runner_up_and_all_reasons() -> None:
    busy = book(dear=Stats(resting_until=NOW + 9, resting_because="asked us to slow down (429)"))
    excluded = (Rejection(deployment("abroad"), "is in us, the route requires eu"),)
    text = plan_text(explained(route(OWN, FAR, DEAR, weights=THIRD, excluded=excluded), busy))
    assert "1 in 20 after" in text
    assert text.count(" of the best, times 0.25") == 8
    assert f"runner-up {FAR.name}: $0.000356 (+0.000356), " in text
    assert f"out: {DEAR.name}: needs 100 tokens, holds 50 [context]; asked us to slow down (429)" in text
    assert f"out: {deployment('abroad').name}: is in us, the route requires eu [policy]" in text


def test_request_that_nobody_may_answer_is_explained_by_the_verdicts() -> None:
    told = explained(route(DEAR, max_usd=0.001))
    assert (told["choices"], told["error"]["status"], told["error"]["code"]) == ([], 400, "context_length_exceeded")
    text = plan_text(told)
    assert "refused  400 context_length_exceeded: Route 'chat' has no deployment" in text
    assert f"out: {DEAR.name}: needs 100 tokens, holds 50 [context]; costs $0.035600" in text


def test_route_without_deployments_is_explained_too() -> None:
    told = explained(route())
    assert (told["choices"], told["verdicts"], told["error"]["status"]) == ([], [], 503)
    assert "refused  503" in plan_text(told)


def test_plan_of_a_request_that_was_answered_says_the_same_as_its_explanation() -> None:
    rules = route(OWN, FAR, DEAR, weights=THIRD)
    told = explained(rules)
    del told["verdicts"]
    assert plan_json(plan(request(), rules, StatsBook(), NOW, 0.5)) == told


@given(worlds())
def test_explanation_is_total_and_agrees_with_the_plan(world: World) -> None:
    told, found = deliberation_json(deliberated(world), world.chance), planned(world)
    assert plan_text(told)
    chosen: list[Any] = [] if isinstance(found, Exception) else [one.deployment.name for one in found.choices]
    assert [row["deployment"] for row in told["choices"]] == chosen
    assert sorted(row["deployment"] for row in told["verdicts"] if row["passed"]) == sorted(chosen)
    for row in told["verdicts"]:
        against = {code for code, reason in row["filters"].items() if reason}
        assert against <= set(PARDONED) if row["passed"] else against
