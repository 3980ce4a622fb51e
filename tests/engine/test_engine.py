"""Which answer a request opens, or why none."""

from dataclasses import replace
from typing import Any

import pytest

from gateway import errors
from gateway.engine.engine import routed
from gateway.routing.book import StatsBook
from gateway.routing.policy import Policy, Route
from gateway.types import Caller, ChatRequest, Preferences
from tests.engine.fakes import Rig, bodies
from tests.engine.virtual_time import run
from tests.routing.samples import MODEL, deployment, policy, request, route

A = deployment("a")


def test_unknown_model_is_told_with_the_nearest_names() -> None:
    rig = Rig(route(A, asked=("llama-70b",)), {})
    with pytest.raises(errors.ModelNotFound) as caught:
        rig.engine.open(request(model="lama-70b"), rig.policy)
    error = caught.value
    assert (error.status, error.param) == (404, "model")
    assert "Did you mean 'llama-70b'" in error.message
    assert error.details is not None and error.details["nearest"][0] == "llama-70b"


def test_unknown_model_is_told_why_each_route_does_not_match() -> None:
    def streams(asked: ChatRequest, book: StatsBook) -> str | None:
        return "it does not stream"

    rig = Rig(route(A, models=(), matchers=(streams,)), {})
    with pytest.raises(errors.ModelNotFound) as caught:
        rig.engine.open(request(model="qqq"), rig.policy)
    assert caught.value.details == {"nearest": [], "routes": [{"route": "chat", "reason": "it does not stream"}]}
    assert "See GET /v1/models" in caught.value.message


def test_name_of_an_unknown_model_is_not_repeated_at_length() -> None:
    rig = Rig(route(A), {})
    with pytest.raises(errors.ModelNotFound) as caught:
        rig.engine.open(request(model="x" * 10_000), rig.policy)
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    ("routes", "welcome"),
    [(None, True), (frozenset({"chat"}), True), (frozenset({"other"}), False), (frozenset(), False)],
)
def test_caller_may_use_the_routes_that_are_theirs(routes: frozenset[str] | None, welcome: bool) -> None:
    rig, asked = Rig(route(A), {}), request(caller=Caller("search", routes))
    if welcome:
        assert rig.engine.open(asked, rig.policy).route.name == "chat"
        return
    with pytest.raises(errors.Forbidden, match="'search' may not use route 'chat'"):
        rig.engine.open(asked, rig.policy)


def test_answer_keeps_the_generation_of_its_policy_although_another_comes() -> None:
    async def scenario() -> None:
        rig = Rig(route(A), {})
        before = rig.policy
        answer = rig.open()
        rig.policy = Rig(route(deployment("b")), {}, generation="g2").policy
        await bodies(answer)
        assert answer.policy is before
        assert rig.calls == {"a": 1}

    run(scenario())


def test_every_spelling_of_a_model_opens_the_same_route() -> None:
    rules = route(A)
    rig = Rig(rules, {}, model_routes={MODEL: rules}, spellings={"llama3.3:70b": MODEL})
    assert rig.engine.open(request(model="Llama3.3:70B"), rig.policy).route is rules


def test_answer_follows_the_policy_that_its_caller_was_checked_by_although_another_is_in_force() -> None:
    async def scenario() -> None:
        rig = Rig(route(A), {})
        checked = rig.engine.policy()
        rig.policy = Rig(route(deployment("b")), {}, generation="g2").policy
        answer = rig.engine.open(request(stream=True), checked)
        await bodies(answer)
        assert (answer.policy, rig.calls) == (checked, {"a": 1})

    run(scenario())


def test_unknown_model_tells_a_caller_nothing_of_routes_that_are_not_theirs() -> None:
    rig = Rig(route(A, name="secret", asked=("hidden",)), {})
    with pytest.raises(errors.ModelNotFound) as caught:
        rig.engine.open(request(model="qqq", caller=Caller("guest", frozenset({"open"}))), rig.policy)
    assert caught.value.details is not None and caught.value.details["routes"] == []


OTHER = deployment("b", "llama-4-maverick-17b-128e-instruct")
OWN, ALSO = route(A, name="default"), route(OTHER, name="default")


def listing(*models: str, model: str = MODEL, **facts: Any) -> ChatRequest:
    return request(model=model, preferences=Preferences(models=models), **facts)


def known(*named: Route) -> Policy:
    """A policy that serves two models by their implicit routes, and has some named routes before those."""
    found = policy(OWN, ALSO)
    return replace(
        found,
        routes=named,
        model_routes={A.model: OWN, OTHER.model: ALSO},
        by_model={name: tuple(one for one in named if name in one.asked) for one in named for name in one.asked},
    )


def test_models_that_a_request_lists_join_the_implicit_route() -> None:
    found, chosen = routed(listing(OTHER.model), known(), StatsBook())
    assert [one.deployment for one in chosen.candidates] == [A, OTHER]
    assert found.preferences is not None and found.preferences.models == (A.model, OTHER.model)


def test_model_that_has_a_route_of_its_own_does_not_join_past_that() -> None:
    guarded = route(deployment("house", OTHER.model), name="guarded", asked=(OTHER.model,))
    _, chosen = routed(listing(OTHER.model), known(guarded), StatsBook())
    assert [one.deployment for one in chosen.candidates] == [A]


def test_name_of_a_route_among_the_models_finds_it_and_excludes_nobody() -> None:
    auto = route(A, OTHER, name="auto", asked=("auto",))
    found, chosen = routed(listing("auto", model="gone"), known(auto), StatsBook())
    assert chosen is auto
    assert found.preferences is not None and found.preferences.models == ()
