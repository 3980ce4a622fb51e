"""What a policy does with one request: the engine's first steps without an attempt. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from gateway.engine.engine import barred, routed
from gateway.errors import GatewayError, ModelNotFound
from gateway.routing.book import StatsBook
from gateway.routing.planner import plan
from gateway.routing.policy import Policy, Route
from gateway.types import ChatRequest, Deployment, Plan

NOBODY: frozenset[str] = frozenset()


class Out(NamedTuple):
    """A deployment that is out, by name, and why."""

    deployment: str
    reason: str
    code: str


class Decision(NamedTuple):
    """The route and the plan of a request, or the error in their place; and who is out, in both cases."""

    route: Route | None
    plan: Plan | None
    error: GatewayError | None
    out: tuple[Out, ...]

    @property
    def name(self) -> str:
        """The route's name; empty without one."""
        return "" if self.route is None else self.route.name


def decide(
    policy: Policy,
    request: ChatRequest,
    book: StatsBook,
    now: float,
    chance: float,
    causes: frozenset[str] = NOBODY,
) -> Decision:
    """The decision on a request; errors that a caller would get are values here."""
    try:
        request, route = routed(request, policy, book)
    except ModelNotFound as error:
        return Decision(None, None, error, ())
    if (refused := barred(request, route)) is not None:
        return Decision(route, None, refused, ())
    try:
        found = plan(request, route, book, now, chance, causes)
    except GatewayError as error:
        rows = (error.details or {}).get("candidates", [])
        out = tuple(Out(row["deployment"], row["reason"], row["code"]) for row in rows)
        return Decision(route, None, error, out)
    return Decision(route, found, None, tuple(Out(one.deployment.name, one.reason, one.code) for one in found.rejected))


def reachable(route: Route) -> Iterator[Deployment]:
    """Everybody to whom a route may ever send a request: by choice, from the reserve, by a split or as shadow."""
    yield from route.lane.deployments
    for arm in route.arms:
        yield from arm.lane.deployments
    yield from shadowed(route)


def shadowed(route: Route) -> list[Deployment]:
    """Who gets copies of a route's requests."""
    return [] if route.shadow is None else route.shadow.lane.deployments


def routes_of(policy: Policy) -> Iterator[Route]:
    """All routes, those of `defaults` last."""
    yield from policy.routes
    yield from policy.model_routes.values()


def everyone(policy: Policy) -> dict[str, Deployment]:
    """Every deployment that the policy speaks of, also those that are out or switched off, by name."""
    found = {one.name: one for one in policy.deployments}
    for route in routes_of(policy):
        found |= {one.name: one for one in reachable(route)}
        found |= {one.deployment.name: one.deployment for one in route.excluded}
    return found


def names_of(deployment: Deployment) -> frozenset[str]:
    """The words that mean a deployment."""
    return frozenset((deployment.name, deployment.backend, deployment.model, deployment.location))
