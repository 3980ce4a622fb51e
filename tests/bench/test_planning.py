"""The measurement of plans: what it plans, and how it is told."""

import pytest

from gateway.types import Plan

from .planning import GOALS, PLAN, SIZES, planning, section


@pytest.mark.parametrize("count", SIZES)
def test_every_deployment_of_the_fleet_is_weighed(count: int) -> None:
    made = planning(count).work()
    assert isinstance(made, Plan)
    assert len(made.choices) == count
    assert all(made.weights) and made.rejected == ()


def test_figures_stand_beside_their_goals_and_nothing_is_told_of_nothing() -> None:
    assert section({}) == []
    told = "\n".join(section({str(count): [{PLAN: 10.0}, {PLAN: 12.0}, {PLAN: 11.0}] for count in SIZES}))
    for count in SIZES:
        assert f"| {count} | 11.0 (10.0 to 12.0) | {GOALS[count]:g} |" in told
