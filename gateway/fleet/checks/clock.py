"""Whether this machine's clock is right, by the Date headers of those who answered."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from statistics import median
from typing import NamedTuple

from gateway.fleet.checks.finding import Finding

MOST = 60  # seconds that clocks may differ
SIGNED = 300  # seconds, above which AWS refuses signatures


class Reading(NamedTuple):
    """One answer: whose, what its headers say, and the time here; `near` when it is from this very machine."""

    whom: str
    date: str
    age: str
    now: datetime
    near: bool = False


def judge(readings: Sequence[Reading]) -> list[Finding]:
    """This machine's clock when all others together differ from it, else those who differ from the rest.

    A server on this machine has the same clock, so it counts only where nobody else answered.
    """
    far = [reading for reading in readings if not reading.near] or readings
    ahead = {reading.whom: seconds for reading in far if (seconds := difference(reading)) is not None}
    if not ahead:
        return []
    middle = median(ahead.values())
    others = [whose(name, s - middle) for name, s in ahead.items() if abs(s - middle) > MOST]
    return [*here(middle), *others] if abs(middle) > MOST else others


def difference(reading: Reading) -> float | None:
    """Seconds that this machine is ahead of a server; None when it does not tell its time."""
    try:
        date = parsedate_to_datetime(reading.date)
        age = float(reading.age or 0)  # of an answer out of a cache
    except (ValueError, TypeError, OverflowError):
        return None
    aware = date if date.tzinfo else date.replace(tzinfo=UTC)
    return (reading.now - aware).total_seconds() - age


def here(seconds: float) -> Iterable[Finding]:
    """The finding on this machine."""
    what = f"This machine's clock is {amount(seconds)}, by what the backends say."
    more = " AWS refuses signatures that are over five minutes off." if abs(seconds) > SIGNED else ""
    advice = f"Let it set its time from the network (NTP): certificates, limits and budgets go by it.{more}"
    yield Finding("warning", "clock", "this machine", what, advice)


def whose(name: str, seconds: float) -> Finding:
    """The finding on a server whose clock is another than everybody else's; we are ahead of it by some seconds."""
    what = f"Its clock is {amount(-seconds)}, by what the others say."
    return Finding("info", "clock", name, what, "If it is yours, let it set its time from the network (NTP).")


def amount(seconds: float) -> str:
    """How far a clock is off."""
    return f"{abs(seconds):.0f} s {'fast' if seconds > 0 else 'slow'}"
