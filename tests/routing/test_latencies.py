"""What the stats learn of time: the first token over the length of a prompt, and the tail."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outcomes import Outcome
from gateway.routing.stats import UNSEEN, learnt
from tests.routing.samples import deployment, outcome, usage

GPU = deployment("gpu-a")


def answered(now: float, ttft: float, prompt: int, rest: float = 0.2, streamed: bool = True) -> Outcome:
    """An answer of 21 tokens whose prompt had that many."""
    first = now + ttft
    return outcome(GPU, first + rest, started=now, first=first, rest=rest, usage=usage(prompt, 21), streamed=streamed)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("short", [0.5, 0.9, 0.1])
def test_time_to_the_first_token_is_learnt_over_the_length_of_the_prompt(seed: int, short: float) -> None:
    """0.1 s and a millisecond a token, for a mixture of short and long prompts."""
    random, stats = Random(seed), UNSEEN
    for second in range(200):
        prompt = random.choice([50, 100, 200]) if random.random() < short else random.choice([5_000, 10_000])
        stats = learnt(stats, answered(second, 0.1 + 0.001 * prompt, prompt))
    assert stats.first_token(100) == pytest.approx(0.2, abs=0.05)
    assert stats.first_token(10_000) == pytest.approx(10.1, rel=0.02)


def test_slope_waits_until_prompts_differ_enough() -> None:
    stats = UNSEEN
    for second in range(100):
        stats = learnt(stats, answered(second, 0.1 + 0.001 * (100 + second % 2), 100 + second % 2))
    assert (stats.slope, stats.offset) == (0.0, 0.0)


def test_level_follows_a_deployment_that_gets_slower_for_all_prompts() -> None:
    random, stats = Random(1), UNSEEN
    for second in range(300):
        prompt = random.choice([100, 10_000])
        stats = learnt(stats, answered(second, 0.1 + 0.001 * prompt + (2.0 if second > 100 else 0.0), prompt))
    assert stats.first_token(100) == pytest.approx(2.2, abs=0.1)
    assert stats.first_token(10_000) == pytest.approx(12.1, rel=0.02)


@pytest.mark.parametrize("streamed", [True, False])
def test_answer_whose_prompt_nobody_counted_says_nothing_of_the_slope_and_the_pace(streamed: bool) -> None:
    random, stats = Random(2), UNSEEN
    for second in range(200):
        prompt = random.choice([100, 10_000])
        stats = learnt(stats, answered(second, 0.1 + 0.001 * prompt, prompt))
    uncounted = outcome(GPU, 1000.0, started=1000.0 - stats.first_token(stats.prompt or 0.0), first=1000.0)
    after = learnt(stats, uncounted._replace(streamed=streamed))
    assert after.line == stats.line
    assert after.per_token == pytest.approx(stats.per_token)
    assert after.first_token(10_000) == pytest.approx(stats.first_token(10_000), rel=0.01)


def test_answers_in_one_piece_teach_the_slope_as_well() -> None:
    random, stats = Random(3), UNSEEN
    for second in range(400):
        prompt = random.choice([100, 10_000])
        streamed = second < 50
        whole = answered(second, 0.1 + 0.001 * prompt, prompt)
        stats = learnt(stats, whole if streamed else whole._replace(streamed=False, first=whole.ended, rest=0.0))
    assert stats.first_token(100) == pytest.approx(0.2, abs=0.1)
    assert stats.first_token(10_000) == pytest.approx(10.1, rel=0.05)


@given(
    st.lists(st.tuples(st.floats(0.0, 100.0), st.integers(0, 200_000), st.booleans()), min_size=1, max_size=60),
    st.integers(0, 10**6),
)
def test_predicted_time_to_the_first_token_is_finite_and_never_negative(
    samples: list[tuple[float, int, bool]], prompt: int
) -> None:
    stats = UNSEEN
    for second, (ttft, length, streamed) in enumerate(samples):
        stats = learnt(stats, answered(second, ttft, length, streamed=streamed))
    predicted = stats.first_token(prompt)
    assert math.isfinite(predicted) and predicted >= -1e-9
    assert 1.0 <= stats.tail <= 20.0


@pytest.mark.parametrize("seed", range(5))
def test_tail_converges_to_what_one_in_twenty_exceeds(seed: int) -> None:
    random, stats, seen, exceeded, lates = Random(seed), UNSEEN, 0, 0, []
    for second in range(6000):
        seconds = random.expovariate(1.0) + 1e-6
        if second > 1000 and stats.per_token is not None:
            late = (stats.first_token(100) + 21 * stats.per_token) * stats.tail
            seen, exceeded = seen + 1, exceeded + (seconds * 2 > late)
            lates.append(late)
        stats = learnt(stats, answered(second, seconds, 100, rest=seconds))
    assert exceeded / seen == pytest.approx(0.05, abs=0.02)
    assert sum(lates) / len(lates) == pytest.approx(2 * 3.0, rel=0.25)  # 3.0 is the quantile of this distribution


def test_tail_of_a_steady_deployment_falls_to_its_usual_time() -> None:
    stats = UNSEEN
    for second in range(500):
        stats = learnt(stats, answered(second, 1.0, 100))
    assert stats.tail == pytest.approx(1.0, abs=0.1)


def test_answer_whose_length_nobody_counted_does_not_make_the_tail_longer() -> None:
    stats = learnt(UNSEEN, answered(0.0, 0.1, 100))
    for second in range(1, 20):
        stats = learnt(stats, outcome(GPU, second + 60.0, started=float(second), first=second + 0.1, rest=59.9))
    assert stats.tail == UNSEEN.tail
