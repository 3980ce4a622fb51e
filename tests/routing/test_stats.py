"""What the stats learn from outcomes."""

import math
from unittest.mock import ANY

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.engine.attempt import patience_of
from gateway.outcomes import Outcome
from gateway.routing.book import StatsBook
from gateway.routing.breaker import FAULTS, Breaker, trying
from gateway.routing.forecast import prior
from gateway.routing.stats import PARKING, UNSEEN, Stats, learnt, mean
from gateway.types import Choice, Timeouts
from tests.routing.samples import deployment, fault, outcome, request, route, usage, view

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
    faults = [fault(GPU, ended=float(second)) for second in range(FAULTS)]
    assert book_after(*faults[:-1]).of(GPU).ejected_until == NEVER
    assert 4.0 + 4.0 <= book_after(*faults).of(GPU).ejected_until <= 4.0 + 6.0


def test_faults_of_requests_that_were_sent_before_prolong_nothing() -> None:
    known = book_after(*[fault(GPU, ended=1.0)] * FAULTS).of(GPU)
    book = book_after(*[fault(GPU, ended=1.0)] * 3000)
    assert book.of(GPU).ejected_until == known.ejected_until
    assert (book.in_flight, book.asked) == ({"gpu-a": 0}, {GPU.name: 0})


def test_deployments_that_fail_together_do_not_come_back_together() -> None:
    faults = [fault(target, ended=1.0) for target in (GPU, OTHER) for _ in range(FAULTS)]
    book = book_after(*faults)
    assert abs(book.of(GPU).ejected_until - book.of(OTHER).ejected_until) > 0.01


def test_book_tells_each_transition_once() -> None:
    book, told = StatsBook(), []
    for started, verdict in [*[(0.0, "fault")] * 6, (8.0, "ok"), (9.0, "ok"), (10.0, "ok")]:
        told.append(book.started(GPU, started))
        told.append(book.ended(outcome(GPU, started + 0.5, started=started, verdict=verdict)))
    assert [one.state for one in told if one] == ["open", "half_open", "closed"]
    assert next(one.because for one in told if one) == "5 faults in a row"
    assert (book.of(GPU).faults, book.of(GPU).ejected_until) == (0, 9.5)


def test_deployment_is_tried_by_one_request_at_a_time_until_that_has_ended_or_takes_too_long() -> None:
    book = book_after(*[fault(GPU, ended=1.0)] * FAULTS)
    book.started(GPU, 10.0)
    assert book.of(GPU).ejected_until == 10.0 + GPU.timeouts.first_token + 1.0
    assert book.of(GPU).up(11.0)
    book.started(GPU, 11.0)
    book.ended(outcome(GPU, 12.0, started=11.0, verdict="neutral"))
    assert not book.of(GPU).ejected_until < 13.0
    book.ended(outcome(GPU, 12.0, started=10.0, verdict="neutral"))
    assert book.of(GPU).ejected_until <= 12.0


@pytest.mark.parametrize(
    ("breaker", "rests", "up"),
    [
        (Breaker(), 0.0, True),
        (Breaker(False, 20.0, 20.0), 0.0, False),
        (Breaker(False, 9.0, 9.0), 0.0, True),
        (trying(Breaker(False, 9.0, 9.0), 9.5, 13.0), 0.0, True),
        (Breaker(), 11.0, False),
    ],
    ids=["closed", "open", "half-open", "being tried", "resting"],
)
def test_deployment_is_up_unless_its_breaker_is_open_or_it_rests(breaker: Breaker, rests: float, up: bool) -> None:
    assert Stats(breaker=breaker, ejected_until=breaker.until, resting_until=rests).up(10.0) == up


@pytest.mark.parametrize("error_type", sorted(PARKING))
def test_what_parks_a_deployment_is_no_matter_of_its_breaker(error_type: str) -> None:
    stats = book_after(*[fault(GPU, 10.0, error_type=error_type)] * FAULTS).of(GPU)
    assert stats.breaker.closed
    assert stats.failing


@pytest.mark.parametrize("error_type", ["upstream_rate_limited", "upstream_overloaded"])
def test_overload_cuts_what_a_deployment_is_sent_at_a_time(error_type: str) -> None:
    book = book_after(fault(GPU, 10.0, error_type=error_type))
    assert book.limit(GPU) == int(0.7 * GPU.slots)
    assert book.limit(OTHER) is None


def test_answers_give_an_overloaded_deployment_its_own_limit_back() -> None:
    target = deployment(concurrency=3)
    book = book_after(fault(target, 10.0, error_type="upstream_overloaded"))
    limits = []
    for second in range(40):
        limits.append(book.limit(target))
        book.started(target)
        book.ended(outcome(target, 11.0 + second))
    assert limits == [2] * 20 + [None] * 20
    assert book.allowances == {}


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


def test_content_changes_nothing_of_what_it_does_not_show() -> None:
    limited = fault(GPU, 10.0, verdict="neutral", error_type="upstream_rate_limited", retry_after=30.0)
    known = book_after(*[fault(GPU, 9.0)] * FAULTS, limited).of(GPU)
    left = outcome(GPU, 11.0, started=10.0, first=10.5, verdict="neutral", usage=usage())
    after = learnt(known, left)
    assert (after.ttft, after.seen) == (0.5, 11.0)
    shown = {name: getattr(known, name) for name in ("ttft", "per_token", "seen", "prompt", "line")}
    assert after._replace(**shown) == known


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
        self.book.started(self.known[backend], self.now)
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
        assert stats.ejected_until == stats.breaker.until
        if verdict == "neutral":
            assert (stats.faults, stats.breaker.closed) == (before.faults, before.breaker.closed)

    @invariant()
    def in_flight_is_what_has_begun_and_not_ended(self) -> None:
        for backend in self.known:
            assert self.book.in_flight.get(backend, 0) == sum(name == backend for name, _ in self.flying)

    @invariant()
    def nobody_is_out_for_longer_than_a_trial_may_take(self) -> None:
        assert all(stats.ejected_until <= self.now + 13.0 for stats in self.book.deployments.values())

    @invariant()
    def allowances_are_of_whole_requests_and_below_the_own_limit(self) -> None:
        assert all(1 <= one.limit < GPU.slots for one in self.book.allowances.values())

    @invariant()
    def latencies_are_finite_and_not_negative(self) -> None:
        for stats in self.book.deployments.values():
            for value in (stats.ttft, stats.per_token):
                assert value is None or (math.isfinite(value) and value >= 0)


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=50)


def stalled(seconds: float, ended: float = 1000.0) -> Outcome:
    """An answer in one piece that was not awaited any longer."""
    silent = fault(GPU, ended, started=ended - seconds, outcome="timeout", error_type="upstream_first_token_timeout")
    return silent._replace(streamed=False)


def test_answer_in_one_piece_that_was_not_awaited_says_that_the_deployment_is_slow() -> None:
    stats = learnt(UNSEEN, stalled(26.6))
    assert stats.per_token == pytest.approx(0.1)
    assert stats.ttft == pytest.approx(1.0)
    assert stats.seen == 1000.0


@pytest.mark.parametrize("tokens", [1, 10, 256, 4000])
@pytest.mark.parametrize("needs", [15.0, 60.0, 400.0])
def test_slow_server_has_more_time_at_each_try_until_it_can_answer(needs: float, tokens: int) -> None:
    """It is never measured before: every answer takes longer than what is usual for its size."""
    asked, rules, book = request(max_tokens=tokens), route(GPU, OTHER), StatsBook()
    times = []
    for _ in range(15):
        forecast, stats = view(asked, rules, book).forecast(0), book.of(GPU)
        choice, measured = Choice(GPU, 1.0, forecast, 0), stats.per_token is not None
        times.append(patience_of(asked, choice, Timeouts(), False, measured))
        book.deployments[GPU.name] = learnt(stats, stalled(times[-1]))
    assert times == sorted(times)
    assert times[-1] > needs


def test_first_answer_is_believed_whatever_the_silences_before_it() -> None:
    stats = learnt(learnt(UNSEEN, stalled(60.0)), stalled(500.0))
    answer = outcome(GPU, 1000.0, started=990.0, first=1000.0, usage=usage(completion=90), streamed=False)
    assert learnt(stats, answer).per_token == pytest.approx(0.1, rel=0.1)


def test_answer_of_one_token_does_not_make_a_guessed_pace_a_measured_one() -> None:
    stats = learnt(UNSEEN, stalled(600.0))
    stats = learnt(stats, outcome(GPU, 1001.0, started=1000.0, first=1001.0, usage=usage(completion=1)))
    answer = outcome(GPU, 1004.0, started=1002.0, first=1003.0, usage=usage(completion=11))
    assert learnt(stats, answer).per_token == pytest.approx(0.1)


def test_server_that_hangs_never_looks_slower_than_its_silences_can_mean() -> None:
    stats = UNSEEN
    for _ in range(3000):
        stats = learnt(stats, stalled(600.0))
    assert stats.per_token is not None and stats.per_token <= 600.0


def test_silence_before_an_answer_in_one_piece_says_nothing_against_what_answers_have_shown() -> None:
    known = learnt(UNSEEN, outcome(GPU, ended=2.0, started=0.0, first=1.0, usage=usage(completion=11)))
    assert known.per_token == pytest.approx(0.1)
    assert learnt(known, stalled(90.0)) == known._replace(failing=0.2, failed=1000.0, breaker=ANY)


@pytest.mark.parametrize("retry_after", [301.0, 86_400.0, 1e12])
def test_deployment_rests_for_five_minutes_at_most(retry_after: float) -> None:
    limited = fault(GPU, 10.0, verdict="neutral", error_type="upstream_rate_limited", retry_after=retry_after)
    assert learnt(UNSEEN, limited).resting_until == 310.0


def test_failures_lately_are_a_share_that_attempts_move_by_a_fifth() -> None:
    stats = learnt(UNSEEN, fault(GPU, 10.0))
    assert stats.failures(10.0) == pytest.approx(0.2)
    assert learnt(stats, fault(GPU, 10.0)).failures(10.0) == pytest.approx(0.36)
    assert learnt(stats, outcome(GPU, 10.0)).failures(10.0) == pytest.approx(0.16)
    assert UNSEEN.failures(10.0) == 0.0


@pytest.mark.parametrize("verdict", ["ok", "fault"])
def test_attempt_does_not_bring_back_failures_that_were_forgotten(verdict: str) -> None:
    stats = learnt(learnt(UNSEEN, fault(GPU, 0.0)), fault(GPU, 0.0))
    after = learnt(stats, outcome(GPU, 3600.0, verdict=verdict))
    assert after.failures(3600.0) == pytest.approx(0.0 if verdict == "ok" else 0.2, abs=1e-6)


def test_failures_end_after_enough_that_went_well() -> None:
    stats = learnt(UNSEEN, fault(GPU, 0.0))
    for second in range(60):
        stats = learnt(stats, outcome(GPU, float(second)))
    assert stats.failing == 0.0


def test_cached_share_of_prompts_is_a_habit_of_the_route_and_never_more_than_all() -> None:
    book = StatsBook()
    book.habits("chat", GPU.model, 100, outcome(GPU, usage=usage(100, 20)))
    assert book.cached == {}
    book.habits("chat", GPU.model, 100, outcome(GPU, usage=usage(100, 20, cached=80)))
    book.habits("chat", GPU.model, 100, outcome(GPU, usage=usage(100, 20)))
    assert book.cached == {"chat": pytest.approx(0.64)}
    book.habits("search", GPU.model, 100, outcome(GPU, usage=usage(100, 20, cached=5000)))
    assert book.cached["search"] == 1.0


def test_spendings_count_for_an_hour() -> None:
    book = StatsBook()
    assert book.spent("chat", 0.0) == 0.0
    for minute in range(120):
        book.spend("chat", 0.5, minute * 60.0)
        book.spend("chat", 0.5, minute * 60.0 + 30)
    assert book.spent("chat", 7200.0) == pytest.approx(60.0, abs=1.0)
    assert book.spent("chat", 7200.0 + 3661) == 0.0
    assert book.spent("search", 7200.0) == 0.0


def test_thousands_of_spendings_are_kept_as_a_sum_a_minute() -> None:
    book = StatsBook()
    for step in range(20_000):
        book.spend("chat", 0.001, step / 10)
    assert len(book.spendings["chat"]) <= 34
    assert book.spent("chat", 2000.0) == pytest.approx(20.0)


def test_first_contents_close_the_breaker_of_a_deployment_that_answers_at_length() -> None:
    book = book_after(*[fault(GPU, ended=1.0)] * FAULTS)
    assert book.answering(OTHER, 8.0, 8.3) is None
    told = []
    for started in (8.0, 9.0):
        told.append(book.started(GPU, started))
        told.append(book.answering(GPU, started, started + 0.3))
    assert [one.state for one in told if one] == ["half_open", "closed"]
    assert book.of(GPU).ejected_until == 9.3
    assert book.ended(outcome(GPU, 40.0, started=8.0)) is None
