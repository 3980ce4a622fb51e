"""The terms of a score, in their natural units."""

import pytest

from gateway.routing import terms
from gateway.routing.forecast import UNKNOWN_SIZE
from gateway.routing.policy import Weights
from gateway.types import Deployment, Forecast
from tests.routing.samples import deployment


def case(size: float | None) -> tuple[Deployment, Forecast]:
    target = deployment(size=size)
    return target, Forecast(100, 50, 0.002, 0.5, 3.5)


def test_terms_are_dollars_seconds_and_billions_of_parameters() -> None:
    assert [term.value(*case(8.0)) for term in terms.TERMS] == [0.002, 3.5, 8.0]
    assert [term.unit for term in terms.TERMS] == ["USD", "s", "B"]


def test_model_of_unknown_size_counts_as_a_large_one() -> None:
    assert terms.size(*case(None)) == UNKNOWN_SIZE


def test_every_term_has_a_weight_of_its_name() -> None:
    assert tuple(term.name for term in terms.TERMS) == Weights._fields


@pytest.mark.parametrize("term", terms.TERMS, ids=lambda term: term.name)
def test_smallest_difference_worth_acting_on_is_above_zero(term: terms.Term) -> None:
    assert term.scale > 0
