"""What the licences of the models in use ask, as notes: each licence once."""

from collections.abc import Iterable, Iterator, Mapping

from gateway.catalogue import Catalogue, Licence, Model
from gateway.fleet.checks.finding import Finding
from gateway.types import Deployment


def judge(deployments: Iterable[Deployment], catalogue: Catalogue) -> Iterator[Finding]:
    """A note for each licence that asks for more than a copy of itself, with the models it is on."""
    for id, models in held(deployments, catalogue).items():
        licence = catalogue.licence(id)
        if licence is not None and (duties := list(short(licence))):
            yield note(licence, models, "; ".join(duties))
        if (
            licence is not None
            and licence.eu_multimodal
            and (images := {n: m for n, m in models.items() if m.multimodal})
        ):
            who = "people domiciled in the European Union or companies with their principal place of business there"
            yield note(licence, images, f"it is not granted to {who}; end users of products with it are exempt")


def held(deployments: Iterable[Deployment], catalogue: Catalogue) -> dict[str, dict[str, Model]]:
    """By licence: the names of the models in use that it binds, each with the catalogue's model it is or comes from.

    What the policy says of a model's licences goes before the catalogue.
    """
    found: dict[str, dict[str, Model]] = {}
    for one in deployments:
        model = catalogue.get(one.model) or catalogue.get(one.base or "")
        if model is not None:
            for id in one.licence.split(" AND ") if one.licence else model.licences:
                found.setdefault(id, {})[one.model] = model
    return found


def short(licence: Licence) -> Iterator[str]:
    """What it asks, in few words."""
    if licence.built_with:
        yield f'show "{licence.built_with}", if you {licence.built_with_if}'
    if not licence.outputs_improve_others:
        yield "outputs must not be used to improve other language models"
    if licence.notice:
        yield "copies of the weights carry its notice"


def note(licence: Licence, models: Mapping[str, Model], said: str) -> Finding:
    """One note."""
    first = next(iter(models.values()))
    advice = f"All of it: `llama-gateway models {first.name} --licences`"
    return Finding("info", "licence", licence.name, f"Of {', '.join(models)}: {said}.", advice)
