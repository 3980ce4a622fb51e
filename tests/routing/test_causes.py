"""What calls candidates from the reserve, and what does not."""

from typing import Any

import pytest

from gateway.errors import (
    ContextExceeded,
    GatewayError,
    Inadequate,
    ModelGone,
    NoCandidate,
    NothingFits,
    Overloaded,
    RateLimited,
    Refused,
    Rejected,
    TooLongForAll,
)
from gateway.routing.book import StatsBook
from gateway.routing.causes import cause_of, left_out
from gateway.routing.lane import Candidate
from gateway.routing.planner import plan
from gateway.routing.policy import Burst, Route
from gateway.routing.stats import GONE, Stats
from gateway.types import ChatRequest, Deployment, Plan, Price, Rejection
from tests.routing.samples import MODEL, deployment, request, route

NOW = 1000.0
NOBODY: frozenset[str] = frozenset()
FAST = Stats(ttft=0.3, per_token=0.01, seen=NOW)
GONE_FOR_NOW = Stats(resting_until=NOW + 500, resting_because=GONE)


def held(when: str, *regular: Deployment, reserve: Deployment | None = None, **facts: Any) -> Route:
    """A route with a reserve for one cause."""
    own = tuple(Candidate(one) for one in regular)
    return route(candidates=(*own, Candidate(reserve or deployment("far"), 0, when)), **facts)


def book(**stats: Stats) -> StatsBook:
    found = StatsBook()
    found.deployments.put({deployment(backend).name: seen for backend, seen in stats.items()})
    return found


def asked(
    rules: Route, known: StatsBook | None = None, about: ChatRequest | None = None, causes: frozenset[str] = NOBODY
) -> Plan:
    return plan(about or request(), rules, known or StatsBook(), NOW, 0.5, causes)


def order(planned: Plan) -> list[str]:
    return [choice.deployment.backend for choice in planned.choices]


A = deployment("a")


@pytest.mark.parametrize("when", ["context", "refused", "overloaded", "burst", "gone other"])
def test_reserve_stays_out_while_the_others_can_answer(when: str) -> None:
    other = deployment("b", "other")
    planned = asked(held(when, A, other))
    assert sorted(order(planned)) == ["a", "b"]
    assert [(out.deployment.backend, out.code) for out in planned.rejected] == [("far", "reserve")]
    assert planned.causes == NOBODY


def test_longer_window_joins_when_none_of_the_others_holds_the_request() -> None:
    rules = held("context", deployment("a", context=1000), reserve=deployment("far", context=100_000))
    assert order(asked(rules, about=request(prompt_tokens=900))) == ["a"]
    planned = asked(rules, about=request(prompt_tokens=1100))
    assert order(planned) == ["far"]
    assert planned.causes == {"context"}
    assert planned.choices[0].when == "context"
    assert planned.reason == "far/llama-3.3-70b-instruct is the only candidate, called from the reserve (context)"


def test_longer_window_joins_when_those_of_enough_capabilities_are_too_short() -> None:
    able = deployment("a", context=1000, capabilities=frozenset({"vision"}))
    reserve = deployment("far", context=100_000, capabilities=frozenset({"vision"}))
    rules = held("context", able, deployment("b"), reserve=reserve)
    assert order(asked(rules, about=request(prompt_tokens=1100, needs=frozenset({"vision"})))) == ["far"]


def test_longer_window_does_not_join_while_a_busy_one_holds_the_request() -> None:
    rules = held("context", deployment("a", context=10), deployment("b", concurrency=0))
    found = asked(rules)
    assert (order(found), found.full) == (["b"], True)


def test_request_too_long_for_the_reserve_as_well_is_the_callers_to_shorten() -> None:
    with pytest.raises(TooLongForAll):
        asked(held("context", deployment("a", context=10), reserve=deployment("far", context=20)))


def test_reserve_that_waits_for_something_else_does_not_make_a_long_request_one_to_repeat() -> None:
    with pytest.raises(TooLongForAll):
        asked(held("refused", deployment("a", context=10)))


@pytest.mark.parametrize(
    ("stats", "flying", "limits"),
    [
        (FAST._replace(resting_until=NOW + 9, resting_because="asked us to slow down (429)"), 0, {}),
        (FAST._replace(ejected_until=NOW + 3), 0, {}),
        (FAST, 1, {}),
        (FAST._replace(ttft=9.0), 0, {"max_ttft": 5.0}),
    ],
    ids=["resting", "ejected", "full", "too slow"],
)
def test_help_joins_when_the_others_are_too_busy_or_down(stats: Stats, flying: int, limits: dict[str, Any]) -> None:
    known = book(a=stats)
    known.in_flight["a"] = flying
    planned = asked(held("overloaded", deployment("a", concurrency=1), **limits), known)
    assert order(planned) == ["far"]
    assert planned.causes == {"overloaded"}


def test_ejected_deployment_is_pardoned_when_the_reserve_cannot_help_either() -> None:
    known = book(a=FAST._replace(ejected_until=NOW + 3), far=FAST._replace(resting_until=NOW + 60))
    assert order(asked(held("overloaded", A), known)) == ["a"]


def test_one_cause_leads_to_the_next() -> None:
    """Too long for the first; the long window is full; help for that joins."""
    long = deployment("long", context=100_000, concurrency=0)
    rules = route(
        candidates=(
            Candidate(deployment("a", context=10)),
            Candidate(long, 0, "context"),
            Candidate(deployment("help", context=100_000), 0, "overloaded"),
        )
    )
    planned = asked(rules)
    assert order(planned) == ["help"]
    assert planned.causes == {"context", "overloaded"}


def test_refusal_calls_its_reserve_only_after_an_attempt() -> None:
    rules = held("refused", A)
    assert order(asked(rules)) == ["a"]
    planned = asked(rules, causes=frozenset({"refused"}))
    assert sorted(order(planned)) == ["a", "far"]


@pytest.mark.parametrize("cause", ["context", "overloaded", "gone llama-2", ""])
def test_cause_of_an_attempt_calls_nobody_who_waits_for_another(cause: str) -> None:
    assert order(asked(held("refused", A), causes=frozenset({cause}))) == ["a"]


def test_successor_joins_when_every_deployment_of_the_model_says_it_is_gone() -> None:
    next_model = deployment("far", "llama-4-scout")
    rules = held(f"gone {MODEL}", A, deployment("b"), reserve=next_model)
    assert sorted(order(asked(rules, book(a=GONE_FOR_NOW)))) == ["b"]
    planned = asked(rules, book(a=GONE_FOR_NOW, b=GONE_FOR_NOW))
    assert order(planned) == ["far"]
    assert planned.causes == {f"gone {MODEL}"}


def test_successor_stays_out_while_its_predecessor_merely_rests() -> None:
    resting = Stats(resting_until=NOW + 30, resting_because="asked us to slow down (429)")
    with pytest.raises(NoCandidate):
        asked(held(f"gone {MODEL}", A), book(a=resting))


def test_successor_joins_when_the_route_has_no_deployment_of_the_model_left() -> None:
    assert sorted(order(asked(held("gone llama-2-70b-chat", A)))) == ["a", "far"]


BURSTING = Burst(above=1.0, below=0.5)
HOSTED = deployment("far", location="hosted", price=Price(1.0, 1.0))


def bursting(ttft: float, known: StatsBook | None = None, burst: Burst = BURSTING) -> Plan:
    """The plan of a route with a burst rule, whose own hardware has that time to the first token."""
    known = known or StatsBook()
    known.deployments[A.name] = FAST._replace(ttft=ttft)
    return asked(held("burst", A, reserve=HOSTED, burst=burst), known)


@pytest.mark.parametrize(("ttft", "joins"), [(0.9, False), (1.0, False), (1.1, True)])
def test_hosted_deployments_join_when_own_hardware_is_too_slow(ttft: float, joins: bool) -> None:
    planned = bursting(ttft)
    assert ("burst" in planned.causes) == joins
    assert order(planned) == (["far", "a"] if joins else ["a"])


@pytest.mark.parametrize(("ttft", "joins"), [(0.4, False), (0.5, False), (0.6, True)])
def test_burst_ends_only_below_its_lower_mark(ttft: float, joins: bool) -> None:
    known = StatsBook()
    known.bursts.add("chat")
    assert ("burst" in bursting(ttft, known).causes) == joins


def test_own_hardware_that_is_fast_enough_comes_before_hosted_even_while_bursting() -> None:
    known, slow = StatsBook(), deployment("b")
    known.deployments.put({A.name: FAST._replace(ttft=0.6), slow.name: FAST._replace(ttft=9.0)})
    known.bursts.add("chat")
    rules = held("burst", A, slow, reserve=HOSTED, burst=Burst(above=1.0, below=0.5))
    assert order(asked(rules, known)) == ["far", "a", "b"]
    known.deployments[A.name] = FAST._replace(ttft=0.4)
    assert order(asked(rules, known)) == ["a", "b"]


def test_burst_stops_when_the_hour_has_cost_what_it_may() -> None:
    burst, known = Burst(above=1.0, below=0.5, usd_per_hour=2.0), StatsBook()
    known.spend("chat", 1.9, NOW - 60)
    assert "burst" in bursting(5.0, known, burst).causes
    known.spend("chat", 0.1, NOW - 60)
    assert "burst" not in bursting(5.0, known, burst).causes


def test_own_hardware_that_is_all_down_lets_hosted_join() -> None:
    known = book(a=FAST._replace(ejected_until=NOW + 3))
    assert order(asked(held("burst", A, reserve=HOSTED, burst=BURSTING), known)) == ["far"]


@pytest.mark.parametrize("when", ["context", "refused", "overloaded", "burst", f"gone {MODEL}"])
@pytest.mark.parametrize(
    "facts",
    [
        {"context": 10},
        {"capabilities": frozenset()},
        {"max_output": 10},
        {"languages": frozenset({"en"})},
        {"price": Price(1e6, 1e6)},
        {"concurrency": 0},
    ],
    ids=["context", "capability", "output", "language", "cost", "busy"],
)
def test_called_reserve_passes_every_other_filter_or_stays_out(when: str, facts: dict[str, Any]) -> None:
    usual: dict[str, Any] = {"capabilities": frozenset({"tools"})}
    rules = route(
        candidates=(Candidate(deployment("a", **usual)), Candidate(deployment("far", **(usual | facts)), 0, when)),
        max_usd=1.0,
        detect=lambda question: "th",
    )
    about = request(needs=frozenset({"tools"}), max_tokens=100)
    planned = asked(rules, about=about, causes=frozenset({when}))
    assert order(planned) == ["a"]
    assert planned.rejected[0].code != "reserve"


@pytest.mark.parametrize(
    ("codes", "cause"),
    [
        ([], NOBODY),
        (["reserve"], NOBODY),
        (["context", "context"], {"context"}),
        (["context", "reserve"], {"context"}),
        (["context", "capability"], {"context"}),
        (["context", "busy"], {"overloaded"}),
        (["capability"], NOBODY),
        (["cost", "resting"], {"overloaded"}),
        (["latency"], {"overloaded"}),
        (["ejected"], {"overloaded"}),
    ],
)
def test_reasons_against_the_others_are_the_cause(codes: list[str], cause: frozenset[str]) -> None:
    assert left_out(Rejection(A, "because", code) for code in codes) == cause


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (ModelGone(""), f"gone {MODEL}"),
        (ContextExceeded(""), "context"),
        (Refused(""), "refused"),
        (Overloaded(""), "overloaded"),
        (RateLimited(""), "overloaded"),
        (Rejected(""), ""),
        (Inadequate(""), ""),
        (NothingFits(""), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_error_of_an_attempt_is_a_cause_unless_it_is_the_requests_fault(error: GatewayError, cause: str) -> None:
    assert cause_of(error, MODEL) == cause
