"""What was found as a table for people; drawing it is the command line's."""

from datetime import date
from typing import NamedTuple

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
        where=found.url or f"hosted ({found.credential})",
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
