"""Is a server well? Judged by its own health check, and by whether its tokens move while it has work. Pure."""

from typing import NamedTuple

from gateway.types import Load

FALL = 3  # checks in a row that fail before a server counts as not well; one that passes ends it
CHECK_SECONDS = 5.0  # between two checks
DOWN_SECONDS = 2.0  # the same while it is not well
LOAD_SECONDS = 1.0  # between two looks at its load, while it works for us
STILL_SECONDS = 10.0  # that tokens may stand still while there is work
STALE_SECONDS = 3.0  # after which a load says nothing any more
CROWD = 5  # waiting requests from which it is better to ask somebody else
CACHE = 0.8  # of its cache in use, likewise
NEVER = float("-inf")
SILENT = "does not pass its health check"
STILL = "has work and makes no token"


class Health(NamedTuple):
    """What the last looks at a server have shown; times of the monotonic clock, in seconds."""

    failed: int = 0  # checks in a row
    load: Load | None = None
    seen: float = NEVER  # when that was
    moved: float = NEVER  # when its tokens last moved, or it had no work

    def checked(self, well: bool) -> "Health":
        """After one more check."""
        return self._replace(failed=0 if well else self.failed + 1)

    def loaded(self, load: Load | None, now: float) -> "Health":
        """After one more look at its load; None when it could not be had."""
        if load is None:
            return self
        before = self.load
        works = load.running + load.waiting > 0
        rests = before is None or now - self.seen > STALE_SECONDS or load.tokens != before.tokens
        return self._replace(load=load, seen=now, moved=now if rests or not works else self.moved)

    def trouble(self, now: float) -> str:
        """What is wrong with it; nothing when it is well, as far as is known."""
        if self.failed >= FALL:
            return SILENT
        known = self.load is not None and now - self.seen <= 2 * CHECK_SECONDS
        return STILL if known and self.seen - self.moved >= STILL_SECONDS else ""

    def fresh(self, now: float) -> Load | None:
        """Its load, unless that is too old to be believed."""
        return self.load if now - self.seen <= STALE_SECONDS else None


def strangers(load: Load, ours: int, slots: int) -> int:
    """Requests at a server that are not ours; one that is saturated counts as having twice as many as it has slots."""
    others = max(0, round(load.running + load.waiting) - ours)
    saturated = load.waiting > CROWD or load.kv_usage > CACHE
    return max(others, 2 * slots) if saturated else others
