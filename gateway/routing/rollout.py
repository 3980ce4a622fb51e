"""How a new model takes over step by step, and is taken back by itself when it fails or is slow. Pure."""

from typing import NamedTuple

from gateway.outcomes import Outcome

WEIGHT = 0.1  # of a new sample in the mean times


class Rollout(NamedTuple):
    """The plan of it: `steps` are shares of requests, `every` is seconds at each of them, at least.

    It ends when more than `errors` of its attempts fail (and more than the base's), or when its time to the last token
    is `slowdown` times the base's. A step needs `requests` that have ended.
    """

    steps: tuple[float, ...]
    every: float
    requests: int
    errors: float
    slowdown: float


class Side(NamedTuple):
    """Attempts of one side: how many, how many failed, and the mean seconds that upstreams took to the last token."""

    attempts: int = 0
    failed: int = 0
    seconds: float | None = None

    def after(self, outcome: Outcome) -> "Side":
        """With one more attempt; what says nothing of the deployment is not counted."""
        if outcome.verdict == "neutral":
            return self
        seconds = self.seconds
        if outcome.verdict == "ok":
            first = outcome.ended if outcome.first is None else outcome.first
            took = first - outcome.started + outcome.rest  # not until the end: a caller may read slowly
            seconds = took if seconds is None else seconds + WEIGHT * (took - seconds)
        return Side(self.attempts + 1, self.failed + (outcome.verdict == "fault"), seconds)

    @property
    def failing(self) -> float:
        """Share of attempts that failed."""
        return self.failed / self.attempts if self.attempts else 0.0


class Progress(NamedTuple):
    """How far a rollout is: the step it is at, since when, and both sides since then; `stopped` says why it ended."""

    since: float
    step: int = 0
    new: Side = Side()
    base: Side = Side()
    stopped: str = ""

    def share(self, rollout: Rollout) -> float:
        """The share of requests that the new model has now."""
        return 0.0 if self.stopped else rollout.steps[min(self.step, len(rollout.steps) - 1)]

    def counting(self, outcome: Outcome, base: bool) -> "Progress":
        """With one more outcome of the base, or of the new model."""
        return self._replace(base=self.base.after(outcome)) if base else self._replace(new=self.new.after(outcome))


def moved(progress: Progress, rollout: Rollout, now: float) -> Progress:
    """The progress a moment later: stopped, a step further, or as it is."""
    if progress.stopped:
        return progress
    if because := trouble(progress, rollout):
        return progress._replace(stopped=because)
    if progress.new.attempts < rollout.requests or now - progress.since < rollout.every:
        return progress
    # the last step is counted anew as well: what went well for weeks must not hide an outage
    return Progress(since=now, step=min(progress.step + 1, len(rollout.steps) - 1))


def trouble(progress: Progress, rollout: Rollout) -> str:
    """Why a rollout must end; nothing while it does well or too little is known."""
    new, base = progress.new, progress.base
    if new.attempts < rollout.requests:
        return ""
    if new.failing > max(rollout.errors, base.failing):
        return f"{new.failed} of {new.attempts} attempts failed"
    if new.seconds is not None and base.seconds is not None and new.seconds > rollout.slowdown * base.seconds:
        return f"takes {new.seconds:.2f} s where {base.seconds:.2f} s are usual"
    return ""
