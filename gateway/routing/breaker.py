"""When a deployment that fails is left alone, and how it is taken back: closed, open, half-open. Pure.

closed      asked as usual; opens after five faults in a row, or when half of ten attempts or more within 30 s failed
open        not asked for a few seconds; longer when it had hardly come back
half-open   one request at a time; two successes close it, one fault opens it again
closed      but its share of first places grows slowly for 30 s
"""

from typing import Literal, NamedTuple

FAULTS = 5  # in a row
ENOUGH = 10  # attempts before their share of faults says anything
BAD_SHARE = 0.5
WINDOW = 30.0  # seconds that an attempt counts for at most, and half of that at least
OPEN_SECONDS = 5.0
OPEN_SECONDS_MAX = 7.0  # a cap this low brings a recovered deployment back within ten seconds
JITTER = 0.2  # of the seconds, so that several do not come back at once
SUCCESSES = 2
RAMP = 30.0  # seconds after closing until it has its full share again, and until its past is forgotten
LEAST_SHARE = 0.1
NEVER = float("-inf")

State = Literal["closed", "half_open", "open"]


class Window(NamedTuple):
    """Attempts, and how many of them failed, in two spans side by side: what is counted is never older than WINDOW."""

    span: int = 0
    tries: int = 0
    bad: int = 0
    tries_before: int = 0
    bad_before: int = 0

    def after(self, now: float, bad: int) -> "Window":
        """With one more attempt; `bad` is 1 when it failed."""
        span, tries, failed, tries_before, bad_before = self
        new = int(now // (WINDOW / 2))
        if new == span:
            return Window(span, tries + 1, failed + bad, tries_before, bad_before)
        return Window(new, 1, bad, tries, failed) if new == span + 1 else Window(new, 1, bad)

    @property
    def trouble(self) -> str:
        """What is wrong with them; nothing as long as most went well, or too few are known."""
        tries, bad = self.tries + self.tries_before, self.bad + self.bad_before
        return f"{bad} of {tries} attempts failed" if tries >= ENOUGH and bad >= BAD_SHARE * tries else ""


class Breaker(NamedTuple):
    """One deployment's breaker; times of the monotonic clock, in seconds."""

    closed: bool = True
    until: float = NEVER  # out until then: while open, and while it is tried in half-open
    since: float = NEVER  # when it became half-open, or closed again: what began before that says nothing of it
    faults: int = 0  # in a row
    openings: int = 0  # one soon after the other
    successes: int = 0  # in half-open
    trials: int = 0  # in half-open
    trial: float = NEVER  # when the running one began
    counted: float = NEVER  # when the attempt began whose first content was the last success
    because: str = ""  # it is open
    window: Window = Window()


class Transition(NamedTuple):
    """A breaker's new state, and what log lines say of it."""

    state: State
    because: str = ""
    seconds: float = 0.0  # it is open for
    openings: int = 0


FRESH = Breaker()
HALF_OPEN = Transition("half_open")
CLOSED = Transition("closed")


def state(breaker: Breaker, now: float) -> State:
    """The state at that time."""
    if breaker.closed:
        return "closed"
    return "open" if now < breaker.since else "half_open"


def free(breaker: Breaker, now: float) -> bool:
    """Whether it is half-open, and nobody tries the deployment."""
    return not breaker.closed and now >= breaker.until


def trying(breaker: Breaker, now: float, seconds: float) -> Breaker:
    """The breaker that is `free`, with a trial begun; one that takes longer than so many seconds keeps nobody out."""
    return breaker._replace(trial=now, trials=breaker.trials + 1, until=now + seconds)


def succeeded(breaker: Breaker, started: float, now: float) -> Breaker:
    """After an attempt that went well."""
    closed, until, since, _, openings, successes, _, _, counted, _, window = breaker
    if started < since or started == counted:
        return breaker
    if closed:
        return Breaker(True, until, since, 0, openings, window=window.after(now, 0))
    if successes + 1 >= SUCCESSES:
        return Breaker(until=now, since=now, openings=openings)
    return spared(breaker, started)._replace(successes=successes + 1)


def answering(breaker: Breaker, started: float, now: float) -> Breaker:
    """After the first content of an attempt: in half-open as good as its end, which may be long in coming."""
    if breaker.closed or started < breaker.since or started == breaker.counted:
        return breaker
    after = succeeded(breaker, started, now)
    return after if after.closed else after._replace(counted=started)


def failed(breaker: Breaker, started: float, now: float, chance: float) -> Breaker:
    """After a fault; `chance` is in [0, 1)."""
    if started < breaker.since:
        return breaker
    breaker = breaker._replace(faults=breaker.faults + 1)
    if not breaker.closed:
        return opened(breaker, now, chance, "failed again when it was tried")
    breaker = breaker._replace(window=breaker.window.after(now, 1))
    trouble = f"{breaker.faults} faults in a row" if breaker.faults >= FAULTS else breaker.window.trouble
    return opened(breaker, now, chance, trouble) if trouble else breaker


def spared(breaker: Breaker, started: float) -> Breaker:
    """After an attempt that says nothing of the deployment's health: somebody else may try it."""
    if breaker.closed or started != breaker.trial:
        return breaker
    return breaker._replace(trial=NEVER, until=breaker.since)


def opened(breaker: Breaker, now: float, chance: float, because: str) -> Breaker:
    """The breaker opened; its openings add up unless it was closed for a while."""
    steady = breaker.closed and now - breaker.since > RAMP
    openings = 1 if steady else breaker.openings + 1
    until = now + open_seconds(openings, chance)
    return Breaker(False, until, until, breaker.faults, openings, because=because)


def held(breaker: Breaker, until: float, because: str) -> Breaker:
    """The breaker of a deployment that is known not to be well, open until then at least."""
    if not breaker.closed and breaker.until >= until:
        return breaker
    openings = max(1, breaker.openings)
    return Breaker(False, until, until, breaker.faults, openings, because=because, window=breaker.window)


def let_go(breaker: Breaker, now: float, because: str) -> Breaker:
    """The breaker after that is over: half-open, so that real requests try the deployment."""
    if breaker.closed or breaker.because != because or now >= breaker.since:
        return breaker
    return breaker._replace(until=now, since=now)


def open_seconds(openings: int, chance: float) -> float:
    """Seconds to stay open: doubled with each opening, jittered by a fifth, never above the cap."""
    seconds = min(OPEN_SECONDS_MAX, OPEN_SECONDS * 2.0 ** min(openings - 1, 8))
    least, most = (1 - JITTER) * seconds, min(OPEN_SECONDS_MAX, (1 + JITTER) * seconds)
    return least + (most - least) * chance


def transition(before: Breaker, after: Breaker, now: float) -> Transition | None:
    """What has changed between two states of one breaker; None when nothing that anybody must know."""
    if before is after or (before.closed and after.closed):
        return None
    if after.closed:
        return CLOSED
    if after.since != before.since:
        return Transition("open", after.because, after.until - now, after.openings)
    return HALF_OPEN if after.trials == 1 and before.trials == 0 else None


def share(closed_at: float, now: float) -> float:
    """The share of its first places that a deployment gets so long after its breaker was closed."""
    return min(1.0, LEAST_SHARE + (1 - LEAST_SHARE) * (now - closed_at) / RAMP)
