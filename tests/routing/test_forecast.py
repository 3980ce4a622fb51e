"""What a deployment is expected to do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.forecast import UNKNOWN_SIZE, Latency, believed, best_by_model, dollars, forecast, prior
from gateway.routing.stats import Stats, StatsBook
from gateway.types import Price
from tests.routing.samples import deployment, request, route

NOW = 1000.0
GPU = deployment("gpu-a", slots=4)
START = Latency(0.3, 0.019)


@given(st.floats(0.1, 1000), st.floats(0.1, 1000))
def test_larger_model_is_expected_to_be_slower(one: float, other: float) -> None:
    small, large = sorted((one, other))
    assert prior(deployment(size=small)) <= prior(deployment(size=large))


def test_model_of_unknown_size_counts_as_a_large_one() -> None:
    assert prior(deployment(size=None)) == prior(deployment(size=UNKNOWN_SIZE))


def test_unseen_deployment_is_as_good_as_the_best_of_its_model() -> None:
    best = Latency(0.1, 0.01)
    assert believed(GPU, Stats(), best, NOW) == best
    assert believed(GPU, Stats(), None, NOW) == prior(GPU)


def test_fresh_measurement_is_believed_as_it_is() -> None:
    stats = Stats(ttft=3.0, per_token=0.2, seen=NOW - 9.0)
    assert believed(GPU, stats, Latency(0.1, 0.01), NOW) == (3.0, 0.2)


def test_stale_measurement_drifts_to_the_best_of_its_model() -> None:
    best = Latency(0.1, 0.01)
    ages = [20.0, 60.0, 600.0, 6000.0]
    beliefs = [believed(GPU, Stats(ttft=3.0, per_token=0.2, seen=NOW - age), best, NOW) for age in ages]
    assert beliefs == sorted(beliefs, reverse=True)
    assert list(beliefs[1]) == pytest.approx([1.55, 0.105])
    assert list(beliefs[-1]) == pytest.approx([0.1, 0.01])


def test_stale_measurement_never_gets_worse() -> None:
    stats = Stats(ttft=0.05, per_token=0.001, seen=NOW - 500.0)
    assert list(believed(GPU, stats, Latency(0.1, 0.01), NOW)) == pytest.approx([0.05, 0.001])


def test_best_is_the_fastest_measured_deployment_of_each_model() -> None:
    book, slow, fast = StatsBook(), deployment("gpu-b"), deployment("gpu-c")
    small = deployment("gpu-d", "llama-3.1-8b-instruct", size=8.0)
    unseen = deployment("gpu-e", "llama-3.2-1b-instruct", size=1.0)
    book.deployments = {
        slow.name: Stats(ttft=2.0),
        fast.name: Stats(ttft=0.2, per_token=0.03),
        small.name: Stats(ttft=0.1),
    }
    best = best_by_model(route(GPU, slow, fast, small, unseen), book)
    assert best == {GPU.model: (0.2, 0.03), small.model: (0.1, prior(small).per_token)}


def test_busy_backend_answers_later_and_a_queue_later_still() -> None:
    seconds = [forecast(request(), GPU, START, flying, 1.0, 100.0).ttft for flying in range(12)]
    assert seconds[0] == 0.3
    assert seconds[2] == pytest.approx(0.45)
    assert seconds == sorted(set(seconds))
    whole_answer = 0.3 + 0.019 * 100
    assert seconds[4] == pytest.approx(0.6 + whole_answer / 4)
    assert seconds[8] == pytest.approx(0.9 + whole_answer * 5 / 4)


def test_output_is_the_habit_of_the_route_but_no_more_than_was_asked() -> None:
    for asked, output in ((None, 300), (50, 50), (5000, 300)):
        assert forecast(request(max_tokens=asked), GPU, START, 0, 1.0, 300.0).output_tokens == output


def test_last_token_comes_after_all_the_others() -> None:
    outlook = forecast(request(), GPU, START, 0, 1.0, 100.0)
    assert outlook.seconds == pytest.approx(0.3 + 100 * 0.019)


def test_prompt_is_corrected_by_what_the_model_has_counted() -> None:
    assert forecast(request(prompt_tokens=100), GPU, START, 0, 1.5, 1.0).prompt_tokens == 150


def test_price_counts_input_and_output() -> None:
    priced = deployment(price=Price(1.0, 3.0), location="hosted")
    assert dollars(priced, 1_000_000, 500_000) == pytest.approx(2.5)


def test_unknown_price_is_dear_and_own_hardware_is_free() -> None:
    assert dollars(deployment(price=None, location="hosted"), 1_000_000, 0) == pytest.approx(10.0)
    assert dollars(deployment(price=None, location="self_hosted"), 10**9, 10**9) == 0.0
