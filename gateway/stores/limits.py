"""What a caller and its team may use: the contract of the twins, and what both of them compute alike. Pure.

A request reserves before it is answered and settles after: requests and tokens a minute are buckets that hold a
minute's worth and drain steadily; money is counted by calendar day and month (UTC), a reservation being spent money
until it is settled. A lease that nobody renews for LEASE_SECONDS gives back its place among the concurrent requests;
what it reserved stays spent until it is settled.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal, NamedTuple, Protocol

from gateway.errors import BudgetSpent, GatewayError, LimitReached, TooLarge
from gateway.types import Caller, Level, Limits, Subject

LEASE_SECONDS = 60.0
RENEW_SECONDS = 20.0
LATE_SECONDS = 3600.0  # after its end, until which a lease may still be settled
NANO = 10**9  # of a US dollar: money is counted in whole ones
MINUTE = 60.0
DAY = 86_400
BUSY_RETRY = 1.0  # seconds, for what the requests in flight may give back
PATIENCE = 120.0  # seconds; an SDK that is told to wait longer does not repeat
UNLIMITED = Limits()
Kind = Literal["rpm", "tpm", "concurrency", "usd_per_day", "usd_per_month"]


class Need(NamedTuple):
    """What a request may use: its own id, requests, tokens, and nano-dollars at the dearest that is permitted."""

    id: str
    tokens: int = 0
    nano: int = 0
    requests: int = 1  # 0 for more of the same request


class Dates(NamedTuple):
    """The day and the month that money is counted for: days since 1970, and months since the year 0."""

    day: int
    month: int


NO_DATES = Dates(-1, -1)


@dataclass(slots=True, weakref_slot=True, eq=False)
class Lease:
    """What was reserved for a request, to be settled once."""

    caller: Caller
    need: Need
    levels: tuple[Level, ...]
    dates: Dates = NO_DATES
    away: bool = False  # reserved without the shared store


class Limiter(Protocol):
    """Keeps callers within their limits."""

    async def acquire(self, caller: Caller, need: Need) -> Lease:
        """Reserve, for caller and team together; raises LimitReached, BudgetSpent, TooLarge, StoreAway."""
        ...

    def settle(self, lease: Lease, tokens: int, nano: int) -> None:
        """Put what was used in the place of what was reserved; the rest is given back."""
        ...


def limited(caller: Caller) -> bool:
    """Whether a caller or its team has any limit."""
    return caller.limits != UNLIMITED or (caller.team is not None and caller.team.limits != UNLIMITED)


def subjects(caller: Caller) -> tuple[Subject, ...]:
    """The caller and its team, as far as they have limits."""
    found = [Subject(caller.name, caller.limits)] if caller.limits != UNLIMITED else []
    if caller.team is not None and caller.team.limits != UNLIMITED:
        found.append(Subject(caller.team.name, caller.team.limits, True))
    return tuple(found)


def dates(unix: float) -> Dates:
    """The dates (UTC) of a Unix time."""
    day = int(unix // DAY)
    return Dates(day, month_of(day))


def month_of(day: int) -> int:
    """The month of a day. Howard Hinnant's civil_from_days, whose year begins in March."""
    shifted = day + 719_468
    era, of_era = divmod(shifted, 146_097)
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    month = (5 * of_year + 2) // 153  # 0 is March
    return (era * 400 + year) * 12 + month + 2


def drained(used: float, limit: int | None, seconds: float) -> float:
    """What is left in a bucket after so many seconds: nothing where there is no limit, at most two minutes' worth.

    The latter so that a limit that was lowered, or an upstream that reports absurd numbers, shuts nobody out for long.
    """
    if limit is None or not used:
        return 0.0
    left = min(used, 2 * limit) - seconds * limit / MINUTE if seconds > 0 else min(used, 2 * limit)
    return left if left > 0 else 0.0


def nano(usd: float | None) -> int | None:
    """Whole nano-dollars, no less than that."""
    return None if usd is None else ceil(usd * NANO)


def taken(level: Level, need: Need) -> Level:
    """A level with what a request needs on top of it."""
    subject, requests, tokens, flying, day, month = level
    return Level(
        subject, requests + need.requests, tokens + need.tokens, flying + 1, day + need.nano, month + need.nano
    )


def refusal(level: Level, need: Need) -> Kind | None:
    """The first limit that a need would exceed; None when there is room."""
    limits = level.subject.limits
    if limits.concurrency is not None and need.requests and level.flying + need.requests > limits.concurrency:
        return "concurrency"
    if limits.rpm is not None and need.requests and level.requests + need.requests > limits.rpm:
        return "rpm"
    if limits.tpm is not None and need.tokens and level.tokens + need.tokens > limits.tpm:
        return "tpm"
    return over_budget(level, need)


def over_budget(level: Level, need: Need) -> Kind | None:
    """The budget that a need would exceed."""
    if not need.nano:
        return None
    per_day, per_month = level.subject.limits.usd_per_day, level.subject.limits.usd_per_month
    if per_day is not None and level.day + need.nano > ceil(per_day * NANO):
        return "usd_per_day"
    if per_month is not None and level.month + need.nano > ceil(per_month * NANO):
        return "usd_per_month"
    return None


def too_large(subject: Subject, need: Need) -> TooLarge | None:
    """The error for a request that would not fit even if nothing else were used; waiting does not help it."""
    most = subject.limits.tpm
    if most is None or need.tokens <= most:
        return None
    return TooLarge(
        f"The request may use {need.tokens} tokens, and {whose(subject)} may use {most} a minute, so that it never "
        "fits. Shorten the prompt or lower max_tokens."
    )


def whose(subject: Subject) -> str:
    """The subject in a sentence."""
    return f"the team '{subject.name}'" if subject.team else f"the caller '{subject.name}'"


def refused(levels: tuple[Level, ...], level: Level, kind: Kind, need: Need, unix: float) -> GatewayError:
    """The 429 for a limit."""
    if kind in ("usd_per_day", "usd_per_month"):
        return budget_spent(levels, level, kind, need, unix)
    limits, name = level.subject.limits, whose(level.subject)
    if kind == "concurrency":
        wait, text = BUSY_RETRY, f"{limits.concurrency} requests at a time"
    elif kind == "rpm":
        wait, text = overflow(level.requests + need.requests, limits.rpm), f"{limits.rpm} requests a minute"
    else:
        wait, text = overflow(level.tokens + need.tokens, limits.tpm), f"{limits.tpm} tokens a minute"
    message = f"Rate limit reached: {name} may use {text}. Try again in {wait:.3f} s."
    return LimitReached(message, retry_after=wait, headers=RETRY, levels=levels)


RETRY, NO_RETRY = (("x-should-retry", "true"),), (("x-should-retry", "false"),)


def overflow(wanted: float, limit: int | None) -> float:
    """Seconds until a bucket has drained so far that `wanted` fits."""
    return MINUTE if not limit else max(0.001, (wanted - limit) * MINUTE / limit)


def budget_spent(levels: tuple[Level, ...], level: Level, kind: Kind, need: Need, unix: float) -> GatewayError:
    """The 429 for a budget: until it is renewed, or until the requests in flight have settled."""
    daily, limits = kind == "usd_per_day", level.subject.limits
    limit, used = (limits.usd_per_day, level.day) if daily else (limits.usd_per_month, level.month)
    wait = renewed(unix, daily)
    if level.flying and need.nano <= (nano(limit) or 0):
        wait = min(wait, BUSY_RETRY)
    message = (
        f"The budget of {whose(level.subject)}, {limit:g} US dollars a {'day' if daily else 'month'} (UTC), does not "
        f"hold this request: {used / NANO:.6f} are spent or reserved, and it may cost up to {need.nano / NANO:.6f}. "
        "Lower max_tokens, or wait for the next one."
    )
    return BudgetSpent(message, retry_after=wait, headers=RETRY if wait <= PATIENCE else NO_RETRY, levels=levels)


def renewed(unix: float, daily: bool) -> float:
    """Seconds until the next day or the next month (UTC)."""
    day = int(unix // DAY)
    after = day + 1
    while not daily and month_of(after) == month_of(day):
        after += 1
    return after * DAY - unix
