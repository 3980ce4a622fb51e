"""How a new model takes over, and how it is taken back."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.outcomes import Outcome
from gateway.routing.book import StatsBook
from gateway.routing.rollout import Progress, Rollout, Side, moved
from tests.routing.samples import deployment, fault, outcome

GPU = deployment()
PLAN = Rollout(steps=(0.05, 0.25, 1.0), every=600.0, requests=10, errors=0.1, slowdown=2.0)


def took(seconds: float, ended: float = 0.0) -> Outcome:
    return outcome(GPU, ended, started=ended - seconds)


def side(attempts: int, failed: int = 0, seconds: float | None = None) -> Side:
    return Side(attempts, failed, seconds)


def test_it_begins_with_its_first_step() -> None:
    assert StatsBook().share("chat", "new", PLAN) == 0.05


@pytest.mark.parametrize(
    ("seconds", "attempts", "share"), [(599.9, 10, 0.05), (600.0, 9, 0.05), (600.0, 10, 0.25), (9e9, 10**6, 0.25)]
)
def test_it_takes_one_step_after_enough_time_and_requests(seconds: float, attempts: int, share: float) -> None:
    assert moved(Progress(0.0, new=side(attempts)), PLAN, seconds).share(PLAN) == share


@pytest.mark.parametrize(
    ("new", "base", "stops"),
    [
        (side(10, 1), side(100), False),
        (side(10, 2), side(100), True),
        (side(9, 9), side(100), False),
        (side(10, 5), side(100, 60), False),
        (side(10, 0, 2.0), side(5, 0, 1.0), False),
        (side(10, 0, 2.1), side(5, 0, 1.0), True),
        (side(10, 0, 99.0), side(0), False),
    ],
)
def test_it_ends_when_it_fails_more_than_it_may_and_than_the_base_or_is_slow(
    new: Side, base: Side, stops: bool
) -> None:
    progress = moved(Progress(0.0, 1, new, base), PLAN, 1e6)
    assert bool(progress.stopped) == stops
    assert (progress.share(PLAN) == 0.0) == stops


def test_it_says_why_it_has_ended() -> None:
    assert moved(Progress(0.0, 1, side(10, 2)), PLAN, 1.0).stopped == "2 of 10 attempts failed"
    slow = Progress(0.0, 1, side(10, 0, 3.0), side(10, 0, 1.0))
    assert moved(slow, PLAN, 1.0).stopped == "takes 3.00 s where 1.00 s are usual"


def test_outage_at_the_last_step_ends_it_however_long_all_went_well() -> None:
    book, now = StatsBook(), 0.0
    for _ in range(5000):
        now += 60.0
        book.roll("chat", "new", PLAN, took(1.0, now), base=False)
    assert book.share("chat", "new", PLAN) == 1.0
    for _ in range(50):
        book.roll("chat", "new", PLAN, fault(GPU, now), base=False)
    assert book.share("chat", "new", PLAN) == 0.0


def test_what_says_nothing_of_a_deployment_is_not_counted() -> None:
    assert Side().after(outcome(GPU, verdict="neutral")) == Side()
    assert Side().after(fault(GPU)) == Side(1, 1, None)
    both = Side().after(took(3.0)).after(took(4.0))
    assert (both.attempts, both.failed) == (2, 0)
    assert both.seconds == pytest.approx(3.1)


def test_caller_who_reads_slowly_does_not_make_a_deployment_slow() -> None:
    """The stream stood open for a minute, of which the upstream was awaited for three seconds."""
    read_slowly = outcome(GPU, 60.0, started=0.0, first=1.0)._replace(rest=2.0)
    assert Side().after(read_slowly).seconds == pytest.approx(3.0)


def test_each_arm_has_its_own_progress() -> None:
    book = StatsBook()
    for _ in range(20):
        book.roll("chat", "new", PLAN, fault(GPU), base=False)
    assert [book.share("chat", arm, PLAN) for arm in ("new", "newer")] == [0.0, 0.05]


class Rolling(RuleBasedStateMachine):
    """Outcomes of both sides in any order and at any time."""

    @initialize(
        steps=st.lists(st.floats(0.01, 1.0), min_size=1, max_size=4, unique=True).map(sorted),
        every=st.floats(0.0, 100.0),
        requests=st.integers(1, 5),
        errors=st.floats(0.0, 0.5),
        slowdown=st.floats(1.0, 3.0),
    )
    def begin(self, steps: list[float], every: float, requests: int, errors: float, slowdown: float) -> None:
        self.rollout = Rollout(tuple(steps), every, requests, errors, slowdown)
        self.book = StatsBook()
        self.now = 1000.0
        self.since: float | None = None  # when the step began
        self.counted = 0  # attempts of the new model since then
        self.failed = 0
        self.base_succeeded = False
        self.ended = False

    @rule(seconds=st.floats(0.0, 200.0))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(base=st.booleans(), verdict=st.sampled_from(["ok", "ok", "fault", "neutral"]), seconds=st.floats(0.0, 10.0))
    def attempt(self, base: bool, verdict: str, seconds: float) -> None:
        before = self.share()
        self.since = self.now if self.since is None else self.since
        ended = outcome(GPU, self.now, verdict=verdict, started=self.now - seconds)
        progress = self.book.roll("chat", "new", self.rollout, ended, base)
        self.counted += not base and verdict != "neutral"
        self.failed += not base and verdict == "fault"
        self.base_succeeded |= base and verdict == "ok"
        grew = self.share() > before
        assert not grew or (self.counted >= self.rollout.requests and self.now - self.since >= self.rollout.every)
        assert not grew or self.steps().index(self.share()) == self.steps().index(before) + 1
        if not self.ended and self.hopeless():
            assert progress.stopped
        if progress.stopped:
            assert self.counted >= self.rollout.requests or self.ended
            self.ended = True
        elif progress.since == self.now and progress.new == Side():
            self.since, self.counted, self.failed, self.base_succeeded = self.now, 0, 0, False

    @precondition(lambda self: self.ended)
    @rule(steps=st.integers(1, 30))
    def all_is_well_again(self, steps: int) -> None:
        for _ in range(steps):
            self.now += self.rollout.every
            self.book.roll("chat", "new", self.rollout, took(0.001, self.now), base=False)

    def hopeless(self) -> bool:
        """Whether all attempts of the new model have failed, while not all of the base did."""
        return self.counted >= self.rollout.requests and self.failed == self.counted and self.base_succeeded

    def share(self) -> float:
        return self.book.share("chat", "new", self.rollout)

    def steps(self) -> list[float]:
        return list(self.rollout.steps)

    @invariant()
    def share_is_one_of_the_steps_or_zero_once_it_has_ended(self) -> None:
        assert self.share() in ([0.0] if self.ended else self.steps())


TestRolling = Rolling.TestCase
