"""What a change of a policy means: sections, entries and fields that differ, not lines. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import BaseModel

from gateway.config.problems import Path
from gateway.config.schema import PolicyFile, RouteSpec
from gateway.policytools.decision import everyone
from gateway.policytools.privacy import Leak, privacy
from gateway.policytools.versions import Version, hidden
from gateway.types import Deployment, Json, Price

Action = Literal["added", "removed", "changed", "moved"]
NAMED = ("backends", "models", "callers", "teams")  # sections that hold entries by name
FACTS = ("id", "location", "region", "precision", "context", "max_output", "size", "capabilities", "price", "retires")
OWN = frozenset({"name"})  # of a route: what it is known by
SERVED = frozenset({"models"})  # of a backend: told by its deployments


@dataclass(frozen=True, slots=True)
class Change:
    """One difference: `field` is a path within the entry, empty when it is the entry itself."""

    section: str
    name: str
    action: Action
    field: str
    before: str
    after: str
    text: str


@dataclass(frozen=True, slots=True)
class Difference:
    """All that differs, and who may now leave the house or no longer does."""

    old: str
    new: str
    changes: tuple[Change, ...]
    privacy: tuple[Leak, ...]

    def __bool__(self) -> bool:
        return bool(self.changes or self.privacy)


def difference(old: Version, new: Version) -> Difference:
    """The difference of two versions; none for comments, layout, or another way to write the same."""
    changes = (*routes(old, new), *named(old, new), *deployments(old, new), *single(old, new))
    return Difference(old.name, new.name, changes, tuple(privacy(old, new)))


def difference_json(found: Difference) -> Json:
    """A difference as JSON-ready values."""
    return asdict(found)


def routes(old: Version, new: Version) -> Iterator[Change]:
    """Routes that came, went, changed or moved."""
    before = {route.name: index for index, route in enumerate(old.spec.routes)}
    after = {route.name: index for index, route in enumerate(new.spec.routes)}
    for name in (name for name in before if name not in after):
        text = f"route '{name}' is gone: {summary(old.spec.routes[before[name]])}"
        yield Change("routes", name, "removed", "", str(before[name] + 1), "", text)
    for name, index in after.items():
        if name not in before:
            text = f"route '{name}' is new, in place {index + 1}: {summary(new.spec.routes[index])}"
            yield Change("routes", name, "added", "", "", str(index + 1), text)
        else:
            places = (("routes", before[name]), ("routes", index))
            one, other = old.spec.routes[before[name]], new.spec.routes[index]
            yield from entry("routes", name, one, other, places, (old, new), OWN)
    yield from moved([name for name in before if name in after], [name for name in after if name in before])


def summary(route: RouteSpec) -> str:
    """A route in a few words."""
    asked = f"asked as {', '.join(route.match.model)}; " if route.match.model else ""
    return f"{asked}models {', '.join(route.models)}"


def moved(before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    """The order of the routes that both have."""
    if list(before) != list(after):
        one, other = ", ".join(before), ", ".join(after)
        text = f"routes are tried in another order: {one} -> {other}"
        yield Change("routes", "", "moved", "", one, other, text)


def named(old: Version, new: Version) -> Iterator[Change]:
    """Entries of the sections that hold some by name."""
    for section in NAMED:
        before: Mapping[str, BaseModel] = getattr(old.spec, section) or {}
        after: Mapping[str, BaseModel] = getattr(new.spec, section) or {}
        word = section.removesuffix("s")
        for name in dict.fromkeys((*before, *after)):
            if name not in after:
                yield Change(section, name, "removed", "", "", "", f"{word} '{name}' is gone")
            elif name not in before:
                yield Change(section, name, "added", "", "", "", f"{word} '{name}' is new")
            else:
                path: Path = (section, name)
                left_out = SERVED if section == "backends" else frozenset[str]()
                yield from entry(section, name, before[name], after[name], (path, path), (old, new), left_out)


def single(old: Version, new: Version) -> Iterator[Change]:
    """Sections that are one entry."""
    for section in PolicyFile.model_fields:
        if section not in (*NAMED, "routes", "version"):
            one, other = getattr(old.spec, section), getattr(new.spec, section)
            yield from entry(section, "", one, other, ((section,), (section,)), (old, new), frozenset())


def entry(
    section: str,
    name: str,
    one: object,
    other: object,
    places: tuple[Path, Path],
    versions: tuple[Version, Version],
    left_out: frozenset[str],
) -> Iterator[Change]:
    """The fields in which an entry differs, in words."""
    subject = f"{section.removesuffix('s')} '{name}'" if name else section
    for path in differing(one, other):
        if path[:1] and path[0] in left_out:
            continue
        field = ".".join(str(part) for part in path)
        before, after = (version.written((*place, *path)) for version, place in zip(versions, places, strict=True))
        if hidden((*places[0], *path)):
            text = f"{subject}: {field} changed (it may hold a credential, so it is not shown)"
        else:
            text = f"{subject}: {field} was {before}, is {after}"
        yield Change(section, name, "changed", field, before, after, text)


def differing(one: object, other: object, path: Path = ()) -> Iterator[Path]:
    """The paths below which two values of the schema differ, as deep as both have them."""
    if isinstance(one, BaseModel) and type(one) is type(other):
        for field, info in type(one).model_fields.items():
            yield from differing(getattr(one, field), getattr(other, field), (*path, info.alias or field))
    elif isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys((*one, *other)):
            if name in one and name in other:
                yield from differing(one[name], other[name], (*path, name))
            else:
                yield (*path, name)
    elif one != other:
        yield path


def deployments(old: Version, new: Version) -> Iterator[Change]:
    """Deployments that came, went, or are another in a fact that routing reads."""
    before, after = everyone(old.policy), everyone(new.policy)
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            yield Change("deployments", name, "removed", "", "", "", f"deployment '{name}' is gone")
        elif name not in before:
            yield Change("deployments", name, "added", "", "", "", f"deployment '{name}' is new: {facts(after[name])}")
        else:
            yield from other_facts(name, before[name], after[name])


def other_facts(name: str, one: Deployment, other: Deployment) -> Iterator[Change]:
    """The facts in which a deployment differs."""
    for fact in FACTS:
        if getattr(one, fact) != getattr(other, fact):
            before, after = shown(getattr(one, fact)), shown(getattr(other, fact))
            text = f"deployment '{name}': {fact} was {before}, is {after}"
            yield Change("deployments", name, "changed", fact, before, after, text)


def facts(one: Deployment) -> str:
    """A deployment in a few words."""
    price = "" if one.price is None else f", {shown(one.price)}"
    return f"{one.location}{price}"


def shown(value: object) -> str:
    """A fact in words."""
    if value is None:
        return "unknown"
    if isinstance(value, Price):
        cached = "" if value.cached_input is None else f" ({value.cached_input:g} cached)"
        return f"{value.input:g}{cached} in, {value.output:g} out (USD per million tokens)"
    if isinstance(value, frozenset):
        return ", ".join(sorted(value)) or "nothing"
    return f"{value:g}" if isinstance(value, float) else str(value)
