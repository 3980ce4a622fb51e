"""The names that a route uses: models, backends and licences there are."""

from collections.abc import Iterator, Sequence

from gateway.config.choices import ChoiceSpec
from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.problems import Path, clean
from gateway.config.schema import RouteSpec

WORDS = ("self_hosted", "hosted")  # that `prefer` takes besides backends


def check_names(spec: RouteSpec, path: Path, fleet: Fleet, context: Context) -> None:
    """The models, backends and licences that a route names exist."""
    where = f"the route '{spec.name}'"
    nobody = fleet.served.keys().isdisjoint(spec.models)  # which is told as one finding, elsewhere
    check_models(spec.models, (*path, "models"), where, fleet, context, told=nobody)
    for index, item in enumerate(spec.split or ()):
        check_models(item.models or (), (*path, "split", index, "models"), where, fleet, context)
    for place, models in beside(spec):
        check_models(models, (*path, *place), where, fleet, context)
    check_prefer(spec, path, context)
    check_licence(spec, path, context)


def check_defaults(fleet: Fleet, context: Context) -> None:
    """The models that `defaults` names exist."""
    for place, models in beside(context.file.defaults):
        check_models(models, ("defaults", *place), "`defaults`", fleet, context)


def beside(spec: ChoiceSpec) -> Iterator[tuple[Path, Sequence[str]]]:
    """The models that a route or `defaults` names besides its own, with their path."""
    for cause in ("context", "refused", "overloaded") if spec.fallback is not None else ():
        yield ("fallback", cause), getattr(spec.fallback, cause) or ()
    if spec.shadow is not None:
        yield ("shadow", "models"), spec.shadow.models
    if spec.cache is not None and spec.cache.embeddings is not None:
        yield ("cache", "embeddings"), [spec.cache.embeddings]


def check_models(
    models: Sequence[str], path: Path, where: str, fleet: Fleet, context: Context, told: bool = False
) -> None:
    """Each model is known, and somebody serves it, unless that is `told` elsewhere."""
    served = fleet.served.keys()
    for index, model in enumerate(models):
        place = listed(path, index, context)
        if model in served:
            continue
        if not context.known(model):
            message = f"The model `{clean(model)}` of {where} is not in the catalogue, and no backend serves it."
            hint = context.near_model(model, served)
            context.report.add("LG050", place, f"{message} Correct the name.", hint)
        elif not told and context.shaped.complete("backends"):
            message = f"No backend serves {model}, which {where} names. Add it to a backend, or remove it here."
            context.report.add("LG051", place, message)


def check_licence(spec: RouteSpec, path: Path, context: Context) -> None:
    """`require` names licences there are."""
    own = [id for model in context.file.models.values() for id in model.licence or ()]
    known = [*(licence.id for licence in context.catalogue.licences), *own] if spec.require.licence else []
    for index, id in enumerate(spec.require.licence or ()):
        if id not in known and not context.unread(id) and context.shaped.complete("models"):
            place = listed((*path, "require", "licence"), index, context)
            message = f"`{clean(id)}` in `require` of the route '{spec.name}' is no licence of the catalogue."
            hint = context.near(id, known)
            context.report.add("LG059", place, f"{message} Write one of {', '.join(known[:20])}.", hint)


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
