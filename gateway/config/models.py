"""Models of a policy: what is true of each wherever it is served, from the file, else the catalogue."""

import re
from collections.abc import Iterable

from gateway.catalogue import Model
from gateway.catalogue.facts import LicenceTerms, ModelFacts
from gateway.catalogue.licence import terms
from gateway.config.context import Context
from gateway.config.problems import clean
from gateway.config.schema import ModelSpec

TOKEN = re.compile(r"[A-Za-z*][A-Za-z0-9!#$%&'*+.^_`|~:/-]*")  # of structured fields (RFC 9651)


def models(context: Context) -> dict[str, ModelFacts]:
    """Facts on every model that the file declares, serves or names as a successor, checked."""
    check_bases(context)
    check_successors(context)
    check_substitutes(context)
    declared = context.file.models
    served = (name for spec in context.file.backends.values() for name in spec.models)
    successors = (spec.successor.model for spec in declared.values() if spec.successor is not None)
    return {name: facts(name, context) for name in dict.fromkeys((*declared, *served, *successors))}


def facts(name: str, context: Context) -> ModelFacts:
    """One model: what `models` says of it, else what the catalogue says of it, else of its base."""
    own, listed = context.file.models.get(name, ModelSpec()), context.catalogue.get(name)
    origin = listed or (context.catalogue.get(own.base) if own.base else None)
    capabilities = capable(own, origin)
    licences = bound(own, origin, context)
    return ModelFacts(
        name=name,
        base=own.base or (listed.base if listed else None),
        family=origin.family if origin else None,
        generation=origin.generation if origin else None,
        size=own.size or (origin.size if origin else None),
        active=active(own, origin),
        context=own.context or (origin.context if origin else None),
        capabilities=capabilities,
        languages=origin.languages if own.languages is None and origin else frozenset(own.languages or ()),
        image_languages=origin.image_languages if own.languages is None and origin else frozenset(),
        modalities=takes(capabilities, origin),
        licences=licences,
        successor=next_of(own),
        replacement=origin.replacement if origin else None,
        licence_header=header(licences) if context.file.org.licence_header else None,
    )


def next_of(spec: ModelSpec | None) -> str | None:
    """The model that takes a model's place."""
    return None if spec is None or spec.successor is None else spec.successor.model


def active(own: ModelSpec, origin: Model | None) -> float | None:
    """Billions of parameters used for one token: a dense model uses all of them."""
    if own.active is not None:
        return own.active
    if origin is None or origin.active == origin.size:
        return own.size or (origin.active if origin else None)
    return origin.active


def capable(own: ModelSpec, origin: Model | None) -> frozenset[str]:
    """What the model can do, whoever serves it."""
    if own.capabilities is not None:
        return frozenset(own.capabilities)
    return origin.capabilities if origin else frozenset()


def takes(capabilities: frozenset[str], origin: Model | None) -> frozenset[str]:
    """What the model takes: a model that lost its sight to a correction is still licensed as a multimodal one."""
    known = origin.modalities if origin else frozenset({"text"})
    return known | {"image"} if "vision" in capabilities else known


def bound(own: ModelSpec, origin: Model | None, context: Context) -> tuple[LicenceTerms, ...]:
    """The licences that hold; what the file writes may be one of the catalogue, or an agreement of its owner's."""
    ids = own.licence or (origin.licences if origin else ())
    multimodal = "image" in takes(capable(own, origin), origin)
    found = ((id, context.catalogue.licence(id)) for id in dict.fromkeys(ids))
    return tuple(LicenceTerms(id, id) if known is None else terms(known, multimodal) for id, known in found)


def header(licences: Iterable[LicenceTerms]) -> str | None:
    """The licences as a structured field: `llama3.1; built-with="Built with Llama"`; None when none is known."""
    return ", ".join(item(one.id) + parameter(one.built_with) for one in licences) or None


def item(text: str) -> str:
    """A token where a text can be one, else a quoted string in ASCII."""
    return text if TOKEN.fullmatch(text) else quoted(text)


def parameter(words: str | None) -> str:
    """The words to show, where there are any."""
    return "" if words is None else f"; built-with={quoted(words)}"


def quoted(text: str) -> str:
    """A string of a structured field; what it cannot hold becomes a question mark."""
    plain = "".join(char if " " <= char <= "~" else "?" for char in text)
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def check_bases(context: Context) -> None:
    """Each declared model's base is in the catalogue."""
    names = [model.name for model in context.catalogue.models]
    for name, spec in context.file.models.items():
        if spec.base is not None and context.catalogue.get(spec.base) is None:
            message = f"The base `{clean(spec.base)}` of '{name}' is not in the catalogue. Correct it, or leave it out."
            hint = context.near_model(spec.base, names)
            context.report.add("LG042", ("models", name, "base"), message, hint)


def check_successors(context: Context) -> None:
    """Each successor is known, and none is, through others, its own."""
    declared = context.file.models
    served = {name for spec in context.file.backends.values() for name in spec.models}
    names = [*declared, *served, *(model.name for model in context.catalogue.models)]
    told: set[str] = set()
    for name, spec in declared.items():
        successor = next_of(spec)
        if successor is None:
            continue
        path = ("models", name, "successor")
        if successor not in served and not context.known(successor):
            message = f"The successor `{clean(successor)}` of '{name}' is no model that is served or known."
            hint = context.near_model(successor, names)
            context.report.add("LG047", path, f"{message} Correct the name, or declare it under `models`.", hint)
            continue
        if successor not in served and context.shaped.complete("backends"):
            message = f"No backend serves {successor}, the successor of '{name}', so nobody takes its place."
            context.report.add("LG078", path, f"{message} Add it to a backend, or remove it here.")
        if name not in told and (circle := circle_of(name, context)):
            told.update(circle)
            way = " -> ".join((*circle, name))
            context.report.add("LG048", path, f"The successors go in a circle: {way}. Take one of them out.")


def check_substitutes(context: Context) -> None:
    """Each substitute is known, and somebody serves it."""
    served = {name for spec in context.file.backends.values() for name in spec.models}
    names = [*context.file.models, *served, *(model.name for model in context.catalogue.models)]
    for name, spec in context.file.models.items():
        for index, other in enumerate(spec.substitutes or ()):
            path = ("models", name, "substitutes", index)
            if other not in served and not context.known(other):
                message = f"The substitute `{clean(other)}` of '{name}' is no model that is served or known."
                hint = context.near_model(other, names)
                context.report.add("LG047", path, f"{message} Correct the name, or declare it under `models`.", hint)
            elif other not in served and context.shaped.complete("backends"):
                message = f"No backend serves {other}, a substitute of '{name}', so it never answers in its place."
                context.report.add("LG078", path, f"{message} Add it to a backend, or remove it here.")


def circle_of(name: str, context: Context) -> list[str]:
    """The models from one over its successors back to it; empty when there is no way back."""
    way, successor = [name], next_of(context.file.models.get(name))
    while successor is not None and successor not in way:
        way.append(successor)
        successor = next_of(context.file.models.get(successor))
    return way if successor == name else []
