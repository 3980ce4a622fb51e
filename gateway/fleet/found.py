"""What a look around finds: backends, the models they serve, and notes on what was left out."""

from dataclasses import dataclass
from datetime import date

from gateway.types import Price


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model as one backend serves it; `context` in tokens, `size` in billions of parameters."""

    canonical: str
    id: str
    precision: str | None = None
    context: int | None = None
    price: Price | None = None
    retires: date | None = None
    size: float | None = None
    known: bool = True  # to the catalogue
    capabilities: tuple[str, ...] = ()  # of a model that the catalogue does not know, as far as its server says


@dataclass(frozen=True, slots=True)
class Found:
    """A server or an account that can be used as a backend."""

    name: str
    kind: str
    url: str | None  # None: the provider's own
    location: str
    credential: str | None  # the variable that holds its key, never the key; None: it needs or finds none by itself
    models: tuple[FoundModel, ...]
    slots: int | None = None  # requests that it says it works on at once
    region: str | None = None  # where an account is used


@dataclass(frozen=True, slots=True)
class Discovery:
    """All that was found, and a sentence on each thing that was not used."""

    found: tuple[Found, ...] = ()
    notes: tuple[str, ...] = ()
