"""What a deployment is expected to do, as far as that needs no request."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.forecast import UNKNOWN_SIZE, Latency, believed, measured, prior, queued, rate
from gateway.routing.stats import Stats
from gateway.types import Price
from tests.routing.samples import deployment

GPU = deployment("gpu-a", slots=4)
BEST = Latency(0.1, 0.01)
SLOW = Latency(3.0, 0.2)


@given(st.floats(0.1, 1000), st.floats(0.1, 1000))
def test_larger_model_is_expected_to_be_slower(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert prior(deployment(size=small)) <= prior(deployment(size=large))


def test_model_of_unknown_size_counts_as_a_large_one() -> None:
    assert prior(deployment(size=None)) == prior(deployment(size=UNKNOWN_SIZE))


def test_fresh_measurement_is_believed_as_it_is() -> None:
    assert believed(SLOW, BEST, 9.0) == SLOW


def test_stale_measurement_drifts_to_the_best_of_its_model() -> None:
    beliefs = [believed(SLOW, BEST, age) for age in (20.0, 60.0, 600.0, 6000.0)]
    assert beliefs == sorted(beliefs, reverse=True)
    assert list(beliefs[1]) == pytest.approx([1.55, 0.105])
    assert list(beliefs[-1]) == pytest.approx([0.1, 0.01])


def test_stale_measurement_never_gets_worse() -> None:
    assert list(believed(Latency(0.05, 0.001), BEST, 500.0)) == pytest.approx([0.05, 0.001])


def test_measurement_without_a_speed_has_that_of_a_model_of_its_size() -> None:
    assert measured(GPU, Stats(ttft=2.0), 100.0) == (2.0, prior(GPU).per_token)


def test_longer_prompt_is_measured_to_take_longer() -> None:
    stats = Stats(ttft=2.0, per_token=0.1, slope=0.001, offset=1.0)
    assert [measured(GPU, stats, prompt) for prompt in (0.0, 1000.0, 5000.0)] == [(1.0, 0.1), (2.0, 0.1), (6.0, 0.1)]


@given(st.floats(0.0, 100.0), st.floats(0.0, 1000.0), st.integers(1, 64))
def test_queue_grows_with_each_request_beyond_the_slots(ttft: float, rest: float, slots: int) -> None:
    waits = [queued(ttft, rest, flying, slots) for flying in range(slots, slots * 3)]
    assert waits == sorted(waits)
    assert waits[0] >= ttft * 2


def test_unknown_price_is_dear_and_own_hardware_is_free() -> None:
    assert rate(deployment(price=None, location="hosted")) == pytest.approx((10e-6, 10e-6, 10e-6))
    assert rate(deployment(price=None, location="self_hosted")) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(("cached", "usd"), [(None, 1.0), (0.25, 0.25), (0.0, 0.0)])
def test_cached_prompt_has_its_own_price_where_there_is_one(cached: float | None, usd: float) -> None:
    assert rate(deployment(price=Price(1.0, 3.0, cached))) == pytest.approx((1e-6, usd * 1e-6, 3e-6))
