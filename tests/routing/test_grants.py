"""The models that a caller may use: they narrow what the policy allows, and never widen it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Forbidden, GatewayError, NoCandidate, NothingFits
from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate
from gateway.routing.planner import plan
from gateway.routing.policy import Route
from gateway.routing.stats import Stats
from gateway.types import Caller, Plan, Preferences
from tests.routing.samples import deployment, request, route

NOW = 1000.0
SMALL = deployment("a", "small")
LARGE = deployment("b", "large", capabilities=frozenset({"tools"}))


def planned(rules: Route, *models: str, known: StatsBook | None = None, **facts: object) -> Plan:
    caller = Caller("search", models=frozenset(models))
    return plan(request(caller=caller, **facts), rules, known or StatsBook(), NOW, 0.5)


def test_only_the_models_that_a_caller_may_use_are_asked() -> None:
    found = planned(route(SMALL, LARGE), "large")
    assert [choice.deployment for choice in found.choices] == [LARGE]
    assert [(out.deployment, out.code, out.reason) for out in found.rejected] == [
        (SMALL, "caller", "serves a model that caller 'search' may not use")
    ]


def test_a_caller_who_may_use_none_of_a_routes_models_is_forbidden_to() -> None:
    with pytest.raises(Forbidden, match=r"caller 'search' may not use.*Ask for access"):
        planned(route(SMALL, LARGE), "huge")
    with pytest.raises(Forbidden):
        planned(route(SMALL, LARGE))


def test_what_a_request_needs_is_told_where_only_a_forbidden_model_has_it() -> None:
    with pytest.raises(NothingFits):
        planned(route(SMALL, LARGE), "small", needs=frozenset({"tools"}))


def test_a_model_that_is_busy_is_waited_for_and_no_forbidden_one_asked() -> None:
    known = StatsBook()
    known.deployments[SMALL.name] = Stats(resting_until=NOW + 9, resting_because="asked us to slow down (429)")
    with pytest.raises(NoCandidate) as caught:
        planned(route(SMALL, LARGE), "small", known=known)
    assert caught.value.retry_after == 9.0


def test_a_reserve_is_called_by_no_callers_list_of_models() -> None:
    with pytest.raises(Forbidden):
        planned(route(candidates=(Candidate(SMALL), Candidate(LARGE, 1, "refused"))), "large")


def test_one_callers_list_of_models_tells_others_nothing_of_who_is_best() -> None:
    assert planned(route(SMALL, deployment("c", "small"), LARGE), "small").leading == frozenset()


MODELS = st.sets(st.sampled_from(["small", "large", "huge"]))


@given(MODELS, st.none() | MODELS)
def test_a_list_of_models_never_widens_what_others_get(granted: set[str], wished: set[str] | None) -> None:
    wishes = None if wished is None else Preferences(models=tuple(wished))

    def names(caller: Caller) -> set[str]:
        try:
            made = plan(request(caller=caller, preferences=wishes), route(SMALL, LARGE), StatsBook(), NOW, 0.5)
        except GatewayError:
            return set()
        return {choice.deployment.name for choice in made.choices}

    everybody = names(Caller("any"))
    mine = names(Caller("search", models=frozenset(granted)))
    assert mine == {name for name in everybody if name.partition("/")[2] in granted}
