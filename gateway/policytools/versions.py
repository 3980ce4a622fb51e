"""A policy as it is compared with another: what it says, what it means, and how it was written."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from gateway.catalogue import Catalogue
from gateway.config.document import parse
from gateway.config.loading import Loaded, read
from gateway.config.problems import Path, Problem, clean
from gateway.config.report import Report
from gateway.config.schema import PolicyFile
from gateway.config.secrets import LOOKS_SECRET, secret
from gateway.config.shape import step
from gateway.policytools.sealed import opener, sealed
from gateway.routing.policy import Policy

HIDDEN = "***"


class Unreadable(Exception):
    """A policy with errors, so that it cannot be compared; `problems` says which."""

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        super().__init__(f"{name} has errors")
        self.problems = problems


@dataclass(frozen=True, slots=True)
class Version:
    """One of the two; `data` is as written, with no variable filled in."""

    name: str
    spec: PolicyFile
    policy: Policy
    data: object

    def written(self, path: Path) -> str:
        """What stands at a path, in a line of YAML; `nothing` when nothing does, and never a credential."""
        value: object = self.data
        for part in path:
            value = step(value, part)
        if value is None:
            return "nothing"
        return HIDDEN if hidden(path) else flow(value, path)


def version(text: bytes, name: str, env: Mapping[str, str] | None, catalogue: Catalogue, today: date) -> Version:
    """A policy to compare; raises Unreadable.

    Every backend counts as switched on, whether its credential is here or not, since another machine may have it.
    Without `env` it is a draft, and no variable is read.
    """
    sealed_text, filled = sealed(text, {key: value for key, value in (env or {}).items() if value})
    opening = opener(filled)
    loaded = read(sealed_text, name, filled, catalogue, today, expand=env is not None, opener=opening)
    if loaded.policy is None or loaded.spec is None:
        raise Unreadable(name, tuple(problem for problem in loaded.problems if problem.severity == "error"))
    return Version(name, loaded.spec, loaded.policy, as_written([text, *included(loaded)]))


def included(loaded: Loaded) -> Iterator[bytes]:
    """The texts of the files that a policy includes."""
    return (loaded.texts[file] for file in loaded.files[1:] if file in loaded.texts)


def as_written(texts: Iterable[bytes]) -> dict[str, object]:
    """What the files of a policy say, put together: names of a section side by side, routes one after another."""
    found: dict[str, object] = {}
    for text in texts:
        document = parse(text, Report(""))
        data = document.data if document is not None and isinstance(document.data, dict) else {}
        for section, value in data.items():
            known = found.get(section)
            if isinstance(known, dict) and isinstance(value, dict):
                found[section] = {**known, **value}
            elif isinstance(known, list) and isinstance(value, list):
                found[section] = [*known, *value]
            else:
                found.setdefault(section, value)
    return found


def hidden(path: Path) -> bool:
    """Whether what stands at a path may be a credential; headers that a route matches on are none, by most names."""
    if path[:1] in (("backends",), ("callers",)):
        return secret(path)
    return bool(path) and LOOKS_SECRET.search(str(path[-1])) is not None and path[-1] != "headers"


def flow(value: object, path: Path = ()) -> str:
    """A value in a line of YAML, its credentials hidden."""
    if isinstance(value, dict):
        inner = (
            f"{name}: {HIDDEN if hidden((*path, name)) and not nested(child) else flow(child, (*path, name))}"
            for name, child in value.items()
        )
        return f"{{{', '.join(inner)}}}"
    if isinstance(value, list):
        return f"[{', '.join(flow(child, path) for child in value)}]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    return clean(str(value), 120)


def nested(value: object) -> bool:
    """Whether a value holds others."""
    return isinstance(value, dict | list)
