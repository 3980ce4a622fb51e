"""Routes of a policy: who is allowed, in which tier, and why the others are out."""

from collections.abc import Iterable
from dataclasses import replace

from gateway.config import sizes
from gateway.config.backends import override
from gateway.config.caching import cache_policy
from gateway.config.choices import OptimizeSpec
from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.matchers import matchers
from gateway.config.names import check_defaults, check_names
from gateway.config.privacy import check_privacy
from gateway.config.problems import Path
from gateway.config.questions import dear
from gateway.config.reach import DEFAULT, check_order, check_use
from gateway.config.reserves import burst, candidates, places
from gateway.config.roster import settled
from gateway.config.schema import RouteSpec
from gateway.config.sense import check_sense
from gateway.config.splits import Splitting, shadow
from gateway.routing.policy import Detect, Hedge, Route, Weights
from gateway.types import Rejection, Timeouts


def named_routes(fleet: Fleet, context: Context) -> tuple[Route, ...]:
    """The routes of the file, checked, in its order."""
    found = []
    check_defaults(fleet, context)
    for index, spec in zip(context.shaped.routes, context.file.routes, strict=True):
        path: Path = ("routes", index)
        check_names(spec, path, fleet, context)
        route = compiled(spec, path, fleet, context)
        check_sense(route, spec, path, fleet, context)
        found.append(route)
    check_order(context)
    check_use(fleet, context)
    check_privacy(fleet, context)
    return tuple(found)


def implicit_routes(fleet: Fleet, context: Context) -> dict[str, Route]:
    """For each model that is served, or has a successor, the route of `defaults`."""
    succeeded = [model for model, spec in context.file.models.items() if spec.successor is not None]
    specs = {model: RouteSpec(name=DEFAULT, models=[model]) for model in dict.fromkeys((*fleet.served, *succeeded))}
    return {model: compiled(spec, ("defaults",), fleet, context) for model, spec in specs.items()}


def compiled(written: RouteSpec, path: Path, fleet: Fleet, context: Context) -> Route:
    """One route, ready for the planner."""
    spec = settled(written, context.file.defaults)
    fleet = timed(spec, fleet, context)
    everybody = places(spec, fleet, context)
    own = candidates(everybody.placed, spec)
    splitting = Splitting(spec, own, fleet, context)
    arms, mirror = splitting.arms(), shadow(spec, fleet)
    names = {other for name in spec.match.model or () for other in (name, *fleet.spellings.get(name, ()))}
    return Route(
        name=spec.name,
        models=tuple(dict.fromkeys(spec.models)),
        asked=tuple(spec.match.model or ()),
        matchers=matchers(spec.match, names, dear(spec, path, context)),
        candidates=own,
        excluded=unique(one.rejection for one in (*everybody.excluded, *splitting.excluded)),
        weights=weights(spec.optimize),
        max_usd=spec.require.max_usd,
        max_ttft=spec.require.ttft,
        attempts=3 if spec.retry is None else spec.retry.attempts,
        retry_budget=0.1 if spec.retry is None else spec.retry.budget,
        arms=arms,
        sticky=spec.sticky or "request",
        burst=burst(spec, everybody.placed),
        shadow=mirror,
        escalate=frozenset(spec.escalate or ()),
        detect=detect(spec, path, context),
        mid_stream=spec.mid_stream or "splice",
        wait=0.0 if spec.on_no_candidate is None else spec.on_no_candidate.wait or 0.0,
        hedge=None if spec.hedge is None or not spec.hedge.budget else Hedge(spec.hedge.after, spec.hedge.budget),
        repair=bool(spec.repair_tool_calls),
        cache=cache_policy(spec, path, fleet, context),
    )


def unique(rejections: Iterable[Rejection]) -> tuple[Rejection, ...]:
    """The first rejection of each deployment."""
    found: dict[str, Rejection] = {}
    for one in rejections:
        found.setdefault(one.deployment.name, one)
    return tuple(found.values())


def weights(written: OptimizeSpec | None) -> Weights:
    """The weights of a route, which add up to one."""
    if written is None:
        return Weights()
    parts = (written.cost, written.latency, written.size, written.failures)
    return Weights(*(part / sum(parts) for part in parts))


def detect(spec: RouteSpec, path: Path, context: Context) -> Detect | None:
    """What tells the language of a request, where the route's `size` asks for that."""
    try:
        return sizes.detect(spec.size)
    except LookupError as exc:
        message = f"`size` of the route '{spec.name}' does not look at the language of requests: {exc}."
        context.report.add("LG079", (*path, "size"), message)
        return None


def timed(spec: RouteSpec, fleet: Fleet, context: Context) -> Fleet:
    """The fleet with a route's own timeouts: those of a backend's entry stand, the route's override its kind's."""
    limits = {name: timeouts(name, spec, fleet, context) for name in fleet.servers}
    if all(limits[name] == server.backend.timeouts for name, server in fleet.servers.items()):
        return fleet
    served = {
        model: [
            replace(one, deployment=replace(one.deployment, timeouts=limits[one.deployment.backend])) for one in all_
        ]
        for model, all_ in fleet.served.items()
    }
    return replace(fleet, served=served)


def timeouts(name: str, spec: RouteSpec, fleet: Fleet, context: Context) -> Timeouts:
    """The timeouts of a backend on a route."""
    server = fleet.servers[name]
    written = server.kind.timeouts
    for layer in (context.file.defaults.timeouts, spec.timeouts):
        written = override(written, layer, server.kind, own=False)
    return override(written, context.file.backends[name].timeouts, server.kind)
