"""Who may get a request of a route, by whatever rule."""

from collections.abc import Iterator

from gateway.config.choices import ChoiceSpec
from gateway.config.constraints import sift
from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.names import beside
from gateway.config.reserves import substitutes, successors
from gateway.config.schema import RouteSpec
from gateway.types import Deployment


def settled(spec: RouteSpec, defaults: ChoiceSpec) -> RouteSpec:
    """The route with what it leaves out filled in from `defaults`; timeouts are put together elsewhere."""
    written = {name: getattr(defaults, name) for name in ChoiceSpec.model_fields if getattr(spec, name) is None}
    return spec.model_copy(update={name: value for name, value in written.items() if value is not None})


def used(spec: RouteSpec, fleet: Fleet, context: Context) -> list[Deployment]:
    """Every deployment that may get a request of a route, those that are switched off included."""
    sifted = sift(everyone(settled(spec, context.file.defaults), context), spec, fleet)
    return [*sifted.allowed, *(one.rejection.deployment for one in sifted.excluded if one.by == "off")]


def everyone(spec: RouteSpec, context: Context) -> Iterator[str]:
    """Every model that a route may use: its own, and those that share, stand in, mirror or follow."""
    yield from spec.models
    for item in spec.split or ():
        yield from item.models or ()
    for _, models in beside(spec):
        yield from models
    for model in spec.models:
        yield from successors(model, spec.models, context)
    yield from substitutes(spec.models, context)
