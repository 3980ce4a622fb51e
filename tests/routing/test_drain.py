"""What an operator's drain does to plans."""

import pytest

from gateway.errors import NoCandidate
from gateway.routing.book import DRAINED, StatsBook
from gateway.routing.filters import unavailable
from gateway.routing.planner import plan
from tests.routing.samples import deployment, fault, outcome, request, route, usage

A, B = deployment("a"), deployment("b")
NOW = 1000.0


def drained(*backends: str) -> StatsBook:
    """A book in which an operator has drained backends."""
    book = StatsBook()
    book.drain(frozenset(backends), (A, B))
    return book


def test_drained_backend_is_out_of_every_plan_and_the_reason_says_by_whom() -> None:
    found = plan(request(), route(A, B), drained("a"), NOW, 0.5)
    assert [choice.deployment for choice in found.choices] == [B]
    assert [(out.deployment, out.reason) for out in found.rejected] == [(A, "drained by the operator")]


def test_enabled_backend_is_planned_again() -> None:
    book = drained("a", "b")
    book.drain(frozenset(), (A, B))
    assert len(plan(request(), route(A, B), book, NOW, 0.5).choices) == 2
    assert (book.of(A).up(NOW), book.drained) == (True, frozenset())


def test_attempts_that_still_end_do_not_bring_it_back() -> None:
    book = drained("a")
    for one in (outcome(A, 3.0, first=1.0, usage=usage(100, 21)), fault(A, 1.0)):
        book.started(A)
        book.ended(one)
    book.forgive()
    assert book.of(A).resting_because == DRAINED
    assert unavailable(A, book, NOW) == DRAINED


def test_when_everybody_is_drained_the_caller_is_told_a_time_that_is_one() -> None:
    with pytest.raises(NoCandidate) as caught:
        plan(request(), route(A, B), drained("a", "b"), NOW, 0.5)
    assert caught.value.retry_after is not None
    assert 1.0 <= caught.value.retry_after <= 600.0
    assert "drained by the operator" in caught.value.message
