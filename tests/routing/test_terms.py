"""The terms of a score, in their natural units."""

import pytest

from gateway.routing import terms
from gateway.routing.book import StatsBook
from gateway.routing.forecast import UNKNOWN_SIZE
from gateway.routing.policy import Weights
from gateway.routing.stats import Stats
from gateway.types import Price
from tests.routing.samples import deployment, request, route, view

NOW = 1000.0
SMALL = deployment("a", size=8.0, price=Price(10.0, 20.0))


def test_terms_are_dollars_seconds_billions_of_parameters_and_a_share() -> None:
    known = StatsBook()
    known.deployments[SMALL.name] = Stats(ttft=0.5, per_token=0.06, seen=NOW, failing=0.4, failed=NOW)
    seen = view(request(prompt_tokens=100, max_tokens=50), route(SMALL), known)
    assert [term.values(seen) for term in terms.TERMS] == [
        [pytest.approx(0.002)],
        [pytest.approx(3.5)],
        [8.0],
        [0.4],
    ]
    assert [term.unit for term in terms.TERMS] == ["USD", "s", "B", "share"]


def test_model_of_unknown_size_counts_as_a_large_one() -> None:
    assert terms.size(view(request(), route(deployment(size=None)))) == [UNKNOWN_SIZE]


@pytest.mark.parametrize("term", terms.TERMS, ids=lambda term: term.name)
def test_term_has_a_value_for_each_candidate(term: terms.Term) -> None:
    for count in range(3):
        assert len(term.values(view(request(), route(*[deployment(f"gpu-{n}") for n in range(count)])))) == count


def test_failures_are_half_forgotten_after_a_minute() -> None:
    known = StatsBook()
    lately = {"a": (0.8, NOW), "b": (0.8, NOW - 60.0), "c": (0.8, NOW - 3600.0), "d": (0.0, float("-inf"))}
    known.deployments.put(
        {deployment(name).name: Stats(failing=share, failed=at) for name, (share, at) in lately.items()}
    )
    found = terms.failures(view(request(), route(*map(deployment, lately)), known))
    assert found == [0.8, pytest.approx(0.4), pytest.approx(0.0, abs=1e-9), 0.0]


def test_every_term_has_a_weight_of_its_name() -> None:
    assert tuple(term.name for term in terms.TERMS) == Weights._fields


@pytest.mark.parametrize("term", terms.TERMS, ids=lambda term: term.name)
def test_smallest_difference_worth_acting_on_is_above_zero(term: terms.Term) -> None:
    assert term.scale > 0
