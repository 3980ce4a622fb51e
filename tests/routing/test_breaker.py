"""The breaker of one deployment, without clocks or requests."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.routing.breaker import (
    FRESH,
    LEAST_SHARE,
    NEVER,
    OPEN_SECONDS,
    OPEN_SECONDS_MAX,
    RAMP,
    WINDOW,
    Breaker,
    Window,
    answering,
    failed,
    free,
    held,
    let_go,
    open_seconds,
    share,
    spared,
    state,
    succeeded,
    transition,
    trying,
)

NOW = 1000.0
TRIAL = 13.0  # seconds


def after_faults(count: int, breaker: Breaker = FRESH, now: float = NOW) -> Breaker:
    for _ in range(count):
        breaker = failed(breaker, now, now, 0.5)
    return breaker


def closed_again(breaker: Breaker, now: float) -> Breaker:
    return succeeded(succeeded(breaker, now, now), now, now)


def test_five_faults_in_a_row_open_it_and_four_do_not() -> None:
    assert state(after_faults(4), NOW) == "closed"
    breaker = after_faults(5)
    assert state(breaker, NOW) == "open"
    assert (breaker.until, breaker.because) == (NOW + OPEN_SECONDS, "5 faults in a row")


def test_success_between_faults_begins_the_row_anew() -> None:
    assert after_faults(4, succeeded(after_faults(4), NOW, NOW)).closed


def test_half_of_ten_attempts_open_it_though_no_five_failed_in_a_row() -> None:
    breaker = FRESH
    for attempt in range(10):
        assert breaker.closed
        breaker = failed(breaker, NOW, NOW, 0.5) if attempt % 2 else succeeded(breaker, NOW, NOW)
    assert breaker.because == "5 of 10 attempts failed"


@pytest.mark.parametrize(
    ("before", "after", "trouble"),
    [
        ((6, 3), (4, 2), "5 of 10 attempts failed"),
        ((6, 3), (4, 1), ""),
        ((6, 3), (3, 2), ""),
        ((0, 0), (10, 9), "9 of 10 attempts failed"),
        ((10, 9), (1, 0), "9 of 11 attempts failed"),
    ],
)
def test_attempts_of_both_spans_are_counted_together(
    before: tuple[int, int], after: tuple[int, int], trouble: str
) -> None:
    window = Window()
    for now, (tries, bad) in ((NOW, before), (NOW + WINDOW / 2, after)):
        for attempt in range(tries):
            window = window.after(now, int(attempt < bad))
    assert window.trouble == trouble


def test_deployment_that_is_known_not_to_be_well_is_out_as_long_as_that_is_said() -> None:
    out = held(FRESH, NOW + 10, "ill")
    assert (state(out, NOW), out.until, out.because, out.openings) == ("open", NOW + 10, "ill", 1)
    assert held(out, NOW + 5, "ill") is out
    assert held(out, NOW + 10, "ill") is out
    assert held(out, NOW + 20, "ill").until == NOW + 20


def test_deployment_that_is_well_again_is_tried_at_once() -> None:
    out = held(FRESH, NOW + 10, "ill")
    back = let_go(out, NOW + 1, "ill")
    assert state(back, NOW + 1) == "half_open"
    assert free(back, NOW + 1)


def test_what_is_out_for_its_faults_is_not_let_go_for_being_well() -> None:
    out = after_faults(5)
    assert let_go(out, NOW + 1, "ill") is out
    assert let_go(FRESH, NOW, "") is FRESH
    tried = held(FRESH, NOW + 10, "ill")
    assert let_go(tried, NOW + 10, "ill") is tried


@pytest.mark.parametrize(("later", "openings"), [(RAMP, 2), (RAMP + 1, 1)])
def test_openings_add_up_unless_it_was_closed_for_longer_than_the_ramp(later: float, openings: int) -> None:
    opened = after_faults(5)
    closed = closed_again(opened, opened.until)
    assert closed.closed
    assert after_faults(5, closed, closed.since + later).openings == openings


@pytest.mark.parametrize("each", [2.0, 3.0])
def test_attempts_of_more_than_thirty_seconds_ago_do_not_count(each: float) -> None:
    breaker = FRESH
    for attempt in range(100):
        now = NOW + attempt * 4 * each
        breaker = failed(breaker, now, now, 0.5) if attempt % 2 else succeeded(breaker, now, now)
    assert breaker.closed


@given(st.lists(st.tuples(st.floats(0, 40), st.integers(0, 1)), max_size=60))
def test_window_counts_all_of_the_last_half_and_nothing_older_than_the_whole(steps: list[tuple[float, int]]) -> None:
    window, now, seen = Window(), NOW, []
    for seconds, bad in steps:
        now += seconds
        window = window.after(now, bad)
        seen.append((now, bad))
        recent, all_of_it = ([one for at, one in seen if at > now - span] for span in (15.0, 30.0))
        assert len(recent) <= window.tries + window.tries_before <= len(all_of_it)
        assert sum(recent) <= window.bad + window.bad_before <= sum(all_of_it)


@pytest.mark.parametrize(("openings", "least", "most"), [(1, 4.0, 6.0), (2, 5.6, 7.0), (1000, 5.6, 7.0)])
def test_open_time_is_doubled_capped_and_jittered(openings: int, least: float, most: float) -> None:
    assert open_seconds(openings, 0.0) == pytest.approx(least)
    assert open_seconds(openings, 1.0) == pytest.approx(most)
    assert least < open_seconds(openings, 0.5) < most


def test_two_successes_close_it_and_one_does_not() -> None:
    breaker = after_faults(5)
    now = breaker.until
    once = succeeded(breaker, now, now)
    assert state(once, now) == "half_open"
    twice = succeeded(once, now, now + 1)
    assert (twice.closed, twice.faults, twice.since) == (True, 0, now + 1)


def test_first_content_of_a_trial_is_its_success_and_its_end_is_not_another() -> None:
    breaker = after_faults(5)
    now = breaker.until
    once = answering(trying(breaker, now, TRIAL), now, now + 0.3)
    assert (once.closed, once.successes, free(once, now + 0.3)) == (False, 1, True)
    assert answering(once, now, now + 0.4) is once
    assert succeeded(once, now, now + 30) is once
    again = trying(once, now + 1, TRIAL)
    assert answering(again, now + 1, now + 1.3).closed
    assert not failed(again, now, now + 1.2, 0.5).closed
    assert answering(FRESH, now, now) is FRESH


def test_one_fault_in_half_open_opens_it_for_longer() -> None:
    breaker = after_faults(5)
    now = breaker.until
    again = failed(succeeded(breaker, now, now), now, now, 0.5)
    assert (again.closed, again.successes, again.openings) == (False, 0, 2)
    assert again.until - now > breaker.until - NOW
    assert again.because == "failed again when it was tried"


@pytest.mark.parametrize("seconds", [0.0, 3.0])
def test_attempts_that_began_before_it_was_half_open_say_nothing_of_it(seconds: float) -> None:
    breaker = after_faults(5)
    assert succeeded(breaker, NOW + seconds, NOW + 60) is breaker
    assert failed(breaker, NOW + seconds, NOW + 60, 0.5) is breaker
    closed = closed_again(breaker, breaker.until)
    assert after_faults(9, closed, NOW).closed


def test_openings_add_up_while_it_was_hardly_closed_and_begin_anew_later() -> None:
    breaker = after_faults(5)
    closed = closed_again(breaker, breaker.until)
    assert after_faults(5, closed, closed.since + RAMP - 1).openings == 2
    assert after_faults(5, closed, closed.since + RAMP + 1).openings == 1


def test_trial_keeps_others_out_until_it_has_ended() -> None:
    breaker = after_faults(5)
    now = breaker.until
    assert not free(breaker, now - 0.1)
    assert free(breaker, now)
    tried = trying(breaker, now, TRIAL)
    assert not free(tried, now + 1)
    assert not free(spared(tried, now + 1), now + 2)  # somebody else's
    assert free(spared(tried, now), now + 2)
    assert free(succeeded(tried, now, now + 2), now + 2)
    assert free(tried, now + TRIAL)


def test_share_of_first_places_grows_from_a_tenth_to_all() -> None:
    assert share(NOW, NOW) == LEAST_SHARE
    assert share(NOW, NOW + RAMP / 2) == pytest.approx(0.55)
    assert share(NOW, NOW + RAMP) == share(NEVER, NOW) == 1.0


def test_transitions_are_told_and_nothing_else() -> None:
    closed, open_now = after_faults(4), after_faults(5)
    now = open_now.until
    tried = trying(open_now, now, TRIAL)
    told = transition(closed, open_now, NOW)
    assert told is not None
    assert (told.state, told.because, told.seconds, told.openings) == ("open", "5 faults in a row", 5.0, 1)
    assert getattr(transition(open_now, tried, now), "state", None) == "half_open"
    assert getattr(transition(tried, closed_again(tried, now), now), "state", None) == "closed"
    assert getattr(transition(tried, failed(tried, now, now, 0.5), now), "state", None) == "open"
    for before, after in ((closed, closed), (FRESH, closed), (tried, spared(tried, now))):
        assert transition(before, after, now) is None
    assert transition(spared(tried, now), trying(spared(tried, now), now + 1, TRIAL), now + 1) is None


class Traffic(RuleBasedStateMachine):
    """Requests at a deployment that respect its breaker, and some that ask it all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.breaker = FRESH
        self.flying: list[tuple[float, bool]] = []  # since when, and whether it is a trial
        self.successes = 0  # since it was half-open

    def turn(self, breaker: Breaker) -> None:
        """Look at a transition."""
        before, self.breaker = self.breaker, breaker
        if before.closed and not breaker.closed:
            assert breaker.faults >= 5 or before.window.after(self.now, 1).trouble
        if not breaker.closed and breaker.since != before.since:
            self.successes = 0
            assert 0.8 * OPEN_SECONDS <= breaker.until - self.now <= OPEN_SECONDS_MAX
        if breaker.closed and not before.closed:
            assert self.successes == 2

    @rule(seconds=st.floats(0.0, 20.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.breaker.closed or free(self.breaker, self.now))
    @rule()
    def ask(self) -> None:
        self.now += 0.001  # no two begin at the same time
        trial = free(self.breaker, self.now)
        if trial:
            self.breaker = trying(self.breaker, self.now, TRIAL)
        self.flying.append((self.now, trial))

    @rule()
    def ask_all_the_same(self) -> None:
        self.now += 0.001
        self.flying.append((self.now, False))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), verdict=st.sampled_from(["ok", "ok", "fault", "fault", "fault", "neutral"]))
    def end(self, data: st.DataObject, verdict: str) -> None:
        started, _ = self.flying.pop(data.draw(st.integers(0, len(self.flying) - 1)))
        if verdict == "ok":
            self.successes += not self.breaker.closed and started >= self.breaker.since
            self.turn(succeeded(self.breaker, started, self.now))
        elif verdict == "fault":
            self.turn(failed(self.breaker, started, self.now, data.draw(st.floats(0, 1, exclude_max=True))))
        else:
            self.turn(spared(self.breaker, started))

    @invariant()
    def never_two_trials_at_once(self) -> None:
        since = self.breaker.since
        trials = [at for at, trial in self.flying if trial and at >= since and self.now < at + TRIAL]
        assert self.breaker.closed or len(trials) <= 1

    @invariant()
    def open_time_is_within_bounds(self) -> None:
        assert self.breaker.since <= self.now + OPEN_SECONDS_MAX
        assert self.breaker.until <= self.now + TRIAL

    @invariant()
    def healthy_deployment_is_back_soon(self) -> None:
        breaker, now = self.breaker, self.now
        for _ in range(2):
            if breaker.closed:
                break
            now = max(now, breaker.until)
            assert free(breaker, now)
            breaker = succeeded(trying(breaker, now, TRIAL), now, now + 0.5)
        assert breaker.closed
        assert now <= self.now + TRIAL + 1


TestTraffic = Traffic.TestCase
TestTraffic.settings = settings(max_examples=60, stateful_step_count=40)
