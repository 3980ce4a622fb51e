"""What holds for every plan, over random worlds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings

from gateway.policytools.explain import plan_json
from gateway.routing.breaker import RAMP
from gateway.routing.filters import FILTERS, WISHES
from gateway.routing.planner import INERTIA, PARDONED, PROBE_SHARE, TIE, deliberate, lane_of, sift
from gateway.routing.split import arm_of
from gateway.routing.terms import TERMS, to_best
from gateway.routing.view import View
from gateway.types import Plan, Preferences, Rejection
from tests.routing.worlds import NOW, World, deliberated, names, planned, preferences, worlds

SOME = settings(max_examples=60)
CODES = {each.code for each in FILTERS}


@SOME
@given(worlds())
def test_plan_is_total_and_the_same_for_the_same_arguments(world: World) -> None:
    one, other = planned(world), planned(world)
    if isinstance(one, Plan):
        assert one == other
        assert one.choices
    else:
        assert not isinstance(other, Plan)
        assert (type(one), one.message, one.retry_after) == (type(other), other.message, other.retry_after)
        assert one.retry_after is None or one.retry_after >= 1


@SOME
@given(worlds())
def test_every_candidate_is_either_a_choice_or_a_rejection_with_a_reason(world: World) -> None:
    found, lane = planned(world), lane_of(arm_of(world.request, world.route, world.book, world.chance), world.route)
    if not isinstance(found, Plan):
        return
    named = [choice.deployment.name for choice in found.choices] + [out.deployment.name for out in found.rejected]
    assert sorted(named) == sorted(lane.names)
    assert all(out.reason and out.code in CODES for out in found.rejected)


@SOME
@given(worlds(), preferences())
def test_screen_never_clears_a_candidate_that_the_check_rejects(world: World, wishes: Preferences) -> None:
    view = deliberated(wishing(world, wishes)).view
    for each in (*FILTERS, WISHES) if view.lane.places else ():
        marks = each.screen(view)
        cleared = view.lane.places if True not in marks else [place for place, mark in enumerate(marks) if not mark]
        assert [each.check(view.case(place)) for place in cleared] == [None] * len(cleared), each.code


@SOME
@given(worlds())
def test_nobody_is_chosen_whom_a_filter_rejects_unless_its_breaker_alone_is_against_it(world: World) -> None:
    """And then only if all are out, or more than half of those that serve its model in the best tier are.

    Those that are merely full are waited for instead of them.
    """
    view = deliberated(world).view
    passed, out = sift(view, FILTERS)
    foreign = {place for place in out if out[place].code == "language"}
    if not passed and foreign:
        assert names(planned(world)) == {view.lane.names[place] for place in foreign}
        return
    full = merely_full(view, out)
    if not passed and full:
        found = planned(world)
        assert names(found) == {view.lane.names[place] for place in full}
        assert isinstance(found, Plan) and found.full
        return
    pardoned = {place for place in out if out[place].code == "ejected"}
    panicking = {place for place in pardoned if panics(view, passed, pardoned, place)} if passed else pardoned
    assert names(planned(world)) == {view.lane.names[place] for place in {*passed, *panicking}}


def merely_full(view: View, out: Mapping[int, Rejection]) -> set[int]:
    """The places of those that nothing but their being full is against."""
    full = {place for place in out if out[place].code == "busy"}
    return {
        place
        for place in full
        if {each.code for each in FILTERS if each.check(view.case(place)) is not None} == {"busy"}
    }


def panics(view: View, passed: Sequence[int], out: set[int], place: int) -> bool:
    """Whether more than half of a deployment's peers are out, but not all."""
    tiers, models = view.lane.tiers, view.lane.models
    if tiers[place] != min(tiers[one] for one in {*passed, *out}):
        return False
    peers = {one for one in {*passed, *out} if (tiers[one], models[one]) == (tiers[place], models[place])}
    return len(peers) < 2 * len(peers & out) < 2 * len(peers)


@SOME
@given(worlds())
def test_score_is_the_weighted_sum_of_ratios_to_the_best(world: World) -> None:
    found = planned(world)
    if not isinstance(found, Plan):
        return
    view = deliberated(world).view
    scores = dict.fromkeys((choice.place for choice in found.choices), 0.0)
    for term, weight in zip(TERMS, found.weights, strict=True):
        values = term.values(view)
        ratios = to_best([values[place] for place in scores], term.scale)
        assert min(ratios) == pytest.approx(1.0)
        for place, ratio in zip(scores, ratios, strict=True):
            scores[place] += weight * ratio
    for choice in found.choices:
        assert choice.score == pytest.approx(scores[choice.place])
        assert choice.score >= 1.0 - 1e-9


@SOME
@given(worlds())
def test_score_is_what_the_table_of_its_explanation_adds_up_to(world: World) -> None:
    found = planned(world)
    if not isinstance(found, Plan):
        return
    for row in plan_json(found)["choices"]:
        assert set(row["terms"]) == {term.name for term in TERMS}
        assert sum(term["adds"] for term in row["terms"].values()) == pytest.approx(row["score"])


@SOME
@given(worlds())
def test_forecasts_are_never_negative_and_the_tail_is_never_before_the_middle(world: World) -> None:
    found = planned(world)
    for choice in found.choices if isinstance(found, Plan) else ():
        forecast = choice.forecast
        assert min(forecast) >= 0
        assert forecast.late >= forecast.seconds >= forecast.ttft
        assert forecast == deliberated(world).view.forecast(choice.place)


@SOME
@given(worlds())
def test_tiers_come_first_and_within_a_tier_nobody_is_passed_by_a_clearly_worse_one(world: World) -> None:
    found = planned(world)
    if not isinstance(found, Plan) or "burst" in found.causes:
        return
    ranked = found.choices[1:] if found.reason.startswith("probing") else found.choices
    assert [choice.tier for choice in ranked] == sorted(choice.tier for choice in ranked)
    assert ranked is found.choices or found.choices[0].tier <= ranked[0].tier
    for better, worse in pairwise(ranked):
        if world.book.of(worse.deployment).ejected_until > NOW - RAMP:
            continue  # it is held back
        assert better.tier < worse.tier or better.score <= worse.score * (1 + TIE + INERTIA) + 1e-9


@SOME
@given(worlds())
def test_leading_are_choices_of_the_first_tier_and_the_best_is_among_them(world: World) -> None:
    found = planned(world)
    if not isinstance(found, Plan) or len(found.choices) == 1:
        return
    assert found.leading
    assert found.leading <= names(found)
    if world.chance >= PROBE_SHARE and "burst" not in found.causes:
        tier = found.choices[0].tier
        assert {choice.tier for choice in found.choices if choice.deployment.name in found.leading} == {tier}
        assert found.choices[0].deployment.name in found.leading


@SOME
@given(worlds(), preferences())
def test_preferences_narrow_and_never_widen(world: World, wishes: Preferences) -> None:
    found = planned(wishing(world, wishes))
    if isinstance(found, Plan) and found.full:  # then they wait for those they want, where others would be free
        view = deliberated(world).view
        assert names(found) <= {view.lane.names[place] for place in merely_full(view, sift(view, FILTERS)[1])}
    else:
        assert names(found) <= names(planned(world))


@SOME
@given(worlds(), preferences())
def test_filters_hold_whatever_the_caller_prefers(world: World, wishes: Preferences) -> None:
    found = deliberated(wishing(world, wishes))
    for place in found.passed:
        case = found.view.case(place)
        objections = {each.code for each in (*FILTERS, WISHES) if each.check(case) is not None}
        assert objections <= set(PARDONED)


@SOME
@given(worlds())
def test_reserves_never_join_without_their_cause_and_never_past_a_filter(world: World) -> None:
    found = deliberated(world)
    for place in found.passed:
        case = found.view.case(place)
        assert not case.when or case.when in found.view.causes
        assert {each.code for each in FILTERS if each.check(case) is not None} <= set(PARDONED)


@SOME
@given(worlds())
def test_nothing_outside_the_lane_is_ever_chosen_whatever_causes_come_up(world: World) -> None:
    """As the engine does it: each attempt fails for another cause, and the plan is made again with all of them."""
    lane, causes = lane_of(arm_of(world.request, world.route, world.book, world.chance), world.route), frozenset[str]()
    allowed = set(lane.names)
    for cause in (*sorted(world.causes), *sorted(lane.causes)):
        causes |= {cause}
        assert names(planned(world._replace(causes=causes))) <= allowed
        found = deliberate(world.request, world.route, world.book, NOW, world.chance, causes)
        assert {lane.names[place] for place in found.passed} <= allowed


def wishing(world: World, wishes: Preferences) -> World:
    """The same world with a caller who has preferences."""
    return world._replace(request=replace(world.request, preferences=wishes))
