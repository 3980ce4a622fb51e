"""Whose turn is it? The order of attempts of one request, pure: errors in, the next deployment and the wait out."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from tenacity import RetryCallState, wait_exponential

from gateway.errors import GatewayError, UpstreamError, larger_than
from gateway.types import Choice

PER_DEPLOYMENT = 2  # attempts at one deployment for one request
LONGEST_WAIT = 10.0  # seconds that a Retry-After may ask for and still be waited for
JITTER = 0.2  # of a Retry-After, added so that callers do not return as a herd
BACKOFF = wait_exponential(multiplier=0.25, max=4.0)


class Turn(NamedTuple):
    """The deployment to ask, how many seconds from now, whether it is the last one, and may have to be waited for."""

    choice: Choice
    wait: float
    last: bool
    waits: bool = False


class Turns:
    """Each choice once, best first; then those that may be asked again, after a wait."""

    def __init__(
        self,
        choices: Sequence[Choice],
        attempts: int,
        chance: Callable[[], float],
        closed: Callable[[Choice], str | None] = lambda choice: None,
        may_repeat: Callable[[], bool] = lambda: True,
        full: Callable[[Choice], bool] = lambda choice: False,
    ) -> None:
        self.choices = choices  # those before `at` were asked, or cannot be
        self.at = 0
        self.closed = closed  # why a choice cannot be asked any more
        self.may_repeat = may_repeat  # whether a deployment may be asked once more, by the budget for that
        self.full = full  # whether a choice that is closed can be waited for
        self.crowded: list[Choice] = []  # those that were passed over, and can
        self.skipped: list[str] = []
        self.again: list[tuple[Choice, UpstreamError]] = []
        self.left = attempts
        self.asked: dict[str, int] = {}
        self.rounds = 0
        self.chance = chance

    def next(
        self,
        failed: Choice | None = None,
        error: UpstreamError | None = None,
        reserve: Callable[[], Turn | None] = lambda: None,
    ) -> Turn | None:
        """The turn after that failure; None when nobody is left or allowed.

        Whoever is in `reserve` for it goes before a second attempt at the same deployment.
        """
        if failed is not None and error is not None:
            if not error.elsewhere:
                return reserve()
            self.hear(failed, error)
        if self.left == 0:
            return None
        return self.first_time() or reserve() or self.in_time() or self.once_more()

    def hear(self, failed: Choice, error: UpstreamError) -> None:
        """Learn from a failure: whom it makes no sense to ask after it, and whether it may be asked again itself."""
        self.only([choice for choice in self.ahead() if error.helps(failed.deployment, choice.deployment)])
        self.crowded = [choice for choice in self.crowded if error.helps(failed.deployment, choice.deployment)]
        if self.patient(error) and self.asked[failed.deployment.name] < PER_DEPLOYMENT:
            self.again.append((failed, error))

    def hear_all(self, failures: Iterable[tuple[Turn, GatewayError]]) -> None:
        """Learn from the failures of attempts that ran beside another one."""
        for turn, error in failures:
            if isinstance(error, UpstreamError):
                self.hear(turn.choice, error)

    def ahead(self) -> Iterator[Choice]:
        """Those that were not asked yet, best first; a plan makes each of them when it is looked at, and not before."""
        return (self.choices[at] for at in range(self.at, len(self.choices)))

    def only(self, choices: Sequence[Choice]) -> None:
        """From now on these are the ones that were not asked yet."""
        self.choices, self.at = choices, 0

    def near(self, model: str) -> None:
        """From now on only deployments of that model, where any is left: no other one would say the same."""
        if mine := [choice for choice in self.ahead() if choice.deployment.model == model]:
            self.only(mine)

    def again_at(self, choice: Choice) -> None:
        """Ask that choice next once more: it refused the way in which it was asked, not the request."""
        self.only([choice, *self.ahead()])

    def joined(self, choices: Sequence[Choice]) -> Turn | None:
        """The turn after others have joined: those of a new plan that were not asked yet."""
        self.only([choice for choice in choices if choice.deployment.name not in self.asked])
        return self.first_time() if self.left else None

    def first_time(self) -> Turn | None:
        """The best choice that was not asked yet and can be asked still: since the plan was made, others may have."""
        while self.at < len(self.choices):
            choice = self.choices[self.at]
            self.at += 1
            reason = self.closed(choice) if self.asked else None
            if reason is None:
                return self.turn(choice, 0.0)
            self.skipped.append(f"{choice.deployment.name}: {reason}")
            if self.full(choice):
                self.crowded.append(choice)
        return None

    def in_time(self) -> Turn | None:
        """The best choice that was passed over since it was full: it is worth waiting for, now that nobody is free."""
        return self.turn(self.crowded.pop(0), 0.0, waits=True) if self.crowded else None

    def beside(self) -> Choice | None:
        """Who can be asked while another attempt still runs: the best that was not asked yet; its turn is not taken."""
        if self.left == 0:
            return None
        return next((choice for choice in self.ahead() if self.closed(choice) is None), None)

    def once_more(self) -> Turn | None:
        """The choice whose wait is the shortest."""
        waits = [(self.wait(error), index) for index, (_, error) in enumerate(self.again)]
        if not waits or not self.may_repeat():
            return None
        self.rounds += 1
        wait, index = min(waits)
        return self.turn(self.again.pop(index)[0], wait, waits=True)

    def turn(self, choice: Choice, wait: float, waits: bool = False) -> Turn:
        """Count the attempt."""
        self.left -= 1
        self.asked[choice.deployment.name] = self.asked.get(choice.deployment.name, 0) + 1
        others = self.again or any(self.closed(other) is None for other in self.ahead())
        return Turn(choice, wait, self.left == 0 or not others, waits)

    def larger_left(self, choice: Choice) -> bool:
        """Whether one of a larger model is left that can be asked after that choice."""
        larger = (other for other in self.ahead() if larger_than(choice.deployment, other.deployment))
        return self.left > 0 and any(self.closed(other) is None for other in larger)

    def patient(self, error: UpstreamError) -> bool:
        """Whether the deployment may be asked again, and soon enough."""
        return error.again and (error.retry_after is None or error.retry_after <= LONGEST_WAIT)

    def wait(self, error: UpstreamError) -> float:
        """Seconds before the same deployment is asked again: what it asked for and a little more, else backoff."""
        if error.retry_after is not None:
            return error.retry_after * (1 + JITTER * self.chance())
        return self.chance() * backoff(self.rounds + 1)


def backoff(attempt: int) -> float:
    """0.25 s, doubled with each attempt, 4 s at the most; a random share of it is full jitter (Brooker, AWS, 2015)."""
    state = RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # the strategy reads the number alone
    state.attempt_number = attempt
    return BACKOFF(state)
