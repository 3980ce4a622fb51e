"""Privacy holes: requests that one route would keep from leaving, and another above it takes first."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.config.choices import RequireSpec
from gateway.config.constraints import leaving
from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.overlaps import described, disjoint
from gateway.config.roster import used
from gateway.config.schema import RouteSpec
from gateway.types import Deployment

SHOWN = 3  # routes of one hole


class Above(NamedTuple):
    """A route, the names and spellings it asks for (None for any), and who may get its requests."""

    spec: RouteSpec
    names: frozenset[str] | None
    deployments: Sequence[Deployment]


def check_privacy(fleet: Fleet, context: Context) -> None:
    """No route takes requests first that one below it would keep from leaving."""
    routes = context.file.routes
    last = max((index for index, spec in enumerate(routes) if private(spec.require)), default=-1)
    above: list[Above] = []
    for index, spec in zip(context.shaped.routes[: last + 1], routes, strict=False):
        here = Above(spec, names_of(spec, fleet), used(spec, fleet, context))
        holes = [said for one in above if (said := hole(one, here))] if private(spec.require) else []
        if holes and context.shaped.whole(("routes", index, "match")):
            more = f" So do {len(holes) - SHOWN} more." if len(holes) > SHOWN else ""
            message = f"Requests meant for '{spec.name}' may leave: {'; '.join(holes[:SHOWN])}.{more}"
            context.report.add("LG075", ("routes", index), f"{message} Move '{spec.name}' above them.")
        above.append(here)


def private(require: RequireSpec) -> bool:
    """Whether a route keeps its requests from somebody."""
    wishes = (require.location, require.regions, require.data_collection, require.licence)
    return any(wish is not None for wish in wishes)


def names_of(spec: RouteSpec, fleet: Fleet) -> frozenset[str] | None:
    """The names and spellings that a route asks for; None for any."""
    if spec.match.model is None:
        return None
    return frozenset(other for name in spec.match.model for other in (name, *fleet.spellings.get(name, ())))


def hole(above: Above, below: Above) -> str:
    """What a route takes from one below and may send to somebody whom that shuts out; nothing when it cannot."""
    if above.names is not None and below.names is not None and above.names.isdisjoint(below.names):
        return ""
    to = next(((one, why) for one in above.deployments if (why := astray(below.spec.require, one))), None)
    if to is None or disjoint(above.spec.match, below.spec.match):
        return ""
    return f"'{above.spec.name}' takes {described(above.spec.match)} first, and {to[0].name} {to[1]}"


def astray(require: RequireSpec, deployment: Deployment) -> str | None:
    """Why a request must not get to a deployment; own hardware whose region nobody wrote is taken to be at home."""
    at_home = deployment.location == "self_hosted" and deployment.region is None
    if at_home and require.regions is not None:
        require = require.model_copy(update={"regions": None})
    return leaving(require, deployment)
