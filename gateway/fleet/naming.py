"""From what a server lists to models of ours: canonical names, known facts, nothing that does not chat."""

import re
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple

from gateway.catalogue import Catalogue, Host, Model
from gateway.fleet.found import FoundModel

MOST_MODELS = 200  # of one server
LARGEST = 1e5  # billions of parameters
LONGEST_ID = 200  # characters
# An id goes into a policy file, where these would be filled in with what the environment or a file holds.
REFERENCE = re.compile(r"\$|^(?:file:|env\.|os\.environ/)")
UNSAFE = re.compile(r"[^a-z0-9@._:/+-]+")
LONGEST_NAME = 128  # characters of a model's name in a policy
# What the ids of models that answer no chat have in common, where the catalogue does not know them.
SILENT = re.compile(r"embed|rerank|guard|whisper|(?<![a-z])tts|bert|bge-|minilm|diffusion|flux|imagen|moderation")


class Listed(NamedTuple):
    """A model as a server lists it; `also` are other spellings, `context` in tokens, `size` in billions."""

    id: str
    also: tuple[str, ...] = ()
    precision: str | None = None
    context: int | None = None
    size: float | None = None
    capabilities: tuple[str, ...] = ()


class Picked(NamedTuple):
    """The models that can be used, one for each canonical name, and notes on the others."""

    models: tuple[FoundModel, ...]
    notes: tuple[str, ...] = ()


class Naming:
    """Names the models of one provider kind, on one day."""

    def __init__(self, catalogue: Catalogue, kind: str, today: date) -> None:
        self.catalogue = catalogue
        self.kind = kind
        self.today = today

    def pick(self, backend: str, listed: Iterable[Listed]) -> Picked:
        """The models of a backend that chat; of several ids for one model the catalogue's own, else the first."""
        rows = list(listed)
        models: dict[str, FoundModel] = {}
        notes = []
        for row in rows:
            found = self.named(row) if usable_id(row.id) else None
            if found is None:
                continue
            held = models.setdefault(found.canonical, found)
            if self.preferred(found) and not self.preferred(held):
                models[found.canonical], found = found, held
            if found.precision != models[found.canonical].precision:
                used = models[found.canonical].id
                notes.append(f"{backend} serves {found.canonical} twice: `{used}` is used, `{found.id}` is not.")
        kept = few(models.values())
        if dropped := sum(not usable_id(row.id) for row in rows) + len(models) - len(kept):
            notes.append(f"Models of {backend} left out: {dropped}; there are too many, or their ids are of no use.")
        return Picked(tuple(kept), tuple(notes))

    def named(self, row: Listed) -> FoundModel | None:
        """A listed model with what the catalogue knows of it; None when it does not chat."""
        model = self.model(row)
        if silent(row.id) if model is None else not chats(model):
            return None
        host = self.host(row.id, model)
        return FoundModel(
            canonical=model.name if model else safe(row.id),
            id=row.id,
            precision=self.precision(row, host),
            context=context(row, host, model),
            price=host.price if host else None,
            retires=host.retires if host else None,
            size=model.size if model else size(row),
            known=model is not None,
            capabilities=() if model else row.capabilities,
        )

    def model(self, row: Listed) -> Model | None:
        """The catalogue's model that a row means, by its id or else by another spelling."""
        spellings = (row.id, *row.also)
        return next((model for one in spellings if (model := self.catalogue.resolve(one)) is not None), None)

    def host(self, id: str, model: Model | None) -> Host | None:
        """The catalogue's entry under exactly this id."""
        hosts = model.hosts.get(self.kind, ()) if model else ()
        return next((host for host in hosts if host.id.lower() == id.lower()), None)

    def precision(self, row: Listed, host: Host | None) -> str | None:
        """The precision: as the server says, else as a spelling says, else as the catalogue says."""
        said = (row.precision, row.id, *row.also)
        found = (precision for one in said if one and (precision := self.catalogue.precision_of(one)) is not None)
        return next(found, None) or (host.precision if host else None)

    def preferred(self, found: FoundModel) -> bool:
        """Whether the id is the one that the catalogue would take."""
        model = self.catalogue.get(found.canonical)
        host = self.catalogue.host(model, self.kind, self.today) if model else None
        return host is not None and host.id.lower() == found.id.lower()

    def expected(self) -> tuple[FoundModel, ...]:
        """The Llama models that the catalogue says this kind serves today."""
        found = []
        for model in self.catalogue.models:
            host = self.catalogue.host(model, self.kind, self.today)
            gone = host is None or (host.retires is not None and host.retires <= self.today)
            if host is not None and not gone and llama(model):
                found.append(self.named(Listed(host.id)))
        return tuple(model for model in found if model is not None)

    def llamas(self, models: Iterable[FoundModel]) -> tuple[FoundModel, ...]:
        """Those that the catalogue knows as Llama models."""
        pairs = ((found, self.catalogue.get(found.canonical)) for found in models)
        return tuple(found for found, model in pairs if model is not None and llama(model))


def few(models: Iterable[FoundModel]) -> list[FoundModel]:
    """The models in their order; of too many, those that the catalogue knows come first."""
    found = list(models)
    return found if len(found) <= MOST_MODELS else sorted(found, key=lambda model: not model.known)[:MOST_MODELS]


def chats(model: Model) -> bool:
    """Whether a model answers chats; guards only classify them."""
    return not model.family.endswith("guard")


def llama(model: Model) -> bool:
    """Whether a model is a Llama, or made of one, that chats."""
    return "llama" in model.name and chats(model)


def silent(id: str) -> bool:
    """Whether an id of an unknown model says that it answers no chat."""
    return SILENT.search(id.lower()) is not None


def usable_id(id: str) -> bool:
    """Whether an id can stand in a policy file, where it must mean only itself."""
    return 0 < len(id) <= LONGEST_ID and id.isprintable() and not REFERENCE.search(id) and safe(id) != ""


def safe(id: str) -> str:
    """An id as the name of a model that the catalogue does not know: `Qwen/Qwen3-8B` is `qwen/qwen3-8b`."""
    return UNSAFE.sub("-", id.lower()).strip("-._:/+")[:LONGEST_NAME]


def size(row: Listed) -> float | None:
    """Billions of parameters as the server says; None where it cannot mean it."""
    return row.size if row.size is not None and 0 < row.size < LARGEST else None


def context(row: Listed, host: Host | None, model: Model | None) -> int | None:
    """The context window in tokens: as the server says, but never more than the model holds; else the catalogue's."""
    holds = model.context if model else None
    if row.context is None or not 0 < row.context <= 10**9:
        return host.context if host else None
    return row.context if holds is None else min(row.context, holds)
