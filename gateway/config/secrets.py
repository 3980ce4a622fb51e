"""Which parts of a policy file hold credentials, and what to cover of them in a source line."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.config.problems import Path, Place

SECRET = frozenset({"api_key", "key", "headers", "proxy"})
LOOKS_SECRET = re.compile(
    r"api.?k|secret|passw|passphrase|bearer|auth|credential|cookie|private|proxy|headers|access|(?<!_)token$",
    re.IGNORECASE,
)
# Keys of backends and callers whose values are plain; the value of any other key there may be a misspelt credential.
PLAIN = frozenset(
    (
        *(
            "provider",
            "url",
            "location",
            "region",
            "data_collection",
            "slots",
            "models",
            "id",
            "precision",
            "context",
            "max_output",
            "retires",
        ),
        *("capabilities", "price", "input", "output", "cached_input", "limits", "concurrency", "cost", "usd_per_hour"),
        *("queue", "queue_wait", "drain", "max", "seconds"),
        *("timeouts", "connect", "first_token", "idle", "total", "tls", "ca", "cert", "on_disconnect"),
        *("routes", "rpm", "tpm", "usd_per_day", "usd_per_month", "class", "team", "expires", "on_store_failure"),
    )
)
REFERENCE = re.compile(r"\$\{\w+(?::\?[^}]*)?\}|file:/.*")  # names where a secret is, and is none
# User and password of an address, those too that have an `@` or a `/` in them; what is no port begins a password.
USERINFO = re.compile(r"""(?<=://)(?:[^\s/"']+@|[^\s/"'@:\[]*:(?![0-9]{1,5}(?:[/"'\s]|$))[^\s"']*@)""")
QUERY = re.compile(r"""(?<=://)[^\s"'?]+\?(?P<query>[^\s"',}]+)""")
KEY_LINE = re.compile(r"""(?P<indent>[\s\-{]*)["']?(?P<key>[\w.@/-]+)["']?\s*:(?:\s+|$)(?P<value>.*)""")


class Mask(NamedTuple):
    """Columns of one line to cover, from 0, the last one excluded."""

    first: int
    last: int


class Extent(Protocol):
    """Where something begins and ends."""

    @property
    def start(self) -> Place: ...
    @property
    def end(self) -> Place: ...


def secret(path: Path) -> bool:
    """Whether the value at a path may be a credential."""
    names = [part for part in path if isinstance(part, str)]
    if path[:1] in (("backends",), ("callers",)):
        if len(path) == 2:  # a bare value where a mapping belongs
            return True
        inner = [part for part in path[2:] if isinstance(part, str)]
        if inner[:1] == ["models"]:  # the next name is a model's
            inner = inner[2:]
        return any(name not in PLAIN for name in inner)
    return any(name in SECRET or LOOKS_SECRET.search(name) for name in names[2:] or names)


def opaque(text: str) -> bool:
    """Whether a written scalar hides what it stands for, so that it may be shown."""
    return REFERENCE.fullmatch(text.strip("\"' ")) is not None


def structural(
    lines: Sequence[str], keys: Mapping[Path, Extent], values: Mapping[Path, Extent], passed: Iterable[Extent] = ()
) -> dict[int, list[Mask]]:
    """The masks of a file whose structure is known, by line number; what was passed over is covered whole."""
    found: dict[int, list[Mask]] = {}
    parents = {path[:-1] for path in values if path}
    covered = [values[path] for path in values if path and path not in parents and secret(path)]
    # A mapping where a credential belongs: its keys may be the credential.
    covered += [keys[path] for path in keys if path[-2:-1] in (("api_key",), ("key",), ("proxy",))]
    covered += passed
    for extent in covered:
        for number, mask in rows(lines, extent.start, extent.end):
            if not opaque(lines[number - 1][mask.first : mask.last]):
                found.setdefault(number, []).append(mask)
    for number, line in enumerate(lines, 1):
        found.setdefault(number, []).extend(userinfo(line))
    return {number: merge(masks) for number, masks in found.items()}


def rows(lines: Sequence[str], start: Place, end: Place) -> Iterator[tuple[int, Mask]]:
    """The part of each line between two places."""
    for number in range(start.line, min(end.line, len(lines)) + 1):
        first = start.column - 1 if number == start.line else 0
        last = end.column - 1 if number == end.line else len(lines[number - 1])
        if last > first:
            yield number, Mask(first, last)


def masks_by_line(lines: Sequence[str]) -> dict[int, list[Mask]]:
    """Masks from the look of each line alone, for text that is not YAML; covers rather too much."""
    found: dict[int, list[Mask]] = {}
    inside: int | None = None  # indentation of the credential key whose block we are in
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        indent = len(line) - len(line.lstrip())
        pair = KEY_LINE.match(line)
        if inside is not None and indent > inside:
            masks = [Mask(pair.start("value") if pair else indent, len(line))]
        elif hit := suspicious(line):
            masks, inside = [Mask(hit, len(line))], indent
        elif inside is not None and pair is None:
            masks = [Mask(indent, len(line))]
        else:
            masks, inside = userinfo(line), None
        found[number] = merge(masks)
    return found


def suspicious(line: str) -> int:
    """The column behind the first word that announces a credential; 0 when there is none."""
    words = re.finditer(r"[\w.-]+", line)
    for word in words:
        if word[0] in SECRET or LOOKS_SECRET.search(word[0]):
            colon = re.compile(r"""["']?\s*:?\s*""").match(line, word.end())
            return colon.end() if colon else word.end()
    return 0


def userinfo(line: str) -> list[Mask]:
    """User, password and query in the addresses of a line."""
    users = [Mask(*found.span()) for found in USERINFO.finditer(line)]
    return merge([*users, *[Mask(*found.span("query")) for found in QUERY.finditer(line)]])


def merge(masks: list[Mask]) -> list[Mask]:
    """The same masks without overlap, in order."""
    merged: list[Mask] = []
    for mask in sorted(masks):
        if merged and mask.first <= merged[-1].last:
            merged[-1] = Mask(merged[-1].first, max(mask.last, merged[-1].last))
        else:
            merged.append(mask)
    return merged
