"""How many retries a pool is given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.engine.budget import SLICES, RetryBudget


def granted(budget: RetryBudget, now: float, asked: int = 1000) -> int:
    """How many of so many retries are allowed at once."""
    return sum(budget.may_retry(now) for _ in range(asked))


def asked(budget: RetryBudget, now: float, count: int) -> RetryBudget:
    """The budget after so many requests."""
    for _ in range(count):
        budget.request(now)
    return budget


def test_pool_without_requests_is_given_the_burst_and_then_one_retry_a_second() -> None:
    budget = RetryBudget()
    assert granted(budget, 1000.0) == 10
    assert granted(budget, 1000.9) == 0
    assert granted(budget, 1001.0) == 1
    assert granted(budget, 1004.0) == 3


def test_burst_does_not_grow_while_nobody_retries() -> None:
    budget = RetryBudget()
    assert granted(budget, 1000.0) == 10
    assert granted(budget, 9000.0) == 10


def test_one_request_in_ten_may_be_retried_besides() -> None:
    assert granted(asked(RetryBudget(), 1000.0, 500), 1000.0) == 50 + 10
    assert granted(asked(RetryBudget(), 1000.0, 19), 1000.0) == 1 + 10


def test_requests_are_forgotten_after_ten_seconds() -> None:
    budget = RetryBudget(floor=0, burst=0)
    asked(budget, 1000.0, 500)
    assert granted(budget, 1009.9, 20) == 20
    assert granted(budget, 1010.0) == 0


@pytest.mark.parametrize("seconds", range(10, 40))
def test_requests_of_every_moment_are_forgotten_after_a_pause(seconds: int) -> None:
    budget = RetryBudget(floor=0, burst=0)
    for second in range(1000, 1010):
        asked(budget, float(second), 100)
    assert granted(budget, 1009.0 + seconds) == 0


def test_retries_are_forgotten_with_the_requests_of_their_time() -> None:
    budget = RetryBudget(floor=0, burst=0)
    allowed = [granted(asked(budget, float(second), 10), float(second)) for second in range(1000, 1060)]
    assert allowed == [1] * 60


def test_retries_of_the_callers_sdk_take_from_what_is_left() -> None:
    budget = asked(RetryBudget(), 1000.0, 100)
    for _ in range(15):
        budget.retried(1000.0)
    assert granted(budget, 1000.0) == 5


def test_retries_of_the_callers_sdk_take_from_what_is_to_come() -> None:
    budget = RetryBudget()
    for _ in range(10 + 40):
        budget.retried(1000.0)
    assert granted(asked(budget, 1000.0, 500), 1000.0) == 10


def test_storm_of_retries_by_sdks_leaves_the_gateway_none() -> None:
    budget = asked(RetryBudget(), 1000.0, 100)
    for second in range(1000, 1020):
        for _ in range(50):
            budget.retried(float(second))
        assert granted(budget, float(second)) == 0


def test_clock_that_stands_or_goes_back_gives_nothing() -> None:
    budget = RetryBudget()
    assert granted(budget, 1000.0) == 10
    assert granted(budget, 900.0) == 0
    assert granted(budget, 1000.0) == 0


@pytest.mark.parametrize("seconds", [1.0, 10.0, 60.0])
def test_memory_does_not_grow_with_requests_or_time(seconds: float) -> None:
    budget = RetryBudget(seconds=seconds)
    for at in range(0, 100_000, 7):
        budget.request(at / 10)
        budget.may_retry(at / 10)
    assert len(budget.requests) == len(budget.retries) == SLICES
    assert budget.asked == sum(budget.requests) and budget.charged == sum(budget.retries)


class Bound(RuleBasedStateMachine):
    """In any time, no more retries are allowed than the share of its requests, the floor and the burst."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.budget = RetryBudget(ratio=0.25, floor=0.5, burst=3.0, seconds=10.0)
        self.requests: list[float] = []
        self.grants: list[float] = []

    @rule(seconds=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0, 9.9, 10.0, 25.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(count=st.integers(1, 30))
    def request(self, count: int) -> None:
        asked(self.budget, self.now, count)
        self.requests += [self.now] * count

    @rule(count=st.integers(1, 10))
    def retry(self, count: int) -> None:
        self.grants += [self.now] * granted(self.budget, self.now, count)

    @rule(count=st.integers(1, 10))
    def retried(self, count: int) -> None:
        for _ in range(count):
            self.budget.retried(self.now)

    @invariant()
    def no_window_holds_more(self) -> None:
        end = self.now
        for begin in {*self.grants, end}:
            allowed = 0.25 * sum(at > begin - 10.0 for at in self.requests) + 0.5 * (end - begin) + 3.0
            assert sum(at >= begin for at in self.grants) <= allowed + 1e-6


TestBound = Bound.TestCase


@given(st.integers(0, 400), st.floats(0.0, 1.0))
def test_share_is_never_exceeded_at_once(requests: int, ratio: float) -> None:
    budget = asked(RetryBudget(ratio, floor=0, burst=0), 5.0, requests)
    assert granted(budget, 5.0, requests + 1) <= ratio * requests
