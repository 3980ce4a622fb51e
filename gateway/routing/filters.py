"""Why not this deployment? Each filter answers with a reason, or None when it has no objection."""

from collections.abc import Callable
from typing import NamedTuple

from gateway.routing.forecast import Case
from gateway.routing.policy import Route
from gateway.types import ChatRequest


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
    """The expected first token is later than `require.ttft`; a deployment never measured gets its chance."""
    allowed, ttft = case.route.max_ttft, case.forecast.ttft
    if allowed is None or case.stats.ttft is None or ttft <= allowed:
        return None
    return f"first token in {ttft:.2f} s, the route wants {allowed:g} s"


def full(case: Case) -> str | None:
    """The backend has as many requests in flight as its `limits.concurrency` allows."""
    limit = case.deployment.concurrency
    return None if limit is None or case.in_flight < limit else f"full: {case.in_flight} of {limit} in flight"


def resting(case: Case) -> str | None:
    """Cooling after a rate limit, or parked because asking is pointless for now."""
    left = case.stats.resting_until - case.now
    return None if left <= 0 else f"{case.stats.resting_because}, for another {left:.1f} s"


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
    Filter("cost", too_dear, lambda request, route: route.max_usd is not None),
    Filter("latency", too_slow, lambda request, route: route.max_ttft is not None),
    Filter("busy", full, always),
    Filter("resting", resting, always),
    Filter("ejected", ejected, always),  # last: whoever is out for this alone may be pardoned
)
