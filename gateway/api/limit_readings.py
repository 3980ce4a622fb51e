"""The gauges of callers' limits, and of the store that several gateways share."""

from collections.abc import Callable, Iterator

from gateway.stores.limits import dates
from gateway.stores.limits_tally import LimitTally
from gateway.stores.redis import RedisStore
from gateway.telemetry.gauges import Reading


def limit_readings(tally: LimitTally, wall: Callable[[], float]) -> Iterator[Reading]:
    """What was refused, and what is left of budgets."""
    refused = "Requests over a limit of their caller or, where its name says so, of the caller's team."
    for (caller, limit), count in list(tally.rejections.items()):
        labels = (("caller", caller), ("limit", limit))
        yield Reading("gateway_limit_rejections_total", refused, labels, float(count))
    left = "US dollars left today or this month (UTC), reserved ones taken off, as far as this gateway knows."
    for name, limit, usd in list(tally.remaining(dates(wall()))):
        yield Reading("gateway_budget_remaining_usd", left, (("caller", name), ("limit", limit)), usd)
    whole = "US dollars that may be spent in a day or a month (UTC)."
    for level, _ in list(tally.spent.values()):
        subject, limits = level.subject, level.subject.limits
        for limit, most in (("usd_per_day", limits.usd_per_day), ("usd_per_month", limits.usd_per_month)):
            if most is not None:
                labels = (("caller", subject.name), ("limit", subject.prefix + limit))
                yield Reading("gateway_budget_usd", whole, labels, most)


def store_readings(shared: RedisStore | None) -> Iterator[Reading]:
    """Whether the shared store answers, and what was done without it."""
    if shared is None:
        return
    store = ("store", shared.name)
    yield Reading("gateway_store_up", "1 while a store answers.", (store,), float(shared.up is not False))
    without = "What was done without a store that is away."
    for use, count in list(shared.fallbacks.items()):
        yield Reading("gateway_store_fallback_total", without, (store, ("use", use)), float(count))
