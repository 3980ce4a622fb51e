"""Routes of a policy: who is allowed, in which tier, and why the others are out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.config.backends import Server, override
from gateway.config.context import Context
from gateway.config.deployments import Served
from gateway.config.matchers import bounds, matchers, takes_in
from gateway.config.problems import Path, clean
from gateway.config.schema import ChoiceSpec, RequireSpec, RouteSpec
from gateway.config.units import exactness
from gateway.routing.policy import CachePolicy, Candidate, Route, Weights
from gateway.types import Deployment, Rejection, Timeouts

DEFAULT = "default"  # the name of the implicit route of each model
WORDS = ("self_hosted", "hosted")


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the routes choose from."""

    servers: Mapping[str, Server]
    served: Mapping[str, Sequence[Served]]  # by model
    spellings: Mapping[str, frozenset[str]]  # canonical name -> every other way it may be asked for


def named_routes(fleet: Fleet, context: Context) -> tuple[Route, ...]:
    """The routes of the file, checked, in its order."""
    found = []
    for index, spec in zip(context.shaped.routes, context.file.routes, strict=True):
        path: Path = ("routes", index)
        check_names(spec, path, fleet, context)
        route = compiled(spec, fleet, context)
        check_candidates(route, spec, path, context)
        found.append(route)
    check_order(context)
    return tuple(found)


def implicit_routes(fleet: Fleet, context: Context) -> dict[str, Route]:
    """For each model that is served, the route of `defaults`."""
    return {model: compiled(RouteSpec(name=DEFAULT, models=[model]), fleet, context) for model in fleet.served}


def compiled(spec: RouteSpec, fleet: Fleet, context: Context) -> Route:
    """One route, ready for the planner."""
    defaults = context.file.defaults
    candidates, excluded = sift(spec, fleet)
    retry = spec.retry or defaults.retry
    cache = spec.cache or defaults.cache
    names = {other for name in spec.match.model or () for other in (name, *fleet.spellings.get(name, ()))}
    return Route(
        name=spec.name,
        models=tuple(dict.fromkeys(spec.models)),
        asked=tuple(spec.match.model or ()),
        matchers=matchers(spec.match, names),
        candidates=tiers(spec, candidates),
        excluded=tuple(excluded),
        weights=weights(spec, defaults),
        max_usd=spec.require.max_usd,
        max_ttft=spec.require.ttft,
        attempts=3 if retry is None else retry.attempts,
        timeouts=timeouts(spec, candidates, fleet, context),
        cache=None if cache is None else CachePolicy(cache.ttl, cache.mode),
    )


def weights(spec: RouteSpec, defaults: ChoiceSpec) -> Weights:
    """The weights of a route, which add up to one."""
    written = spec.optimize or defaults.optimize
    if written is None:
        return Weights()
    total = written.cost + written.latency + written.size
    return Weights(written.cost / total, written.latency / total, written.size / total)


def sift(spec: RouteSpec, fleet: Fleet) -> tuple[list[Deployment], list[Rejection]]:
    """The deployments of a route's models that the policy allows, and a rejection for each of the others."""
    allowed, excluded = [], []
    for one in (one for model in dict.fromkeys(spec.models) for one in fleet.served.get(model, ())):
        reason = objection(spec.require, one.deployment) or one.off
        if reason is None:
            allowed.append(one.deployment)
        else:
            excluded.append(Rejection(one.deployment, reason))
    return allowed, excluded


def objection(require: RequireSpec, deployment: Deployment) -> str | None:
    """Why a constraint of the route excludes a deployment, whatever the request."""
    if require.location is not None and deployment.location != require.location:
        return f"is {deployment.location}, the route requires {require.location}"
    if require.regions is not None and deployment.region not in require.regions:
        return f"is in {deployment.region or 'no known region'}, the route requires {' or '.join(require.regions)}"
    if require.min_precision is not None and coarse(deployment.precision, require.min_precision):
        return f"has precision {deployment.precision or 'unknown'}, the route requires at least {require.min_precision}"
    missing = set(require.capabilities or ()) - deployment.capabilities
    return f"cannot do {', '.join(sorted(missing))}, which the route requires" if missing else None


def coarse(precision: str | None, least: str) -> bool:
    """Whether a precision is below another, or not known."""
    ours, wanted = exactness(precision or ""), exactness(least)
    return ours is None or (wanted is not None and ours < wanted)


def tiers(spec: RouteSpec, deployments: Sequence[Deployment]) -> tuple[Candidate, ...]:
    """Candidates with their tiers: by `prefer` first, then by `size`."""
    keys = [(preference(spec, one), size_rank(spec, one)) for one in deployments]
    order = {key: tier for tier, key in enumerate(sorted(set(keys)))}
    return tuple(Candidate(one, order[key]) for one, key in zip(deployments, keys, strict=True))


def preference(spec: RouteSpec, deployment: Deployment) -> int:
    """The place in `prefer` of what a deployment is; past the end when it is not there."""
    wanted = spec.prefer or ()
    is_a = (deployment.location, deployment.backend)
    return next((place for place, word in enumerate(wanted) if word in is_a), len(wanted))


def size_rank(spec: RouteSpec, deployment: Deployment) -> float:
    """What sorts models as `size` wants; one of unknown size comes last."""
    if spec.size is None:
        return 0.0
    if deployment.size is None:
        return float("inf")
    return deployment.size if spec.size == "smallest" else -deployment.size


def timeouts(spec: RouteSpec, deployments: Iterable[Deployment], fleet: Fleet, context: Context) -> dict[str, Timeouts]:
    """By backend, where the route or `defaults` writes some: the backend's own stand, theirs override its kind's."""
    found: dict[str, Timeouts] = {}
    for name in dict.fromkeys(one.backend for one in deployments):
        server = fleet.servers[name]
        written = server.kind.timeouts
        for layer in (context.file.defaults.timeouts, spec.timeouts):
            written = override(written, layer, server.kind, own=False)
        written = override(written, context.file.backends[name].timeouts, server.kind)
        if written != server.backend.timeouts:
            found[name] = written
    return found


def check_names(spec: RouteSpec, path: Path, fleet: Fleet, context: Context) -> None:
    """The models and backends that a route names exist."""
    served = fleet.served.keys()
    for index, model in enumerate(spec.models):
        place = (*path, "models", index)
        if model in served:
            continue
        where = f"the route '{spec.name}'"
        if not context.known(model):
            message = f"The model `{clean(model)}` of {where} is not in the catalogue, and no backend serves it."
            hint = context.near_model(model, served)
            context.report.add("LG050", place, f"{message} Correct the name.", hint)
        elif not served.isdisjoint(spec.models) and context.shaped.complete("backends"):
            message = f"No backend serves {model}, which {where} names. Add it to a backend, or remove it here."
            context.report.add("LG051", place, message)
    check_prefer(spec, path, context)


def check_prefer(spec: RouteSpec, path: Path, context: Context) -> None:
    """`prefer` names backends there are."""
    known = [*WORDS, *context.file.backends]
    for index, word in enumerate(spec.prefer or ()):
        if word not in known and not context.unread(word) and context.shaped.complete("backends"):
            place = listed((*path, "prefer"), index, context)
            message = f"`{clean(word)}` in `prefer` of the route '{spec.name}' is no backend."
            hint = context.near(word, known)
            context.report.add("LG055", place, f"{message} Write self_hosted, hosted or a backend's name.", hint)


def listed(path: Path, index: int, context: Context) -> Path:
    """The path of a list's item; of the value itself when a single word stands for the list."""
    return (*path, index) if (*path, index) in context.report.values else path


def check_candidates(route: Route, spec: RouteSpec, path: Path, context: Context) -> None:
    """Somebody can answer."""
    check_ranges(spec, path, context)
    if route.candidates:
        return
    if not route.excluded:
        if context.shaped.complete("backends"):
            message = f"No backend serves any model of the route '{route.name}'. Add one of its models to a backend."
            context.report.add("LG052", (*path, "models"), message, key=True)
        return
    reasons = "; ".join(f"{one.deployment.name} {one.reason}" for one in route.excluded[:4])
    if any(objection(spec.require, one.deployment) is None for one in route.excluded):
        message = f"Every deployment left of the route '{route.name}' is switched off, so it answers nobody: {reasons}."
        context.report.add("LG057", path, message)
    else:
        message = f"`require` of the route '{route.name}' excludes every deployment: {reasons}. Loosen it."
        context.report.add("LG056", (*path, "require"), message, key=True)


def check_ranges(spec: RouteSpec, path: Path, context: Context) -> None:
    """Ranges of tokens hold something."""
    for part in ("input_tokens", "output_tokens"):
        limits = getattr(spec.match, part)
        if limits is not None and bounds(limits)[0] > bounds(limits)[1]:
            message = (
                f"`{part}` of the route '{spec.name}' begins above its end, so it never matches. Swap min and max."
            )
            context.report.add("LG058", (*path, "match", part), message, key=True)


def check_order(context: Context) -> None:
    """No name is twice, and no route takes all that a later one could match."""
    lines: dict[str, int] = {}
    earlier: dict[str | None, list[RouteSpec]] = {}  # by each model asked for
    for index, spec in zip(context.shaped.routes, context.file.routes, strict=True):
        check_name(spec, index, lines, context)
        if not context.shaped.whole(("routes", index, "match")):
            continue
        if names := shadowing(spec, earlier):
            message = f"The route '{spec.name}' is never reached: {' and '.join(names)} above it takes all it matches."
            context.report.add("LG054", ("routes", index), f"{message} Move it up, narrow the other, or remove it.")
        for model in asked(spec):
            earlier.setdefault(model, []).append(spec)


def check_name(spec: RouteSpec, index: int, lines: dict[str, int], context: Context) -> None:
    """The name is the route's own; `lines` has those of the routes above it."""
    path: Path = ("routes", index, "name")
    if spec.name == DEFAULT:
        message = f"'{DEFAULT}' is the name of the implicit route of each model. Choose another."
        context.report.add("LG053", path, message)
    elif spec.name in lines:
        message = f"A route '{spec.name}' is in line {lines[spec.name]} already. Rename one of them."
        context.report.add("LG053", path, message)
    lines.setdefault(spec.name, context.report.place(path).line)


def asked(spec: RouteSpec) -> list[str | None]:
    """The models that a route asks for; None alone for any."""
    return [None] if spec.match.model is None else [*spec.match.model]


def shadowing(spec: RouteSpec, earlier: Mapping[str | None, Sequence[RouteSpec]]) -> list[str]:
    """The earlier routes that leave nothing to this one; empty when something reaches it."""
    found: list[str] = []
    for model in asked(spec):
        rivals = [*earlier.get(None, ()), *(() if model is None else earlier.get(model, ()))]
        over = next((one for one in rivals if takes_in(one.match, spec.match, model)), None)
        if over is None:
            return []
        found.append(f"'{over.name}'")
    return list(dict.fromkeys(found))
