"""What the stats learn from outcomes."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.routing.forecast import prior
from gateway.routing.stats import FAULTS_TO_EJECT, PARKING, UNSEEN, StatsBook, learnt, mean
from gateway.types import Outcome
from tests.routing.samples import deployment, fault, outcome, usage

GPU = deployment("gpu-a")
OTHER = deployment("gpu-b")
NEVER = float("-inf")


def book_after(*outcomes: Outcome) -> StatsBook:
    book = StatsBook()
    for one in outcomes:
        book.started(one.deployment)
        book.ended(one)
    return book


def test_first_sample_is_taken_as_it_is_and_later_ones_move_the_mean_by_a_fifth() -> None:
    assert mean(None, 3.0) == 3.0
    assert mean(3.0, 8.0) == pytest.approx(4.0)


@given(st.floats(0, 1e6), st.lists(st.floats(0, 1e6), min_size=1))
def test_mean_stays_between_the_smallest_and_the_largest_sample(first: float, samples: list[float]) -> None:
    value = first
    for sample in samples:
        value = mean(value, sample)
    assert min(first, *samples) - 1e-6 <= value <= max(first, *samples) + 1e-6


def test_deployment_never_asked_is_unseen() -> None:
    assert StatsBook().of(GPU) is UNSEEN


def test_stream_shows_time_to_first_token_and_time_per_further_one() -> None:
    stats = learnt(UNSEEN, outcome(GPU, ended=13.0, started=10.0, first=11.0, usage=usage(completion=21)))
    assert (stats.ttft, stats.seen) == (1.0, 13.0)
    assert stats.per_token == pytest.approx(0.1)


def test_stream_of_one_token_says_nothing_of_the_speed() -> None:
    stats = learnt(UNSEEN, outcome(GPU, ended=3.0, started=0.0, first=1.0, usage=usage(completion=1)))
    assert (stats.ttft, stats.per_token) == (1.0, None)


def test_answer_in_one_piece_is_shared_out_between_first_and_further_tokens() -> None:
    whole = outcome(GPU, ended=11.0, started=0.0, first=11.0, usage=usage(completion=100), streamed=False)
    stats = learnt(UNSEEN, whole)
    assert stats.ttft == pytest.approx(1.0)
    assert stats.per_token == pytest.approx(0.1)


def test_answer_in_one_piece_keeps_the_proportion_that_streams_have_shown() -> None:
    streamed = learnt(UNSEEN, outcome(GPU, ended=3.0, started=0.0, first=1.0, usage=usage(completion=21)))
    whole = outcome(GPU, ended=9.0, started=3.0, first=9.0, usage=usage(completion=20), streamed=False)
    stats = learnt(streamed, whole)
    assert stats.ttft == pytest.approx(mean(1.0, 2.0))
    assert stats.per_token == pytest.approx(mean(0.1, 0.2))


def test_silence_until_a_timeout_counts_as_a_slow_first_token() -> None:
    silent = fault(GPU, ended=12.0, started=0.0, outcome="timeout", error_type="upstream_first_token_timeout")
    assert learnt(UNSEEN, silent).ttft == 12.0


def test_silence_shorter_than_the_known_latency_does_not_make_a_deployment_look_fast() -> None:
    known = learnt(UNSEEN, outcome(GPU, ended=2.0, started=0.0, first=2.0))
    impatient = outcome(
        GPU, ended=10.001, started=10.0, outcome="timeout", verdict="neutral", error_type="upstream_total_timeout"
    )
    stats = learnt(known, impatient)
    assert stats.ttft is not None and stats.ttft >= 2.0


def test_caller_who_gives_up_at_once_does_not_make_an_unseen_deployment_look_fast() -> None:
    impatient = outcome(
        GPU, ended=10.001, started=10.0, outcome="timeout", verdict="neutral", error_type="upstream_total_timeout"
    )
    seen = learnt(UNSEEN, impatient).ttft
    assert seen is None or seen >= prior(GPU).ttft


def test_error_without_content_teaches_no_latency() -> None:
    assert learnt(UNSEEN, fault(GPU, ended=0.001)).ttft is None


def test_four_faults_in_a_row_do_not_eject_and_the_fifth_does() -> None:
    faults = [fault(GPU, ended=float(second)) for second in range(FAULTS_TO_EJECT)]
    assert book_after(*faults[:-1]).of(GPU).ejected_until == NEVER
    assert book_after(*faults).of(GPU).ejected_until == 4.0 + 5.0


def test_each_further_fault_ejects_again_for_at_most_seven_seconds() -> None:
    book = book_after(*[fault(GPU)] * FAULTS_TO_EJECT)
    for second in range(10, 100, 10):
        book.started(GPU)
        book.ended(fault(GPU, ended=float(second)))
        assert book.of(GPU).ejected_until == second + 7.0


def test_ejection_outlives_thousands_of_faults_in_a_row() -> None:
    faults = 3000
    book = book_after(*[fault(GPU, ended=1.0)] * faults)
    assert book.of(GPU).ejected_until == 8.0
    assert book.in_flight["gpu-a"] == 0


def test_ok_ends_an_ejection_and_forgets_the_faults() -> None:
    book = book_after(*[fault(GPU)] * 7, outcome(GPU, ended=1.0))
    assert book.of(GPU)[3:6] == (0, 0, NEVER)
    assert book_after(*[fault(GPU)] * 7, outcome(GPU), *[fault(GPU)] * 4).of(GPU).ejected_until == NEVER


def test_neutral_outcome_neither_counts_nor_forgives() -> None:
    neutral = outcome(GPU, outcome="client_cancelled", verdict="neutral", error_type="caller_gone")
    assert book_after(fault(GPU), neutral, fault(GPU)).of(GPU).faults == 2


def test_faults_of_one_deployment_are_not_held_against_another() -> None:
    book = book_after(*[fault(GPU)] * 5)
    assert book.of(OTHER) is UNSEEN


@pytest.mark.parametrize(("retry_after", "until"), [(30.0, 40.0), (0.0, 10.0), (None, 12.0)])
def test_rate_limited_deployment_rests_as_long_as_it_asks_or_two_seconds(
    retry_after: float | None, until: float
) -> None:
    limited = fault(GPU, 10.0, verdict="neutral", error_type="upstream_rate_limited", retry_after=retry_after)
    stats = learnt(UNSEEN, limited)
    assert stats.resting_until == until
    assert stats.faults == 0


def test_shorter_rest_does_not_end_a_longer_one() -> None:
    long = fault(GPU, 10.0, verdict="neutral", error_type="upstream_rate_limited", retry_after=100.0)
    short = long._replace(ended=11.0, retry_after=1.0)
    assert book_after(long, short).of(GPU).resting_until == 110.0


@pytest.mark.parametrize("error_type", sorted(PARKING))
def test_deployment_is_parked_when_asking_is_pointless_and_forgiven_when_the_policy_changes(error_type: str) -> None:
    book = book_after(fault(GPU, 10.0, error_type=error_type))
    seconds, because = PARKING[error_type]
    assert (book.of(GPU).resting_until, book.of(GPU).resting_because) == (10.0 + seconds, because)
    book.forgive()
    assert book.of(GPU).resting_until == float("-inf")


def test_rate_limit_is_not_forgiven_by_a_change_of_the_policy() -> None:
    book = book_after(fault(GPU, 10.0, verdict="neutral", error_type="upstream_rate_limited", retry_after=30.0))
    book.forgive()
    assert book.of(GPU).resting_until == 40.0


def test_reason_of_a_rest_is_the_reason_of_the_longest() -> None:
    parked = fault(GPU, 10.0, error_type="upstream_credentials")
    limited = fault(GPU, 11.0, verdict="neutral", error_type="upstream_rate_limited")
    stats = book_after(parked, limited).of(GPU)
    assert (stats.resting_until, stats.resting_because) == (70.0, "refuses our credentials")


def test_ok_of_an_earlier_request_does_not_end_a_rest() -> None:
    limited = fault(GPU, 10.0, verdict="neutral", error_type="upstream_rate_limited", retry_after=30.0)
    assert book_after(limited, outcome(GPU, ended=11.0)).of(GPU).resting_until == 40.0


def test_requests_in_flight_are_counted_by_backend() -> None:
    book, sibling = StatsBook(), deployment("gpu-a", "llama-3.1-8b-instruct")
    for one in (GPU, sibling, OTHER):
        book.started(one)
    assert book.in_flight == {"gpu-a": 2, "gpu-b": 1}
    book.ended(outcome(sibling))
    assert book.in_flight == {"gpu-a": 1, "gpu-b": 1}


def test_habits_learn_the_completion_of_a_route_and_the_true_prompt_of_a_model() -> None:
    book = StatsBook()
    book.habits("chat", GPU.model, 100, outcome(GPU, usage=usage(150, 40)))
    book.habits("chat", GPU.model, 100, outcome(GPU, usage=usage(100, 90)))
    assert book.output == {"chat": pytest.approx(50.0)}
    assert book.correction == {GPU.model: pytest.approx(1.4)}


@pytest.mark.parametrize(("true", "ratio"), [(1, 0.25), (10**9, 4.0)])
def test_correction_is_clamped_to_a_quarter_and_to_four_times(true: int, ratio: float) -> None:
    book = StatsBook()
    book.habits("chat", GPU.model, 100, outcome(GPU, usage=usage(true)))
    assert book.correction[GPU.model] == ratio


@pytest.mark.parametrize("known", [None, usage(5, 5, estimated=True)])
def test_habits_learn_nothing_from_estimates(known: object) -> None:
    book = StatsBook()
    book.habits("chat", GPU.model, 100, outcome(GPU, usage=known))
    assert (book.output, book.correction) == ({}, {})


@pytest.mark.parametrize(("estimated", "true"), [(0, 100), (100, 0)])
def test_prompt_of_zero_tokens_corrects_nothing(estimated: int, true: int) -> None:
    book = StatsBook()
    book.habits("chat", GPU.model, estimated, outcome(GPU, usage=usage(true)))
    assert book.correction == {}


KINDS = st.sampled_from(
    [
        ("success", "ok", ""),
        ("partial", "fault", "upstream_stream_cut"),
        ("upstream_error", "fault", "upstream_server_error"),
        ("upstream_error", "neutral", "upstream_rate_limited"),
        ("upstream_error", "fault", "upstream_credentials"),
        ("timeout", "fault", "upstream_first_token_timeout"),
        ("client_cancelled", "neutral", "caller_gone"),
    ]
)


class Traffic(RuleBasedStateMachine):
    """Any mix of attempts that begin and end, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.book = StatsBook()
        self.now = 1000.0
        self.flying: list[tuple[str, float]] = []
        self.known = {"gpu-a": GPU, "gpu-b": OTHER}

    @rule(backend=st.sampled_from(["gpu-a", "gpu-b"]))
    def begin(self, backend: str) -> None:
        self.book.started(self.known[backend])
        self.flying.append((backend, self.now))

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(data=st.data(), kind=KINDS, wait=st.none() | st.floats(0, 1e4), tokens=st.none() | st.integers(0, 10**6))
    def end(self, data: st.DataObject, kind: tuple[str, str, str], wait: float | None, tokens: int | None) -> None:
        if not self.flying:
            return
        backend, started = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        name, verdict, error_type = kind
        answered = name in ("success", "partial")
        target, before = self.known[backend], self.book.of(self.known[backend])
        self.book.ended(
            outcome(
                target,
                self.now,
                outcome=name,
                verdict=verdict,
                error_type=error_type,
                started=started,
                first=data.draw(st.floats(started, self.now)) if answered else None,
                usage=None if tokens is None else usage(completion=tokens),
                retry_after=wait,
                streamed=data.draw(st.booleans()),
            )
        )
        stats = self.book.of(target)
        assert stats.resting_until >= before.resting_until
        if verdict == "ok":
            assert (stats.faults, stats.ejections, stats.ejected_until) == (0, 0, NEVER)
        elif verdict == "neutral":
            assert (stats.faults, stats.ejected_until) == (before.faults, before.ejected_until)
        else:
            assert stats.faults == before.faults + 1
            assert (stats.ejected_until > self.now) == (stats.faults >= FAULTS_TO_EJECT)

    @invariant()
    def in_flight_is_what_has_begun_and_not_ended(self) -> None:
        for backend in self.known:
            assert self.book.in_flight.get(backend, 0) == sum(name == backend for name, _ in self.flying)

    @invariant()
    def nobody_is_ejected_for_more_than_seven_seconds(self) -> None:
        assert all(stats.ejected_until <= self.now + 7.0 for stats in self.book.deployments.values())

    @invariant()
    def latencies_are_finite_and_not_negative(self) -> None:
        for stats in self.book.deployments.values():
            for value in (stats.ttft, stats.per_token):
                assert value is None or (math.isfinite(value) and value >= 0)


TestTraffic = Traffic.TestCase


def test_silence_before_an_answer_in_one_piece_says_nothing_of_its_first_token() -> None:
    known = learnt(UNSEEN, outcome(GPU, ended=2.0, started=0.0, first=1.0, usage=usage(completion=21)))
    silent = fault(
        GPU, 90.0, started=30.0, outcome="timeout", error_type="upstream_first_token_timeout", streamed=False
    )
    assert learnt(known, silent)[:3] == known[:3]
    assert learnt(UNSEEN, silent).ttft is None


@pytest.mark.parametrize("retry_after", [301.0, 86_400.0, 1e12])
def test_deployment_rests_for_five_minutes_at_most(retry_after: float) -> None:
    limited = fault(GPU, 10.0, verdict="neutral", error_type="upstream_rate_limited", retry_after=retry_after)
    assert learnt(UNSEEN, limited).resting_until == 310.0
