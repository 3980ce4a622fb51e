"""What one of several gateways may allow while the store that they share is away. Pure."""

from gateway.errors import StoreAway
from gateway.stores.limits import NANO, Need, dates, nano
from gateway.stores.limits_tally import LimitTally
from gateway.types import Caller, Limits, Subject


def budgeted(subjects: tuple[Subject, ...]) -> bool:
    """Whether any of the subjects has a budget."""
    return any(one.limits.usd_per_day is not None or one.limits.usd_per_month is not None for one in subjects)


def closed(caller: Caller, exc: StoreAway) -> StoreAway:
    """The error for a caller whose budget nobody can check."""
    message = (
        f"The budget of the caller '{caller.name}' cannot be checked now: the gateway's shared store does not answer. "
        "Send the request again in a moment."
    )
    return StoreAway(exc.logged, message=message)


def share(subject: Subject, gateways: int, tally: LimitTally, unix: float) -> Subject:
    """A subject with this gateway's share of its limits: of money, the share of what was last known to be left."""
    limits, today = subject.limits, dates(unix)
    seen = tally.known(subject)
    spent_day = seen[0].day if seen is not None and seen[1].day == today.day else 0
    spent_month = seen[0].month if seen is not None and seen[1].month == today.month else 0
    return subject._replace(
        limits=Limits(
            part(limits.rpm, gateways),
            part(limits.tpm, gateways),
            part(limits.concurrency, gateways),
            left(limits.usd_per_day, spent_day, gateways),
            left(limits.usd_per_month, spent_month, gateways),
        )
    )


def part(limit: int | None, gateways: int) -> int | None:
    """A whole share, so that a few are still admitted by each."""
    return None if limit is None else max(min(1, limit), limit // gateways)


def left(limit: float | None, spent: int, gateways: int) -> float | None:
    """A share of the US dollars that are left."""
    whole = nano(limit)
    return None if whole is None else max(0, whole - spent) // gateways / NANO


def fitting(need: Need, shares: tuple[Subject, ...]) -> Need:
    """The need, with no more tokens than the smallest share: what fits the whole limit is not refused for good."""
    most = [one.limits.tpm for one in shares if one.limits.tpm is not None]
    return need._replace(tokens=min(need.tokens, *most)) if most else need
