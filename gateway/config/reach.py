"""Whether anything reaches a route or a backend: names, order, and who may use them."""

from collections.abc import Mapping, Sequence

from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.matchers import takes_in
from gateway.config.problems import Path
from gateway.config.roster import used
from gateway.config.schema import RouteSpec

DEFAULT = "default"  # the name of the implicit route of each model


def check_order(context: Context) -> None:
    """No name is twice, and no route takes all that a later one could match."""
    places: dict[str, Path] = {}
    earlier: dict[str | None, list[RouteSpec]] = {}  # by each model asked for
    for index, spec in zip(context.shaped.routes, context.file.routes, strict=True):
        check_name(spec, index, places, context)
        if not context.shaped.whole(("routes", index, "match")):
            continue
        if names := shadowing(spec, earlier):
            message = f"The route '{spec.name}' is never reached: {' and '.join(names)} above it takes all it matches."
            context.report.add("LG054", ("routes", index), f"{message} Move it up, narrow the other, or remove it.")
        for model in asked(spec):
            earlier.setdefault(model, []).append(spec)


def check_name(spec: RouteSpec, index: int, places: dict[str, Path], context: Context) -> None:
    """The name is the route's own; `places` has those of the routes above it."""
    path: Path = ("routes", index, "name")
    if spec.name == DEFAULT:
        message = f"'{DEFAULT}' is the name of the implicit route of each model. Choose another."
        context.report.add("LG053", path, message)
    elif spec.name in places:
        first = context.report.line(places[spec.name], path)
        message = f"A route '{spec.name}' is in {first} already. Rename one of them."
        context.report.add("LG053", path, message)
    places.setdefault(spec.name, path)


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


def permitted(context: Context) -> frozenset[str] | None:
    """The names of the routes that some caller may use; None for all."""
    callers = (context.file.callers or {}).values()
    if not callers or not context.shaped.complete("callers") or any(one.routes is None for one in callers):
        return None
    found = frozenset(name for one in callers for name in one.routes or ())
    known = {DEFAULT, *(spec.name for spec in context.file.routes)}
    return found if found <= known else None  # which of them a misspelt name means, is not known


def check_use(fleet: Fleet, context: Context) -> None:
    """Each route has a caller who may use it, and each backend a route."""
    names = permitted(context)
    if names is None:
        return
    busy: set[str] = set()
    for index, spec in zip(context.shaped.routes, context.file.routes, strict=True):
        if spec.name in names:
            busy.update(one.backend for one in used(spec, fleet, context))
        else:
            message = f"The route '{spec.name}' is never reached: no caller may use it. Add it to a caller's `routes`."
            context.report.add("LG054", ("routes", index), message)
    if DEFAULT not in names and context.shaped.complete("routes"):
        check_backends(busy, context)


def check_backends(busy: set[str], context: Context) -> None:
    """Each backend has a deployment on some route, where nobody may ask for models by their own names."""
    for name, spec in context.file.backends.items():
        if spec.models and name not in busy:
            message = (
                f"The backend '{name}' is never used: it is on no route that a caller may use, and no caller may use "
                f"'{DEFAULT}', which is for models by their own names. Add it to a route, or remove it."
            )
            context.report.add("LG035", ("backends", name), message, key=True)
