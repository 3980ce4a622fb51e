"""Whether what a route says makes sense: somebody can answer, and each of its rules can come to bear."""

from collections.abc import Iterable, Sequence

from gateway.config import sizes
from gateway.config.choices import RequireSpec
from gateway.config.constraints import Sifted, sift
from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.matchers import bounds
from gateway.config.names import beside
from gateway.config.problems import Path, clean
from gateway.config.reserves import EASE, successors
from gateway.config.schema import RouteSpec
from gateway.config.splits import arm_name
from gateway.routing.causes import BURST
from gateway.routing.lane import NO_LIMIT, Lane
from gateway.routing.policy import Route


def check_sense(route: Route, spec: RouteSpec, path: Path, fleet: Fleet, context: Context) -> None:
    """Somebody can answer, and each rule of the route can come to bear."""
    check_ranges(spec, path, context)
    check_candidates(route, spec, path, fleet, context)
    check_split(spec, path, context)
    check_burst(spec, path, fleet, context)
    check_escalation(route, spec, path, context)
    check_hedge(route, spec, path, context)
    check_reserves(spec, path, fleet, context)
    check_reach(route, spec, path, context)


def check_ranges(spec: RouteSpec, path: Path, context: Context) -> None:
    """Ranges of tokens and of sizes hold something."""
    for part in ("input_tokens", "output_tokens"):
        limits = getattr(spec.match, part)
        if limits is not None and bounds(limits)[0] > bounds(limits)[1]:
            message = (
                f"`{part}` of the route '{spec.name}' begins above its end, so it never matches. Swap min and max."
            )
            context.report.add("LG058", (*path, "match", part), message, key=True)
    least, most = sizes.bounds(spec.size).at_least, sizes.bounds(spec.size).at_most
    if least is not None and most is not None and least > most:
        message = f"`size` of the route '{spec.name}' begins above its end. Swap at_least and at_most."
        context.report.add("LG058", (*path, "size"), message, key=True)


def check_candidates(route: Route, spec: RouteSpec, path: Path, fleet: Fleet, context: Context) -> None:
    """Somebody can answer without being called for a cause that others have to give."""
    if any(one.when in ("", BURST) or one.when.startswith("gone ") for one in route.candidates):
        return
    own = sift(spec.models, spec, fleet)
    reasons, by = own.reasons, {one.by for one in own.excluded}
    if not by:
        if context.shaped.complete("backends"):
            message = f"No backend serves any model of the route '{route.name}'. Add one of its models to a backend."
            context.report.add("LG052", (*path, "models"), message, key=True)
    elif "off" in by:
        message = f"Every deployment left of the route '{route.name}' is switched off, so it answers nobody: {reasons}."
        context.report.add("LG057", path, message)
    elif "route" in by:
        keys = [key for key in ("require", "size") if written(spec, key)]
        message = f"{' and '.join(f'`{key}`' for key in keys)} of the route '{route.name}'"
        verb = "excludes" if len(keys) == 1 else "exclude"
        message = f"{message} {verb} every deployment: {reasons}. Loosen {'it' if len(keys) == 1 else 'them'}."
        context.report.add("LG056", (*path, keys[0]), message, key=True)
    else:
        message = (
            f"`org` excludes every deployment of the route '{route.name}': {reasons}. Add a model that may be used."
        )
        context.report.add("LG056", (*path, "models"), message, key=True)


def written(spec: RouteSpec, key: str) -> bool:
    """Whether a route has a `require`, or a `size`, that can exclude anybody."""
    if key == "require":
        return spec.require != RequireSpec()
    return sizes.bounds(spec.size) != sizes.UNBOUND


def check_split(spec: RouteSpec, path: Path, context: Context) -> None:
    """A split has parts that differ, and each has requests."""
    items = spec.split or []
    where = (*path, "split")
    if not items or not context.shaped.whole(where):
        return
    if all(item.models is None for item in items):
        message = f"`split` of the route '{spec.name}' splits nothing: none of its parts has `models`."
        context.report.add("LG070", where, f"{message} Write who answers the other part.", key=True)
    elif not any(item.weight for item in items):
        message = f"Every weight of the `split` of the route '{spec.name}' is 0. Give one of them more."
        context.report.add("LG070", where, message, key=True)
    else:
        check_arms(spec, where, context)


def check_arms(spec: RouteSpec, path: Path, context: Context) -> None:
    """The parts of a split have names of their own, and requests."""
    names: set[str] = set()
    for index, item in enumerate(spec.split or ()):
        if item.models is None:
            continue
        name = arm_name(item)
        if name in names:
            message = f"Two parts of the `split` of the route '{spec.name}' have the name '{clean(name)}'."
            context.report.add("LG071", (*path, index), f"{message} Give each a `name` of its own.")
        elif not item.weight:
            message = f"The part '{clean(name)}' of the `split` of the route '{spec.name}' gets no requests: its weight"
            context.report.add("LG072", (*path, index, "weight"), f"{message} is 0. Give it more, or remove it.")
        names.add(name)


def check_burst(spec: RouteSpec, path: Path, fleet: Fleet, context: Context) -> None:
    """A burst rule has own hardware to relieve, somebody who does, and an end."""
    rule, where = spec.burst, (*path, "burst")
    if rule is None:
        return
    name = f"`burst` of the route '{spec.name}'"
    back = rule.when.ttft * EASE if rule.back_below is None else rule.back_below
    if back > rule.when.ttft:
        message = f"{name} would end above where it begins. Write a `back_below` that is no more than `when`."
        context.report.add("LG073", (*where, "back_below"), message)
    if spec.prefer is not None and spec.prefer[0] == "hosted":
        message = f"{name} puts own hardware first, and `prefer` puts hosted deployments first. Remove one of them."
        context.report.add("LG073", where, message, key=True)
    sifted = sift(spec.models, spec, fleet)
    found = {one.location for one in sifted.allowed}
    found |= {one.rejection.deployment.location for one in sifted.excluded if one.by == "off"}
    lacking = {"self_hosted", "hosted"} - found
    if found and lacking and context.shaped.complete("backends"):
        message = f"{name} has nobody to {'relieve' if 'self_hosted' in lacking else 'call'}: the route has no"
        context.report.add("LG073", where, f"{message} {min(lacking)} deployment. Add one, or remove it.", key=True)


def check_escalation(route: Route, spec: RouteSpec, path: Path, context: Context) -> None:
    """There is a larger model to ask."""
    everybody = [one for lane in (route.lane, *(arm.lane for arm in route.arms)) for one in lane.deployments]
    if spec.escalate and everybody and len({one.size for one in everybody if one.size is not None}) < 2:
        message = f"`escalate` of the route '{spec.name}' does nothing: the route has no larger model to ask. Add one."
        context.report.add("LG074", (*path, "escalate"), message, key=True)


def check_hedge(route: Route, spec: RouteSpec, path: Path, context: Context) -> None:
    """There is somebody to ask beside the first."""
    if spec.hedge is None or route.hedge is None or not context.shaped.complete("backends"):
        return
    lanes = (route.lane, *(arm.lane for arm in route.arms))
    most = max(len({one.deployment.name for one in lane.candidates if not one.when}) for lane in lanes)
    if most == 1:
        message = f"`hedge` of the route '{spec.name}' does nothing: the route has one deployment. Add another."
    elif route.attempts == 1:
        message = f"`hedge` of the route '{spec.name}' does nothing: `retry` allows a single attempt. Allow another."
    else:
        return
    context.report.add("LG080", (*path, "hedge"), message, key=True)


def check_reserves(spec: RouteSpec, path: Path, fleet: Fleet, context: Context) -> None:
    """What a route adds to its own models adds somebody."""
    where = f"of the route '{spec.name}'"
    for index, item in enumerate(spec.split or ()):
        check_added(
            item.models or (), (*path, "split", index, "models"), f"A part of the split {where}", spec, fleet, context
        )
    for place, models in beside(spec):
        added = f"`{'.'.join(str(part) for part in place)}` {where}"
        check_added(models, (*path, *place), added, spec, fleet, context)
    for index, model in enumerate(spec.models):
        for after in successors(model, spec.models, context)[:1]:
            added = f"The successor {after} of {model} on the route '{spec.name}'"
            check_added((after,), (*path, "models", index), added, spec, fleet, context)


def check_added(models: Sequence[str], path: Path, what: str, spec: RouteSpec, fleet: Fleet, context: Context) -> None:
    """The route's own constraints leave somebody of the models that a rule adds."""
    sifted = sift(models, spec, fleet)
    if models and constrained(sifted):
        message = f"{what} adds nobody: {sifted.reasons}. Take another model, or loosen what the route requires."
        context.report.add("LG076", path, message)


def constrained(sifted: Sifted) -> bool:
    """Whether there are deployments, and constraints exclude all of them."""
    return not sifted.allowed and bool(sifted.excluded) and all(one.by != "off" for one in sifted.excluded)


def check_reach(route: Route, spec: RouteSpec, path: Path, context: Context) -> None:
    """The requests that a route takes are such that somebody of it can answer them."""
    lanes = (route.lane, *(arm.lane for arm in route.arms))
    if not route.lane.names:
        return
    needs = frozenset(spec.match.capabilities or ())
    if needs and not any(needs <= one.capabilities for lane in lanes for one in lane.deployments):
        message = f"Every request of the route '{spec.name}' needs {', '.join(sorted(needs))}, and none of its"
        context.report.add("LG077", (*path, "match", "capabilities"), f"{message} deployments can do that. Add one.")
    least, longest = bounds(spec.match.input_tokens)[0] if spec.match.input_tokens else 0, windows(lanes)
    if least > longest:
        message = f"Every request of the route '{spec.name}' has {least:.0f} tokens or more, and none of its"
        message = f"{message} deployments holds more than {longest:.0f}. Add one that does."
        context.report.add("LG077", (*path, "match", "input_tokens"), message)


def windows(lanes: Iterable[Lane]) -> float:
    """The longest context window, in tokens."""
    return max((holds for lane in lanes for holds in lane.contexts), default=NO_LIMIT)
