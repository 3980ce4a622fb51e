"""What the licences of the models in use ask, as notes: each licence once."""

from collections.abc import Iterable, Iterator

from gateway.catalogue import Catalogue, Licence, Model
from gateway.fleet.checks.finding import Finding
from gateway.types import Deployment


def judge(deployments: Iterable[Deployment], catalogue: Catalogue) -> Iterator[Finding]:
    """A note for each licence that asks for more than a copy of itself, with the models it is on."""
    used = {model.name: model for one in deployments if (model := catalogue.get(one.model)) is not None}
    held: dict[str, list[Model]] = {}
    for model in used.values():
        held.setdefault(model.licence or "", []).append(model)
    for id, models in held.items():
        licence = catalogue.licence(id)
        if licence is not None and (duties := list(short(licence))):
            yield note(licence, models, "; ".join(duties))
        if licence is not None and licence.eu_multimodal and (images := [one for one in models if one.multimodal]):
            who = "people domiciled in the European Union or companies with their principal place of business there"
            yield note(licence, images, f"it is not granted to {who}; end users of products with it are exempt")


def short(licence: Licence) -> Iterator[str]:
    """What it asks, in few words."""
    if licence.built_with:
        yield f'show "{licence.built_with}", if you {licence.built_with_if}'
    if not licence.outputs_improve_others:
        yield "outputs must not be used to improve other language models"
    if licence.notice:
        yield "copies of the weights carry its notice"


def note(licence: Licence, models: list[Model], said: str) -> Finding:
    """One note."""
    names = ", ".join(model.name for model in models)
    todo = f"All of it: `llama-gateway models {models[0].name} --licences`"
    return Finding("info", "licence", licence.name, f"Of {names}: {said}.", todo)
