"""Choices that are made when somebody looks at them are those that a plan would have made at once."""

from hypothesis import given

from gateway.types import Choice, Plan, Ranked
from tests.routing.worlds import World, planned, worlds


@given(worlds())
def test_choices_are_told_the_same_whether_each_is_made_or_not(world: World) -> None:
    decided = planned(world)
    if not isinstance(decided, Plan):
        return
    found = decided.choices
    assert isinstance(found, Ranked)
    made = tuple(found)
    assert [choice.deployment for choice in made] == found.deployments()
    _, scores, forecasts, tiers, _, places = zip(*made, strict=True)
    told = [*scores, *tiers, *places, *[number for forecast in forecasts for number in forecast]]
    assert found.numbers() == told
    same: object = made
    assert found == same
    assert found[0] == made[0]
    assert found[-1:] == made[-1:]
    assert all(isinstance(choice, Choice) for choice in found)
