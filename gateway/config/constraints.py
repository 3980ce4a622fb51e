"""What a route excludes: each deployment of its models is allowed, or out for a reason."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.config.choices import RequireSpec
from gateway.config.deployments import Fleet, Served
from gateway.config.schema import RouteSpec
from gateway.config.sizes import outside
from gateway.config.units import exactness
from gateway.types import Deployment, Rejection


class Excluded(NamedTuple):
    """A deployment that is out, and what keeps it out: `org`, the `route`, or that it is switched `off`."""

    rejection: Rejection
    by: str


class Sifted(NamedTuple):
    """The deployments of some models: those that a route may use, and the others."""

    allowed: list[Deployment]
    excluded: list[Excluded]

    @property
    def reasons(self) -> str:
        """Why the first few are out, in a sentence."""
        return "; ".join(f"{one.rejection.deployment.name} {one.rejection.reason}" for one in self.excluded[:4])


def sift(models: Iterable[str], spec: RouteSpec, fleet: Fleet) -> Sifted:
    """The deployments of models that a route allows, and those that it does not."""
    found = Sifted([], [])
    for one in (one for model in dict.fromkeys(models) for one in fleet.served.get(model, ())):
        reason, by = objection(one, spec)
        if reason is None:
            found.allowed.append(one.deployment)
        else:
            found.excluded.append(Excluded(Rejection(one.deployment, reason), by))
    return found


def objection(one: Served, spec: RouteSpec) -> tuple[str | None, str]:
    """Why a deployment is out, whatever the request, and what keeps it out."""
    if one.barred is not None:
        return one.barred, "org"
    reason = unfit(spec.require, one.deployment) or outside(spec.size, one.deployment)
    return (one.off, "off") if reason is None else (reason, "route")


def unfit(require: RequireSpec, deployment: Deployment) -> str | None:
    """Why a deployment is not what `require` wants."""
    if reason := leaving(require, deployment):
        return reason
    if require.min_precision is not None and coarse(deployment.precision, require.min_precision):
        return f"has precision {deployment.precision or 'unknown'}, the route requires at least {require.min_precision}"
    missing = set(require.capabilities or ()) - deployment.capabilities
    return f"cannot do {', '.join(sorted(missing))}, which the route requires" if missing else None


def leaving(require: RequireSpec, deployment: Deployment) -> str | None:
    """Why a request must not get to a deployment: where it stands, who keeps what it is sent, on what terms."""
    if require.location is not None and deployment.location != require.location:
        return f"is {deployment.location}, the route requires {require.location}"
    if require.regions is not None and not within(deployment.region, require.regions):
        return f"is in {deployment.region or 'no known region'}, the route requires {either(require.regions)}"
    if require.data_collection is not None and deployment.collects:
        return "may keep what it is sent, the route requires data_collection: deny"
    if require.licence is not None and not set(licences(deployment)) <= set(require.licence):
        return f"is under {deployment.licence or 'no known licence'}, the route requires {either(require.licence)}"
    return None


def either(words: Sequence[str]) -> str:
    """`a or b`."""
    return " or ".join(words)


def licences(deployment: Deployment) -> list[str]:
    """The ids of a deployment's licences; one that no list has when they are not known."""
    return (deployment.licence or "").split(" AND ")


def coarse(precision: str | None, least: str) -> bool:
    """Whether a precision is below another, or not known."""
    ours, wanted = exactness(precision or ""), exactness(least)
    return ours is None or (wanted is not None and ours < wanted)


def within(region: str | None, wanted: Sequence[str]) -> bool:
    """Whether a region is one of those wanted, or lies in one: `eu-west-1` is in `eu`."""
    return region is not None and any(region == one or region.startswith(f"{one}-") for one in wanted)
