"""What a licence asks of whoever uses, serves or passes on a model: facts in our own words, no legal advice."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from gateway.catalogue.facts import LicenceTerms


@dataclass(frozen=True, slots=True)
class Licence:
    """One version of a licence; `..._if` continues a sentence that begins with `if you`."""

    id: str  # as Hugging Face tags it
    name: str
    spdx: str
    url: str
    copies: str  # what goes with copies of the weights
    released: date | None = None  # the version of the models it came with
    use_policy: str | None = None  # where the acceptable-use policy is
    built_with: str | None = None  # the words to show
    built_with_if: str | None = None
    name_prefix: str | None = None  # of models made with this one
    name_prefix_if: str | None = None
    notice: str | None = None  # the line of the Notice file
    monthly_users: int | None = None  # above it Meta must be asked; measured once, before `released`
    outputs_improve_others: bool = True  # may outputs be used to improve other models?
    eu_multimodal: bool = False  # its multimodal models are not licensed to those based in the EU
    remarks: tuple[str, ...] = ()


def terms(licence: Licence, multimodal: bool) -> LicenceTerms:
    """A licence as it binds one of its models."""
    barred = licence.eu_multimodal and multimodal
    return LicenceTerms(licence.id, licence.name, licence.url, licence.built_with, asks(licence, multimodal), barred)


def asks(licence: Licence, multimodal: bool) -> tuple[str, ...]:
    """What a licence asks for one of its models, a sentence each."""
    return tuple(_asks(licence, multimodal))


def _asks(licence: Licence, multimodal: bool) -> Iterator[str]:
    if licence.eu_multimodal and multimodal:
        yield (
            "EU: this model is multimodal, and such models are not licensed to people domiciled in the European Union "
            "or companies with their principal place of business there; end users of products with it are exempt."
        )
    if licence.built_with:
        where = "on a related website, user interface, blog post, about page or product documentation"
        yield f'Display: show "{licence.built_with}" prominently {where}, if you {licence.built_with_if}.'
    if licence.name_prefix:
        yield f'Name: a new model\'s name must begin with "{licence.name_prefix}", if you {licence.name_prefix_if}.'
    yield f"Copies: {licence.copies}."
    if licence.notice:
        yield f'Notice: that file says "{licence.notice}"'
    if licence.monthly_users and licence.released:
        yield (
            f"Size: who had, with affiliates, over {licence.monthly_users // 10**6} million monthly users in the "
            f"calendar month before {licence.released} must ask Meta for a licence; measured that once, never again."
        )
    if not licence.outputs_improve_others:
        yield "Outputs: they must not be used to improve other language models, except this one and those made of it."
    elif licence.name_prefix:
        yield "Outputs: they may be used to improve other models; the rule on names then holds."
    if licence.use_policy:
        yield f"Use: as the acceptable-use policy allows, {licence.use_policy}"
    yield from licence.remarks
