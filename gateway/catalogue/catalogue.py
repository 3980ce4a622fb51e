"""Reads the packaged catalogue and answers: which model is meant, who serves it, how is it spelled."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from difflib import SequenceMatcher
from importlib.resources import files
from types import MappingProxyType
from typing import Self

import orjson

from gateway.catalogue import spelling as spellings
from gateway.catalogue.licence import Licence
from gateway.types import Json, Price

CLOSE = 0.6  # likeness from which a spelling is worth suggesting; difflib's own default


@dataclass(frozen=True, slots=True)
class Host:
    """One id under which a provider serves a model; `context` and `max_output` in tokens, None: the server decides."""

    id: str
    price: Price | None
    context: int | None
    max_output: int | None
    precision: str | None
    retires: date | None
    replacement: str | None = None  # canonical name of what the provider names instead


@dataclass(frozen=True, slots=True)
class Model:
    """One model; `size` (all) and `active` (used for one token) in billions of parameters, `context` in tokens."""

    name: str
    family: str
    generation: str
    size: float | None
    active: float | None
    context: int | None
    capabilities: frozenset[str]
    licences: tuple[str, ...]  # all of them hold: its own, and that of the weights it was made from
    hosts: Mapping[str, tuple[Host, ...]]
    modalities: frozenset[str] = frozenset({"text"})  # what it takes
    languages: frozenset[str] = frozenset()  # ISO 639-1 codes; empty: its maker names none
    image_languages: frozenset[str] = frozenset()  # those in which it speaks of images, where these are fewer
    base: str | None = None  # the model that it was tuned from
    replacement: str | None = None  # what all hosts that say so name instead; a fact, no instruction

    @property
    def multimodal(self) -> bool:
        """Whether it takes images besides text."""
        return "image" in self.modalities


class Catalogue:
    """All models we know, by canonical name and by any spelling in use."""

    def __init__(self, data: Json) -> None:
        self.models: tuple[Model, ...] = tuple(_model(entry) for entry in data["models"])
        self.licences: tuple[Licence, ...] = tuple(_licence(entry) for entry in data["licences"])
        self._by_licence = {licence.id: licence for licence in self.licences}
        self._by_name = {model.name: model for model in self.models}
        self._names: dict[str, str] = data["spellings"]
        self._precisions: dict[str, str] = data["precisions"]
        self._bases = frozenset[str](data["bases"])

    @classmethod
    def load(cls) -> Self:
        """The catalogue that is packaged with the gateway."""
        return cls(orjson.loads(files("gateway.catalogue").joinpath("models.json").read_bytes()))

    def get(self, name: str) -> Model | None:
        """The model of that canonical name."""
        return self._by_name.get(name)

    def licence(self, id: str) -> Licence | None:
        """What the licence of that id (one of a model's `licences`) asks."""
        return self._by_licence.get(id)

    def resolve(self, spelling: str) -> Model | None:
        """The model that any spelling means (tag, path, provider id, file name); None for untuned base models."""
        exact = self._names.get(spelling.strip().lower())
        if exact is None and not self._is_base(spelling):
            exact = self._names.get(spellings.key(spelling))
        return None if exact is None else self._by_name[exact]

    def precision_of(self, spelling: str) -> str | None:
        """The precision a spelling names or its provider documents, in lower case: `q4_k_m`, `fp8`, `int4`..."""
        default = spelling.strip().lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
        return spellings.precision(spelling) or self._precisions.get(default.removesuffix(":latest"))

    def nearest(self, name: str, among: Iterable[str], limit: int = 3) -> list[str]:
        """The spellings most like a name, best first: other names of the same model, then the closest in letters."""
        meant = self.resolve(name)
        scored = [(self._likeness(name, meant, other), other) for other in dict.fromkeys(among)]
        close = sorted((pair for pair in scored if pair[0] >= CLOSE), key=lambda pair: (-pair[0], pair[1]))
        return [other for _, other in close[:limit]]

    def host(self, model: Model, kind: str, today: date) -> Host | None:
        """A provider kind's preferred host that is not retired on that day; else the last one to go."""
        hosts = model.hosts.get(kind, ())
        serving = (host for host in hosts if host.retires is None or host.retires > today)
        return next(serving, None) or max(hosts, key=lambda host: host.retires or date.max, default=None)

    def _likeness(self, name: str, meant: Model | None, other: str) -> float:
        """From 0 (nothing in common) to 1; higher when one name's words are all in the other, 2 for the same model."""
        if meant is not None and self.resolve(other) is meant:
            return 2.0
        ours, theirs = spellings.key(name), spellings.key(other)
        likeness = max(_ratio(name.lower(), other.lower()), _ratio(ours, theirs))
        within = bool(ours) and set(ours.split()) <= set(theirs.split())
        return likeness + 1 if within else likeness

    def _is_base(self, spelling: str) -> bool:
        """Whether a maker's path or file names an untuned model, which must not answer in its tuned sibling's place."""
        return ("/" in spelling or spelling.lower().endswith(".gguf")) and spellings.bare(spelling) in self._bases


def _ratio(left: str, right: str) -> float:
    # Quadratic, and the text is a caller's: look at the start only.
    return SequenceMatcher(None, left[:80], right[:80], autojunk=False).ratio() if left and right else 0.0


def _model(entry: Json) -> Model:
    hosts = {kind: tuple(_host(row) for row in rows) for kind, rows in entry["hosts"].items()}
    return Model(
        name=entry["name"],
        family=entry["family"],
        generation=entry["generation"],
        size=entry.get("size"),
        active=entry.get("active"),
        context=entry.get("context"),
        capabilities=frozenset(entry["capabilities"]),
        licences=tuple(entry["licences"]),
        hosts=MappingProxyType(hosts),
        modalities=frozenset(entry["input"]),
        languages=frozenset(entry.get("languages", ())),
        image_languages=frozenset(entry.get("image_languages", ())),
        base=entry.get("base"),
        replacement=entry.get("replacement"),
    )


def _licence(entry: Json) -> Licence:
    released = entry.get("released")
    facts = {**entry, "remarks": tuple(entry["remarks"])}
    return Licence(**{**facts, "released": None if released is None else date.fromisoformat(released)})


def _host(row: Json) -> Host:
    price, retires = row.get("price"), row.get("retires")
    return Host(
        id=row["id"],
        price=None if price is None else Price(price["input"], price["output"], price.get("cached_input")),
        context=row.get("context"),
        max_output=row.get("max_output"),
        precision=row.get("precision"),
        retires=None if retires is None else date.fromisoformat(retires),
        replacement=row.get("replacement"),
    )
