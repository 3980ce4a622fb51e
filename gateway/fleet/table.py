"""What was found as a table for people; drawing it is the command line's."""

from datetime import date
from typing import NamedTuple

from gateway.catalogue import Catalogue
from gateway.catalogue.retirement import STAGES, notice
from gateway.fleet.found import Discovery, Found, FoundModel
from gateway.types import Price


class Row(NamedTuple):
    """One model at one backend, in words."""

    backend: str
    where: str
    model: str
    id: str
    precision: str
    price: str
    retires: str


def rows(discovery: Discovery, today: date) -> list[Row]:
    """A row for each model found, in order."""
    return [row(found, model, today) for found in discovery.found for model in found.models]


def row(found: Found, model: FoundModel, today: date) -> Row:
    """One model at one backend."""
    return Row(
        backend=found.name,
        where=found.url or f"hosted ({found.credential or found.region})",
        model=model.canonical,
        id=model.id,
        precision=model.precision or "-",
        price="own hardware" if found.location == "self_hosted" else price(model.price),
        retires=retires(model.retires, today),
    )


def price(found: Price | None) -> str:
    """Prompt and completion, in US dollars per million tokens."""
    return "unknown" if found is None else f"{found.input:g}/{found.output:g} $ per M"


def retires(day: date | None, today: date) -> str:
    """How long a model is still there."""
    if day is None:
        return "-"
    days = (day - today).days
    if days <= 0:
        return "retired"
    return "retires in 1 day" if days == 1 else f"retires in {days} days"


def retiring(discovery: Discovery, today: date, catalogue: Catalogue) -> str:
    """One line on what is retired soonest, and how many others are; empty when there is no hurry."""
    near = [
        (model.retires, f"{found.name}/{model.canonical}", said)
        for found in discovery.found
        for model in found.models
        if (said := notice(model.canonical, found.kind, model.id, model.retires, today, catalogue)) and model.retires
    ]
    if not near:
        return ""
    _, name, said = min(near)
    more = f" Retired within {STAGES[-1][0]} days, besides: {len(near) - 1}." if len(near) > 1 else ""
    return f"warning: The provider of {name} {said.what}. {said.advice}{more}"
