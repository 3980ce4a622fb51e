"""What is known of a model wherever it is served, and of the licences that bind it."""

from dataclasses import dataclass
from typing import NamedTuple


class LicenceTerms(NamedTuple):
    """A licence that binds a model, and what it asks of whoever serves that model, a sentence each."""

    id: str
    name: str
    url: str | None = None
    built_with: str | None = None  # the words to show
    asks: tuple[str, ...] = ()
    outside_eu: bool = False  # not granted, for that model, to organisations in the European Union


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What is true of a model wherever it is served; sizes in billions of parameters, context in tokens."""

    name: str
    base: str | None = None  # the canonical name of the model it was tuned from
    family: str | None = None
    generation: str | None = None
    size: float | None = None
    active: float | None = None  # used for one token
    context: int | None = None
    capabilities: frozenset[str] = frozenset()
    languages: frozenset[str] = frozenset()  # ISO 639-1 codes; empty: unknown
    image_languages: frozenset[str] = frozenset()  # those in which it speaks of images, where these are fewer
    modalities: frozenset[str] = frozenset({"text"})  # what it takes
    licences: tuple[LicenceTerms, ...] = ()  # all of them hold
    successor: str | None = None  # the policy's word: who takes its place when it is gone
    replacement: str | None = None  # what its hosts name instead: to be shown, never followed
    licence_header: str | None = None  # what answers say of its licence; None: nothing

    @property
    def licence(self) -> str | None:
        """The ids of its licences in one text."""
        return " AND ".join(terms.id for terms in self.licences) or None
