"""Fits a file's data into the schema: each misfit becomes a problem, and the rest is kept to be checked too."""

import copy
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.nearest import did_you_mean
from gateway.config.problems import Path, clean
from gateway.config.report import Report
from gateway.config.scalars import keys_of
from gateway.config.schema import PolicyFile
from gateway.config.secrets import secret
from gateway.config.variables import Unexpanded

ROUNDS = 50  # of cutting away what does not fit; each cuts at least one key
WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "dict_type": "a mapping (`name: value`)",
    "model_type": "a mapping (`name: value`)",
    "list_type": "a list (`[a, b]`)",
}
SIZES = frozenset({"size", "active", "at_least", "at_most"})  # keys whose values are sizes of models
YES_NO = frozenset({"yes", "no", "on", "off", "y", "n"})
Parts = dict[Any, Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Shaped:
    """What of the file fits the schema, and what was cut away."""

    file: PolicyFile
    routes: tuple[int, ...]  # index of each route in the text
    touched: frozenset[Path]  # all that had something cut away, or was
    incomplete: frozenset[str]  # sections that lost an entry, or the name or models of one

    def partial(self) -> "Shaped":
        """The same, when not all of the policy was read: no section is known to be complete."""
        return replace(self, incomplete=frozenset(PolicyFile.model_fields))

    def whole(self, path: Path) -> bool:
        """Whether nothing at or below a path was cut away."""
        return path not in self.touched

    def complete(self, section: str) -> bool:
        """Whether no entry of a section, and none of its name or models, was cut away."""
        return section not in self.incomplete


def shaped(file: PolicyFile, routes: list[int], cut: set[Path]) -> Shaped:
    """A file that fits, after some was cut away."""
    touched = {path[:end] for path in cut for end in range(len(path) + 1)}
    incomplete = {str(path[0]) for path in cut if len(path) <= 2 or (len(path) <= 4 and path[2] in ("name", "models"))}
    return Shaped(file, tuple(routes), frozenset(touched), frozenset(incomplete))


def shape(data: object, report: Report) -> Shaped | None:
    """The file as far as it fits; None when too little does. What does not fit goes to the report."""
    if not isinstance(data, dict):
        message = f"A policy is a mapping of `version`, `backends`, `routes`..., and {described(data)}."
        report.add("LG012", (), message)
        return None
    return Fitting(copy.deepcopy(data), report).fit()


class Fitting:
    """Validates, cuts away what does not fit, and validates again."""

    def __init__(self, data: dict[Any, Any], report: Report) -> None:
        self.data = data
        self.report = report
        self.cut: set[Path] = set()
        routes = data.get("routes")
        self.routes = list(range(len(routes))) if isinstance(routes, list) else []

    def fit(self) -> Shaped | None:
        """What fits; only the first round's misfits are the file's own, later ones come from the cutting."""
        for round in range(ROUNDS):
            try:
                return shaped(PolicyFile.model_validate(self.data), self.routes, self.cut)
            except ValidationError as exc:
                errors = exc.errors(include_url=False)
            if round == 0:
                for error in errors:
                    tell(self.data, error, self.original(error), self.report)
            if not self.prune(errors):
                break
        if not self.report.failed():
            message = "Too little of this draft is known to check it. Write `version` and `backends` out."
            self.report.add("LG013", (), message)
        return None

    def original(self, error: ErrorDetails) -> Path:
        """The path of an error in the text."""
        path = tuple(part for part in error["loc"] if part != "[key]")
        if path[:1] == ("routes",) and len(path) > 1 and isinstance(path[1], int):
            return ("routes", self.routes[path[1]], *path[2:])
        return path

    def prune(self, errors: list[ErrorDetails]) -> bool:
        """Cut away what the errors are about; False when there is nothing left to cut."""
        targets = {target(error): self.original(error) for error in errors}
        done = False
        if any(error["loc"] == ("version",) for error in errors):
            self.data["version"], done = 1, True
        for path in sorted(targets, key=order, reverse=True):
            if path and path != ("version",) and remove(self.data, path):
                done = True
                self.cut.add(targets[path][: len(path)])
                if path[0] == "routes" and len(path) == 2 and isinstance(path[1], int):
                    del self.routes[path[1]]
        return done


def order(path: Path) -> tuple[tuple[bool, int, str], ...]:
    """A key to sort paths of names and indexes."""
    return tuple((isinstance(part, str), part if isinstance(part, int) else 0, str(part)) for part in path)


def target(error: ErrorDetails) -> Path:
    """What to cut for an error: a key, a whole route, or for something missing that which lacks it."""
    path = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "missing":
        path = path[:-1]
    while path and isinstance(path[-1], int) and not (path[0] == "routes" and len(path) == 2):
        path = path[:-1]
    return path


def remove(data: Parts, path: Path) -> bool:
    """Delete what is at a path; False when it is not there."""
    parent: Any = data
    for part in path[:-1]:
        parent = step(parent, part)
    if step(parent, path[-1]) is None and not (isinstance(parent, dict) and path[-1] in parent):
        return False
    del parent[path[-1]]
    return True


def step(parent: object, part: str | int) -> object:
    """What a mapping or list holds at a key or index."""
    if isinstance(parent, dict):
        return parent.get(part)
    if isinstance(parent, list) and isinstance(part, int) and part < len(parent):
        return parent[part]
    return None


def tell(data: Parts, error: ErrorDetails, path: Path, report: Report) -> None:
    """One misfit as a problem."""
    kind = error["type"]
    if error["input"] is None and report.told(path):
        return  # why it has no value
    if kind == "extra_forbidden":
        unknown_key(data, error, path, report)
    elif isinstance(error["input"], Unexpanded):
        report.add(
            "LG027", path, f"{report.spell(path)} comes from a variable, which is not read in a draft; it is left out."
        )
    elif kind == "missing":
        message = f"{capital(report.spell(path[:-1]))} has no `{path[-1]}`, which it needs. Add it."
        report.add("LG013", path[:-1], message, key=True)
    elif kind in WANTED:
        wrong_type(error, path, report)
    else:
        not_allowed(error, path, report)


def unknown_key(data: Parts, error: ErrorDetails, path: Path, report: Report) -> None:
    """A key that its mapping does not have; maybe it is misspelt."""
    key, parent = str(path[-1]), report.spell(path[:-1])
    fields = fields_at(PolicyFile, path[:-1])
    hint = did_you_mean(key, fields)
    message = f"There is no key `{clean(key)}` in {parent}. It takes {', '.join(fields)}."
    report.add("LG010", path, message, hint, key=True)


def fields_at(model: type[BaseModel], path: Path) -> list[str]:
    """The keys that the schema has at a path."""
    for part in path:
        if isinstance(part, int):
            continue
        info = keys_of(model).get(part)
        # A key that is no field is a name in a mapping of such models, which we are already at.
        model = (model if info is None else inner(info.annotation)) or model
    return list(keys_of(model))


def inner(annotation: object) -> type[BaseModel] | None:
    """The model that an annotation is, holds or lists."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (inner(part) for part in getattr(annotation, "__args__", ()))
    return next((model for model in found if model is not None), None)


def wrong_type(error: ErrorDetails, path: Path, report: Report) -> None:
    """A value of another type than wanted."""
    value, wanted = error["input"], WANTED[error["type"]]
    shown = "" if secret(path) else f": {described(value)}"
    report.add(
        "LG012", path, f"{capital(report.spell(path))} wants {wanted}{shown}.", cure(error["type"], value, secret(path))
    )


def cure(kind: str, value: object, discreet: bool) -> str:
    """How to write it, where the mistake is a known one."""
    if kind == "string_type" and isinstance(value, bool | int | float):
        return (
            "put it in quotes to make it text" if discreet else f'write "{written(value)}", in quotes, to make it text'
        )
    if kind == "bool_type" and str(value).lower() in YES_NO:
        return "YAML 1.2 has no yes and no: write true or false"
    if kind == "list_type" and isinstance(value, str):
        return f"write [{clean(value)}]"
    if kind == "model_type" and value is None:
        return "write {} when there is nothing to say"
    return ""


def not_allowed(error: ErrorDetails, path: Path, report: Report) -> None:
    """A value of the right type that is out of range, malformed or no word of the language."""
    kind, context, value = error["type"], error.get("ctx", {}), error["input"]
    shown = "" if secret(path) or isinstance(value, dict | list) else f": {described(value)}"
    words = [str(word) for word in context.get("words", [])]
    hint = ""
    if kind == "literal_error":
        words = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
        wanted = words[0] if len(words) == 1 else f"one of {', '.join(words)}"
    elif kind == "string_pattern_mismatch":
        wanted = "a name of letters, digits, `.`, `_` and `-` that begins with a letter or digit"
    else:
        wanted = error["msg"][0].lower() + error["msg"][1:]
    if isinstance(value, str) and words:
        hint = did_you_mean(value, words)
    elif kind == "unit":
        hint = unit_hint(value, "b" if path[-1] in SIZES else "s")
    elif kind == "share":
        hint = share_hint(value)
    code = "LG015" if kind in ("unit", "precision", "share") else "LG014"
    verb = "" if wanted.startswith(("input should", "value should", "list should", "dictionary should")) else "wants "
    on_key = error["loc"][-1:] == ("[key]",)
    report.add(code, path, f"{capital(report.spell(path))} {verb}{plain(wanted)}{shown}.", hint, key=on_key)


def plain(wanted: str) -> str:
    """Pydantic's words for a limit, in ours."""
    for old in ("input should be ", "value should have ", "list should have ", "dictionary should have "):
        wanted = wanted.replace(old, "should be " if old.endswith("be ") else "should have ")
    return wanted.partition(" after validation")[0]


def unit_hint(value: object, unit: str) -> str:
    """The unit that a bare number lacks."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"write the unit: {value}{unit}"
    return "a clock time is not a duration" if isinstance(value, str) and ":" in value else ""


def share_hint(value: object) -> str:
    """The sign that a number above one lacks."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"write the sign: {value}%" if number and 1 < float(str(value)) <= 100 else ""


def described(value: object) -> str:
    """A value in a sentence."""
    if value is None:
        return "it has no value"
    if isinstance(value, dict | list):
        return "it is a mapping" if isinstance(value, dict) else "it is a list"
    return f"it is `{written(value)}`"


def written(value: object) -> str:
    """A scalar as YAML has it."""
    return str(value).lower() if isinstance(value, bool) else clean(str(value), 60)


def capital(text: str) -> str:
    """`the file` at the start of a sentence."""
    return text.replace("the file", "The file", 1) if text == "the file" else text
