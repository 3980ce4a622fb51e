"""What can be wrong with a policy file: one stable code each, with its severity."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

Severity = Literal["error", "warning", "info"]
Path = tuple[str | int, ...]  # keys and indexes from the root of the file to a value


class Place(NamedTuple):
    """Line and column of a character, both from 1."""

    line: int
    column: int


class Spot(NamedTuple):
    """A place in one of the files of a policy, by its index."""

    source: int
    place: Place


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: where, a sentence that says what and what to do, the source line with a caret, a suggestion."""

    code: str
    severity: Severity
    file: str
    line: int
    column: int
    message: str
    excerpt: str = ""
    hint: str = ""


CODES: dict[str, tuple[Severity, str]] = {
    # the text
    "LG001": ("error", "not YAML"),
    "LG002": ("error", "not UTF-8, or a control character"),
    "LG003": ("error", "empty file"),
    "LG004": ("error", "too large, too deep, or too many aliases"),
    "LG005": ("error", "a tag"),
    "LG006": ("error", "duplicate key"),
    "LG007": ("error", "a key that is not text, or a second document"),
    # the shape
    "LG010": ("error", "unknown key"),
    "LG012": ("error", "wrong type"),
    "LG013": ("error", "missing key"),
    "LG014": ("error", "value not allowed"),
    "LG015": ("error", "not a duration, size, share or precision"),
    # variables and files
    "LG020": ("error", "variable not set"),
    "LG021": ("error", "required variable not set"),
    "LG022": ("error", "malformed variable"),
    "LG023": ("error", "another gateway's spelling of a variable"),
    "LG024": ("error", "file not readable"),
    "LG025": ("info", "backend switched off"),
    "LG026": ("warning", "every backend is switched off"),
    "LG027": ("info", "value not known in a draft"),
    "LG028": ("error", "a file included twice, in a circle, or by a variable"),
    "LG029": ("error", "more than half of a file is gone"),
    # backends
    "LG030": ("error", "unknown provider kind"),
    "LG031": ("error", "missing url"),
    "LG032": ("error", "bad url"),
    "LG033": ("error", "link-local or metadata address"),
    "LG034": ("error", "not a header"),
    "LG035": ("warning", "unused backend"),
    "LG036": ("error", "proxy or tls on a kind that cannot honour them"),
    "LG037": ("error", "not a region of that provider"),
    # models and deployments
    "LG040": ("error", "unknown model"),
    "LG041": ("warning", "undeclared model"),
    "LG042": ("error", "unknown base model"),
    "LG043": ("error", "no id at that provider"),
    "LG044": ("warning", "price unknown"),
    "LG045": ("warning", "retired"),
    "LG046": ("warning", "retires soon"),
    "LG047": ("error", "unknown successor or substitute"),
    "LG048": ("error", "successors in a circle"),
    "LG049": ("warning", "licence not granted in the EU"),
    # routes
    "LG050": ("error", "unknown model in a route"),
    "LG051": ("warning", "a route's model that no backend serves"),
    "LG052": ("error", "route without a deployment"),
    "LG053": ("error", "duplicate route name"),
    "LG054": ("warning", "unreachable route"),
    "LG055": ("error", "unknown backend in prefer"),
    "LG056": ("error", "constraints exclude every deployment"),
    "LG057": ("warning", "every deployment of a route is switched off"),
    "LG058": ("error", "empty range"),
    "LG059": ("error", "unknown licence in a route"),
    # matches of routes
    "LG064": ("error", "an expression that cannot be used"),
    "LG065": ("error", "no detector of languages"),
    # choices of a route
    "LG070": ("error", "a split that splits nothing"),
    "LG071": ("error", "two parts of a split with one name"),
    "LG072": ("warning", "a part of a split without requests"),
    "LG073": ("error", "a burst rule that cannot work"),
    "LG074": ("warning", "nobody to escalate to"),
    "LG075": ("warning", "requests that should not leave may leave"),
    "LG076": ("warning", "constraints exclude everybody that a rule adds"),
    "LG077": ("warning", "nobody can answer what a route takes"),
    "LG078": ("warning", "a successor or substitute that no backend serves"),
    "LG079": ("warning", "the language of requests is not looked at"),
    "LG080": ("warning", "a hedge that does nothing"),
    "LG082": ("warning", "a semantic cache that nobody makes vectors for"),
    # callers
    "LG060": ("warning", "short caller key"),
    "LG061": ("error", "unknown route of a caller"),
    "LG062": ("error", "two callers with one key"),
    "LG063": ("error", "the last callers are gone, and nobody has said so"),
    "LG066": ("error", "unknown team of a caller"),
    "LG067": ("error", "unknown model of a caller"),
    "LG068": ("warning", "a caller's key has expired"),
    "LG069": ("warning", "a limit that never binds"),
    # the gateway itself
    "LG090": ("error", "a defect of the gateway"),
}


def spell(path: Path) -> str:
    """A path as people write it: `routes[2].match`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return clean(text.lstrip(".")) or "the file"


def clean(text: str, limit: int = 80) -> str:
    """Text from a file, fit for one line of a terminal."""
    printable = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return printable if len(printable) <= limit else f"{printable[: limit - 3]}..."
