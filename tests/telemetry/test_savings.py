"""What a choice has saved."""

from typing import Any

import pytest

from gateway.telemetry.savings import Saving, saved
from gateway.types import Deployment, Plan, Price
from tests.routing.samples import deployment, usage
from tests.telemetry.records import record

USED = usage(1_000_000, 1_000_000, cached=500_000)
OWN = deployment("gpu", size=70.0, location="self_hosted", price=None)
CHEAP = deployment("cheap", size=70.0, location="hosted", price=Price(1.0, 1.0, 0.1))
DEAR = deployment("dear", size=70.0, location="hosted", price=Price(3.0, 3.0))
SMALL = deployment("small", "llama-3.1-8b-instruct", size=8.0, location="hosted", price=Price(0.1, 0.1))
UNKNOWN = deployment("unknown", size=405.0, location="hosted", price=None)


def told(answers: Deployment, *others: Deployment, cost: float | None = 0.0, **facts: Any) -> Saving | None:
    """What was saved when one of several answered."""
    plan = Plan("chat", (), (), (), "", allowed=(answers, *others))
    return saved(record(deployment=answers, plan=plan, usage=USED, cost=cost, **facts))


def test_hit_saves_what_its_first_making_cost() -> None:
    assert saved(record(cache="hit", saved=0.25, cost=0.0)) == ("cache", 0.25)


def test_own_hardware_saves_what_the_cheapest_hosted_candidate_costs_without_its_prefix_cache() -> None:
    assert told(OWN, DEAR, CHEAP) == ("own_hardware", 2.0)


def test_attempts_that_were_paid_for_are_taken_off() -> None:
    assert told(OWN, CHEAP, cost=0.5) == ("own_hardware", 1.5)
    assert told(OWN, CHEAP, cost=2.5) is None


def test_smaller_model_saves_what_the_largest_costs_where_it_is_cheapest() -> None:
    assert told(SMALL, DEAR, CHEAP, cost=0.25) == ("size", 1.75)


def test_model_of_the_same_size_elsewhere_saves_nothing() -> None:
    assert told(CHEAP, DEAR, cost=2.0) is None


def test_own_hardware_that_could_have_served_the_largest_model_makes_a_smaller_hosted_one_no_saving() -> None:
    assert told(SMALL, OWN, DEAR, cost=0.2) is None


@pytest.mark.parametrize("others", [(), (OWN,), (UNKNOWN,)], ids=["alone", "own alone", "no price known"])
def test_nothing_is_saved_where_nothing_can_be_compared(others: tuple[Deployment, ...]) -> None:
    assert told(OWN, *others) is None


def test_answer_that_was_none_and_one_of_unknown_cost_save_nothing() -> None:
    assert told(OWN, CHEAP, outcome="partial") is None
    assert told(OWN, CHEAP, cost=None) is None
    assert saved(record(plan=None)) is None
