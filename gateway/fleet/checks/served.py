"""Whether a backend serves what is expected of it: under that id, with that context."""

from collections.abc import Iterator, Sequence

from gateway.catalogue import Catalogue
from gateway.config.problems import Severity, clean
from gateway.fleet.checks.finding import Finding, Subject
from gateway.fleet.checks.habits import Habits
from gateway.providers.port import ServedModel
from gateway.types import Deployment

MOST = 2000  # models of a list in which the nearest are looked for


def judge(subject: Subject, models: Sequence[ServedModel], habits: Habits, catalogue: Catalogue) -> Iterator[Finding]:
    """Findings on every deployment that the list does not bear out."""
    if not models:
        what = "It lists no models at all."
        yield Finding("warning", "models", subject.name, what, "Start it with a model, or pull one.")
        return
    listed = {habits.name(model.id): model for model in models}
    for deployment in subject.deployments:
        model = listed.get(habits.name(deployment.id))
        if model is None and habits.any_id and len(models) == 1:
            yield from other(deployment, models[0], catalogue)
        elif model is None:
            yield missing(deployment, models, catalogue)
        else:
            yield from context(deployment, model.context, habits.widen)


def missing(deployment: Deployment, models: Sequence[ServedModel], catalogue: Catalogue) -> Finding:
    """The finding on an id that is not in the list; a hosted provider's list may leave out what it serves."""
    ids = [model.id for model in models]
    near = catalogue.nearest(deployment.id, ids[:MOST]) or ([] if len(ids) > 3 else ids)
    what = f"It does not list the id `{clean(deployment.id)}`."
    names = ", ".join(f"`{clean(id)}`" for id in near)
    advice = f"Correct the id; nearest are {names}." if near else "Correct the id, or remove the model from the policy."
    severity: Severity = "error" if deployment.location == "self_hosted" else "warning"
    return Finding(severity, "models", deployment.name, what, advice)


def other(deployment: Deployment, model: ServedModel, catalogue: Catalogue) -> Iterator[Finding]:
    """A server of one model answers to any id: says so when it is another model."""
    served, meant = catalogue.resolve(model.id), catalogue.get(deployment.model)
    if served is not None and meant is not None and served is not meant:
        what = f"It serves {served.name} (`{clean(model.id)}`), whatever it is asked for."
        yield Finding("error", "models", deployment.name, what, f"Write `{served.name}` in its place.")


def context(deployment: Deployment, holds: object, widen: str = "") -> Iterator[Finding]:
    """What the difference between an expected and a real context means, in tokens."""
    if not isinstance(holds, int) or isinstance(holds, bool) or holds <= 0 or deployment.context is None:
        return
    if holds < deployment.context:
        what = f"It holds {holds} tokens, and the policy counts on {deployment.context}: longer requests will fail."
        more = f", or {widen.format(deployment.context)}" if widen else ""
        yield Finding("warning", "context", deployment.name, what, f"Write `context: {holds}`{more}.")
    elif holds > deployment.context and deployment.location == "self_hosted":
        what = f"It holds {holds} tokens, and the policy uses {deployment.context} of them."
        yield Finding("info", "context", deployment.name, what, f"Write `context: {holds}` to use them all.")
