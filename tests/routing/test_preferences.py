"""What a caller may ask of the choice."""

from typing import Any

import pytest

from gateway.errors import NothingFits
from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate
from gateway.routing.planner import plan
from gateway.routing.policy import Route, Weights
from gateway.routing.preferences import dispreferred, rank
from gateway.routing.stats import Stats
from gateway.types import Plan, Preferences, Price
from tests.routing.samples import deployment, request, route

NOW = 1000.0
OWN = deployment("gpu-a", precision="bf16")
GROQ = deployment("Fast-One", kind="groq", location="hosted", price=Price(0.6, 0.8), precision="fp8", collects=True)


@pytest.mark.parametrize(
    ("wishes", "own", "groq"),
    [
        (Preferences(), True, True),
        (Preferences(only=frozenset({"groq"})), False, True),
        (Preferences(only=frozenset({"fast-one"})), False, True),
        (Preferences(only=frozenset({"gpu-a", "groq"})), True, True),
        (Preferences(only=frozenset()), False, False),
        (Preferences(ignore=frozenset({"groq"})), True, False),
        (Preferences(ignore=frozenset({"gpu-a", "vllm"})), False, True),
        (Preferences(order=("groq",)), True, True),
        (Preferences(order=("groq", "vllm"), allow_fallbacks=False), False, True),
        (Preferences(allow_fallbacks=False), True, True),
        (Preferences(max_prompt_price=0.5), True, False),
        (Preferences(max_prompt_price=0.6), True, True),
        (Preferences(max_completion_price=0.7), True, False),
        (Preferences(max_completion_price=0.8), True, True),
        (Preferences(quantizations=frozenset({"fp8"})), False, True),
        (Preferences(quantizations=frozenset({"bf16", "fp16"})), True, False),
        (Preferences(data_collection="deny"), True, False),
        (Preferences(models=("llama-3.1-8b-instruct",)), False, False),
        (Preferences(models=("llama-3.1-8b-instruct", OWN.model)), True, True),
        (Preferences(sort="price"), True, True),
        (Preferences(require_parameters=True), True, True),
    ],
)
def test_each_preference_excludes_whom_it_says(wishes: Preferences, own: bool, groq: bool) -> None:
    assert (dispreferred(wishes, OWN) is None, dispreferred(wishes, GROQ) is None) == (own, groq)


@pytest.mark.parametrize(
    ("location", "wanted"),
    [("self_hosted", True), ("hosted", False)],
)
def test_price_that_nobody_knows_is_above_any_limit_but_own_hardware_has_none(location: str, wanted: bool) -> None:
    unknown = deployment("x", location=location, price=None)
    assert (dispreferred(Preferences(max_prompt_price=1e9), unknown) is None) == wanted
    assert dispreferred(Preferences(), unknown) is None


def test_unknown_precision_can_be_asked_for_by_that_name() -> None:
    unknown = deployment("x", precision=None)
    assert dispreferred(Preferences(quantizations=frozenset({"unknown"})), unknown) is None
    reason = dispreferred(Preferences(quantizations=frozenset({"bf16"})), unknown)
    assert reason == "has precision unknown, which the request does not list"


def test_order_of_models_counts_before_order_of_providers_and_those_not_listed_come_last() -> None:
    small = deployment("gpu-b", "small")
    wishes = Preferences(order=("groq", "gpu-b"), models=("small", OWN.model))
    assert [rank(wishes, one) for one in (small, GROQ, OWN)] == [(0, 1), (1, 0), (1, 2)]
    assert rank(Preferences(), OWN) == (0, 0)


def planned(wishes: Preferences | None, rules: Route, known: StatsBook | None = None, **facts: Any) -> Plan:
    return plan(request(preferences=wishes, **facts), rules, known or StatsBook(), NOW, 0.5)


def order(found: Plan) -> list[str]:
    return [choice.deployment.backend for choice in found.choices]


A, B, C = deployment("a"), deployment("b"), deployment("c")


@pytest.mark.parametrize("wanted", [("a", "b", "c"), ("c", "b", "a"), ("b", "a", "c")])
def test_providers_are_asked_in_the_order_of_the_request(wanted: tuple[str, ...]) -> None:
    assert order(planned(Preferences(order=wanted), route(A, B, C))) == list(wanted)


def test_order_of_the_request_stays_within_the_tiers_of_the_policy() -> None:
    rules = route(candidates=(Candidate(A, 0), Candidate(B, 1), Candidate(C, 1)))
    assert order(planned(Preferences(order=("c", "b", "a")), rules)) == ["a", "c", "b"]


def test_sorting_replaces_the_weights_of_the_route() -> None:
    cheap = deployment("cheap", price=Price(0.1, 0.1))
    fast = deployment("fast", price=Price(9.0, 9.0))
    known = StatsBook()
    known.deployments[cheap.name] = Stats(ttft=9.0, per_token=0.1, seen=NOW)
    known.deployments[fast.name] = Stats(ttft=0.1, per_token=0.01, seen=NOW)
    rules = route(cheap, fast, weights=Weights(0.0, 0.0, 1.0))
    firsts = {
        sort: order(planned(Preferences(sort=sort), rules, known))[0] for sort in ("price", "latency", "throughput")
    }
    assert firsts == {"price": "cheap", "latency": "fast", "throughput": "fast"}
    assert planned(Preferences(sort="fame"), rules, known).weights == rules.weights


def test_caller_whom_nobody_pleases_has_asked_for_too_much() -> None:
    busy = StatsBook()
    busy.in_flight["gpu-a"] = 1
    with pytest.raises(NothingFits, match="is not among the providers that the request allows"):
        planned(Preferences(only=frozenset({"nobody"})), route(deployment("gpu-a", concurrency=1)), busy)


def test_caller_can_neither_call_a_reserve_nor_pardon_by_excluding_the_others() -> None:
    known = StatsBook()
    known.deployments[B.name] = Stats(ejected_until=NOW + 3)
    rules = route(candidates=(Candidate(A), Candidate(B), Candidate(C, 1, "overloaded")))
    assert order(planned(None, rules, known)) == ["a"]
    with pytest.raises(Exception, match="in reserve"):
        planned(Preferences(ignore=frozenset({"a"})), rules, known)


def test_caller_with_preferences_is_never_used_to_probe() -> None:
    known = StatsBook()
    known.deployments[A.name] = Stats(ttft=0.1, per_token=0.01, seen=NOW)
    known.deployments[B.name] = Stats(ttft=9.0, per_token=0.1, seen=NOW - 3600)
    rules = route(A, B, weights=Weights(0.0, 1.0))
    known.deployments[B.name] = known.deployments[B.name]._replace(seen=NOW - 61)
    found = plan(request(preferences=Preferences(order=("a",))), rules, known, NOW, 0.0)
    assert order(found) == ["a", "b"]
    assert order(plan(request(), rules, known, NOW, 0.0)) == ["b", "a"]
