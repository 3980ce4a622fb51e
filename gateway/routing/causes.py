"""What calls reserves: candidates that a route holds back for a cause.

context       no window of the others holds the request
refused       the others refuse it (a content filter); known only after an attempt
overloaded    the others are full, resting, ejected or too slow, or have failed
burst         own hardware is slower than the route's burst rule allows
gone MODEL    nobody serves that model any more; its successor joins
"""

from collections.abc import Iterable

from gateway.errors import (
    ContextExceeded,
    GatewayError,
    Inadequate,
    ModelGone,
    Refused,
    UpstreamError,
)
from gateway.routing.filters import gone
from gateway.routing.view import View
from gateway.types import Rejection

BURST = "burst"
CONTEXT = "context"
OVERLOADED = "overloaded"
REFUSED = "refused"
TOO_BUSY = frozenset({"busy", "resting", "ejected", "latency"})


def gone_model(model: str) -> str:
    """The cause that calls the successor of a model."""
    return f"gone {model}"


def standing(view: View) -> frozenset[str]:
    """The causes that hold before any deployment is looked at more closely."""
    lane = view.lane
    found = {when for when in lane.causes if when.startswith("gone ") and nobody_left(view, when.removeprefix("gone "))}
    if BURST in lane.causes and bursting(view):
        found.add(BURST)
    return frozenset(found)


def nobody_left(view: View, model: str) -> bool:
    """Whether each deployment of a model says that it is gone, or has none at all on this route."""
    mine = [stats for stats, name in zip(view.board.stats, view.lane.models, strict=True) if name == model]
    return all(gone(stats, view.now) for stats in mine)


def bursting(view: View) -> bool:
    """Whether own hardware is too slow by the burst rule, and what may be spent this hour is not spent yet."""
    rule, name = view.route.burst, view.route.name
    if rule is None:
        return False
    if rule.usd_per_hour is not None and view.book.spent(name, view.now) >= rule.usd_per_hour:
        return False
    limit = rule.below if name in view.book.bursts else rule.above
    own = [
        ttft
        for ttft, when, stats in zip(view.ttfts, view.lane.whens, view.board.stats, strict=True)
        if not when and max(stats.resting_until, stats.ejected_until) <= view.now
    ]
    return not own or min(own) > limit


def left_out(rejected: Iterable[Rejection]) -> frozenset[str]:
    """The causes that follow when these rejections leave nobody but reserves.

    Whoever is too busy for it could serve the request; only without such is its length to blame.
    """
    codes = {rejection.code for rejection in rejected}
    if codes & TOO_BUSY:
        return frozenset({OVERLOADED})
    return frozenset({CONTEXT}) if "context" in codes else frozenset()


def cause_of(error: GatewayError, model: str) -> str:
    """The cause that a failed attempt at a model is; empty when it is none."""
    if isinstance(error, ModelGone):
        return gone_model(model)
    if isinstance(error, ContextExceeded):
        return CONTEXT
    if isinstance(error, Refused):
        return REFUSED
    if isinstance(error, Inadequate):
        return ""
    return OVERLOADED if isinstance(error, UpstreamError) and error.elsewhere else ""
