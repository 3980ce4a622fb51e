"""Who may leave the house by one version of a policy and not by the other. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from gateway.policytools.decision import reachable
from gateway.policytools.versions import Version
from gateway.routing.policy import Route

HOSTED = "hosted"
OWN = "self_hosted"


@dataclass(frozen=True, slots=True)
class Leak:
    """A route whose requests may go elsewhere than before: `deployments` are the hosted ones it is about."""

    route: str
    change: Literal["lost", "gained", "wider", "narrower", "new", "gone", "unguarded", "guarded", "overtaken"]
    deployments: tuple[str, ...]
    text: str


def privacy(old: Version, new: Version) -> Iterator[Leak]:
    """All such changes, by route; those of `defaults` by model."""
    before, after = routes(old), routes(new)
    for name, route in after.items():
        yield from one_route(name, before.get(name), route)
    for name, route in before.items():
        if name not in after and not outside(route):
            yield Leak(name, "gone", (), f"{name}, which never left the house, is gone: see who takes its requests now")
    yield from requirements(old, new)
    yield from overtaken(old, new)


def routes(version: Version) -> dict[str, Route]:
    """The routes of a version by what they are called here."""
    found = {f"route '{route.name}'": route for route in version.policy.routes}
    return found | {f"'{model}' by its own name": route for model, route in version.policy.model_routes.items()}


def outside(route: Route) -> frozenset[str]:
    """The hosted deployments that a route may ever ask."""
    return frozenset(one.name for one in reachable(route) if one.location == HOSTED)


def one_route(name: str, before: Route | None, after: Route) -> Iterator[Leak]:
    """The hosted deployments that a route now may or may no longer ask."""
    now = outside(after)
    if before is None:
        if now:
            yield Leak(name, "new", tuple(sorted(now)), f"{name} is new and may leave the house: {listed(now)}")
        return
    then = outside(before)
    more, fewer = now - then, then - now
    if more and not then:
        yield Leak(name, "lost", tuple(sorted(more)), f"{name} never left the house and now may: {listed(more)}")
    elif more:
        yield Leak(name, "wider", tuple(sorted(more)), f"{name} may now go out to {listed(more)} as well")
    if fewer and not now:
        yield Leak(name, "gained", tuple(sorted(fewer)), f"{name} no longer leaves the house: not to {listed(fewer)}")
    elif fewer:
        yield Leak(name, "narrower", tuple(sorted(fewer)), f"{name} no longer goes out to {listed(fewer)}")


def requirements(old: Version, new: Version) -> Iterator[Leak]:
    """Routes that lost or gained `require: {location: self_hosted}`."""
    before = {route.name: route.require.location == OWN for route in old.spec.routes}
    for route in new.spec.routes:
        held, holds = before.get(route.name), route.require.location == OWN
        if held and not holds:
            text = (
                f"route '{route.name}' no longer requires {OWN}: a hosted backend that serves its models will be asked"
            )
            yield Leak(f"route '{route.name}'", "unguarded", (), text)
        elif holds and held is False:
            text = f"route '{route.name}' now requires {OWN}: no backend added later can change that"
            yield Leak(f"route '{route.name}'", "guarded", (), text)


def overtaken(old: Version, new: Version) -> Iterator[Leak]:
    """Routes that require own servers and have another one before them now that may leave the house."""
    earlier = {(one.name, route.name) for route, one in pairs(old)}
    for guarded, other in pairs(new):
        out = outside(other)
        if out and (other.name, guarded.name) not in earlier:
            text = f"route '{other.name}' now comes before '{guarded.name}': requests of both leave the house by it"
            yield Leak(f"route '{guarded.name}'", "overtaken", tuple(sorted(out)), text)


def pairs(version: Version) -> Iterator[tuple[Route, Route]]:
    """Each route that requires own servers, with each of those above it."""
    for index, spec in enumerate(version.spec.routes):
        if spec.require.location == OWN:
            for other in version.policy.routes[:index]:
                yield version.policy.routes[index], other


def listed(names: frozenset[str]) -> str:
    """Names in a sentence."""
    return ", ".join(sorted(names))
