"""How many requests an overloaded upstream is sent at a time, learnt from its answers (AIMD; Chiu and Jain, 1989)."""

from typing import NamedTuple

GROWTH = 20  # answers for one request more
CUT = 0.7  # of the limit that is left after an overload


class Allowance(NamedTuple):
    """The limit of a deployment that was overloaded lately; times of the monotonic clock, in seconds."""

    limit: float
    ok: int = 0  # answers since it last moved
    cut: float = float("-inf")  # when it was last cut

    @property
    def slots(self) -> int:
        """Whole requests."""
        return int(self.limit)


def grown(known: Allowance, most: int) -> Allowance | None:
    """After one more answer; None when the deployment may have `most` requests again, which is all it may have."""
    if known.ok + 1 < GROWTH:
        return known._replace(ok=known.ok + 1)
    return known._replace(limit=known.limit + 1, ok=0) if known.limit + 1 < most else None


def cut(known: Allowance | None, most: int, started: float, now: float) -> Allowance:
    """After an overload, never below one.

    A request that was sent before the last cut says nothing new: a whole flight of them is refused at once.
    """
    if known is None:
        known = Allowance(float(most))
    elif started < known.cut:
        return known
    return Allowance(max(1.0, known.limit * CUT), 0, now)
