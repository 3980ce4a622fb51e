"""Why not this deployment? Each filter answers with a reason, or None when it has no objection."""

from collections.abc import Callable
from typing import NamedTuple

from gateway.routing.forecast import Case
from gateway.routing.policy import Route
from gateway.routing.stats import Stats, StatsBook
from gateway.types import ChatRequest, Deployment

STALE = 30.0  # seconds after which a measurement no longer shuts a deployment out


class Filter(NamedTuple):
    """A reason against deployments: its name, the check, and whether a request on a route can fall foul of it."""

    code: str
    check: Callable[[Case], str | None]
    matters: Callable[[ChatRequest, Route], bool]


def lacks_capability(case: Case) -> str | None:
    """The request needs something that this deployment cannot do."""
    needs, can = case.request.needs, case.deployment.capabilities
    return None if needs <= can else f"cannot do {', '.join(sorted(needs - can))}"


def too_short_context(case: Case) -> str | None:
    """Prompt and asked completion do not fit into the context window, in tokens."""
    holds = case.deployment.context
    if holds is None:
        return None
    need = case.forecast.prompt_tokens + (case.request.max_tokens or 0)
    return f"needs {need} tokens, holds {holds}" if need > holds else None


def too_dear(case: Case) -> str | None:
    """The expected price is above `require.max_usd`."""
    allowed, usd = case.route.max_usd, case.forecast.usd
    return None if allowed is None or usd <= allowed else f"costs ${usd:.6f}, the route allows ${allowed:g}"


def too_slow(case: Case) -> str | None:
    """The expected first token is later than `require.ttft`.

    A deployment that was never measured, or not lately, gets its chance: one slow answer must not shut it out for good.
    """
    allowed, ttft = case.route.max_ttft, case.forecast.ttft
    if allowed is None or ttft <= allowed or case.stats.ttft is None or case.now - case.stats.seen > STALE:
        return None
    return f"first token in {ttft:.2f} s, the route wants {allowed:g} s"


def too_long(case: Case) -> str | None:
    """The request asks for a longer completion than the deployment gives, in tokens."""
    asked, gives = case.request.max_tokens, case.deployment.max_output
    return None if asked is None or gives is None or asked <= gives else f"gives {gives} tokens, {asked} are asked for"


def full(case: Case) -> str | None:
    """The backend has as many requests in flight as its `limits.concurrency` allows."""
    return crowding(case.deployment, case.in_flight)


def resting(case: Case) -> str | None:
    """Cooling after a rate limit, or parked because asking is pointless for now."""
    return rest(case.stats, case.now)


def crowding(deployment: Deployment, in_flight: int) -> str | None:
    """Why a deployment's backend takes no more requests."""
    limit = deployment.concurrency
    return None if limit is None or in_flight < limit else f"full: {in_flight} of {limit} in flight"


def rest(stats: Stats, now: float) -> str | None:
    """Why a deployment must be left alone for a while."""
    left = stats.resting_until - now
    return None if left <= 0 else f"{stats.resting_because}, for another {left:.1f} s"


def unavailable(deployment: Deployment, book: StatsBook, now: float) -> str | None:
    """Why a deployment of a plan cannot be asked any more, now that its turn has come."""
    return crowding(deployment, book.in_flight.get(deployment.backend, 0)) or rest(book.of(deployment), now)


def ejected(case: Case) -> str | None:
    """Out after faults in a row."""
    left = case.stats.ejected_until - case.now
    return None if left <= 0 else f"ejected after {case.stats.faults} faults in a row, for another {left:.1f} s"


def always(request: ChatRequest, route: Route) -> bool:
    """It may object to any request."""
    return True


FILTERS = (
    Filter("capability", lacks_capability, lambda request, route: bool(request.needs)),
    Filter("context", too_short_context, always),
    Filter("output", too_long, lambda request, route: request.max_tokens is not None),
    Filter("cost", too_dear, lambda request, route: route.max_usd is not None),
    Filter("latency", too_slow, lambda request, route: route.max_ttft is not None),
    Filter("busy", full, always),
    Filter("resting", resting, always),
    Filter("ejected", ejected, always),  # last: whoever is out for this alone may be pardoned
)
