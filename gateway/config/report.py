"""Collects findings while a policy is read; gives each its file, its place and a source line without secrets."""

import re
from bisect import bisect
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from gateway.config.problems import CODES, Path, Place, Problem, Spot, clean, spell
from gateway.config.secrets import Mask, masks_by_line

HIDE_FROM = 6  # characters
MOST = 500  # problems of one file; nobody reads more, and a hostile file could have many
MANY = 100  # findings, after which words are no longer guessed
REACH = 1000  # characters of a line, on either side of a column, that an excerpt is cut from
WIDTH = 120  # characters of an excerpt
BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


class Extent(Protocol):
    """Where something begins and ends."""

    @property
    def start(self) -> Place: ...
    @property
    def end(self) -> Place: ...


class Source:
    """A file of the policy: its lines, from which excerpts are cut, and what to mask in each."""

    __slots__ = ("file", "lines", "masks")

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []
        self.masks: dict[int, list[Mask]] = {}


class Finding(NamedTuple):
    """A problem before its excerpt is cut."""

    code: str
    spot: Spot
    message: str
    hint: str


class Report:
    """Everything found in a policy so far, whether it is one file or has others included.

    While files are read, paths are those of the last one that was begun; once they are merged, `origins` tells whose
    a section is, or an entry of it.
    """

    def __init__(self, file: str) -> None:
        self.sources = [Source(file)]
        self.findings: list[Finding] = []
        self.told_spots: set[Spot] = set()
        self.keys: Mapping[Path, Extent] = {}
        self.values: Mapping[Path, Extent] = {}
        self.origins: Mapping[Path, int] = {}  # section, or section and entry -> index of its source
        self.offsets: Mapping[int, int] = {}  # index of a source -> routes of the sources before it
        self.hidden: dict[str, str] = {}  # a value that must not be shown -> what is shown in its place
        self.starts: dict[str, list[str]] = {}  # the first characters of hidden values -> those values

    @property
    def file(self) -> str:
        """The name of the file that includes the others."""
        return self.sources[0].file

    def begin(self, file: str) -> int:
        """One more file is read from here on; returns its index."""
        self.sources.append(Source(file))
        self.keys, self.values = {}, {}
        return len(self.sources) - 1

    @staticmethod
    def split(text: str) -> list[str]:
        """Lines as YAML counts them."""
        return BREAK.split(text)

    def text(self, content: str) -> None:
        """The source, from which excerpts are cut; what looks like a credential is masked until places are known."""
        source = self.sources[-1]
        source.lines = self.split(content)
        source.masks = masks_by_line(source.lines)

    @property
    def lines(self) -> list[str]:
        """The lines of the file that is read."""
        return self.sources[-1].lines

    def places(self, keys: Mapping[Path, Extent], values: Mapping[Path, Extent], masks: dict[int, list[Mask]]) -> None:
        """The places of all keys and values of the file that is read, and what to mask in each of its lines."""
        self.keys, self.values, self.sources[-1].masks = keys, values, masks

    def merged(
        self,
        keys: Mapping[Path, Extent],
        values: Mapping[Path, Extent],
        origins: Mapping[Path, int],
        offsets: Mapping[int, int],
    ) -> None:
        """All files are read: from here on, paths are those of the whole policy."""
        self.keys, self.values, self.origins, self.offsets = keys, values, origins, offsets

    def hide(self, value: str, shown: str) -> None:
        """Never show a value, unless it is so short that it may be part of any sentence."""
        if len(value) >= HIDE_FROM and value not in self.hidden:
            self.hidden[value] = shown
            self.starts.setdefault(value[:HIDE_FROM], []).append(value)

    def add(self, code: str, where: Path | Place | Spot, message: str, hint: str = "", key: bool = False) -> None:
        """One more finding, at a path's value (or its key), or at a place."""
        if isinstance(where, Spot):
            spot = where
        elif isinstance(where, Place):
            spot = self.last(where)
        else:
            spot = self.spot(where, key)
        self.findings.append(Finding(code, spot, message, hint))
        self.told_spots.add(spot)

    def last(self, place: Place) -> Spot:
        """A place in the file that is read."""
        return Spot(len(self.sources) - 1, place)

    def spot(self, path: Path, key: bool = False) -> Spot:
        """Where a path's value (or its key) begins; the nearest that encloses it when it is not in the file."""
        for end in range(len(path), -1, -1):
            first, second = (self.keys, self.values) if key or end < len(path) else (self.values, self.keys)
            extent = first.get(path[:end]) or second.get(path[:end])
            if extent is not None:
                return Spot(self.origin(path[:end]), extent.start)
        return Spot(self.origin(()), Place(1, 1))

    def place(self, path: Path, key: bool = False) -> Place:
        """The same in its own file."""
        return self.spot(path, key).place

    def origin(self, path: Path) -> int:
        """The index of the source that a path is in."""
        if not self.origins:
            return len(self.sources) - 1
        return self.origins.get(path[:2], self.origins.get(path[:1], 0))

    def line(self, path: Path, seen: Path) -> str:
        """The line of a path, and its file where that is another than the one of `seen`."""
        spot = self.spot(path)
        file = "" if spot.source == self.spot(seen).source else f" of {clean(self.sources[spot.source].file, 200)}"
        return f"line {spot.place.line}{file}"

    def spell(self, path: Path) -> str:
        """A path as people write it in the file it is in."""
        if path[:1] == ("routes",) and len(path) > 1 and isinstance(path[1], int):
            path = ("routes", path[1] - self.offsets.get(self.origin(path), 0), *path[2:])
        return spell(path)

    def told(self, path: Path) -> bool:
        """Whether there is a finding at a path's value already."""
        return self.spot(path) in self.told_spots

    def crowded(self) -> bool:
        """Whether there is so much to say that suggestions are not worth their time."""
        return len(self.findings) > MANY

    def failed(self) -> bool:
        """Whether there is any error."""
        return any(CODES[finding.code][0] == "error" for finding in self.findings)

    def problems(self) -> tuple[Problem, ...]:
        """What was found, each once, in the file's order; of very many the errors first."""
        unique = list(dict.fromkeys(self.findings))
        if len(unique) > MOST:
            unique = sorted(unique, key=lambda finding: CODES[finding.code][0] != "error")[:MOST]
        unique.sort(key=lambda finding: (finding.spot, finding.code))
        return tuple(self.problem(finding) for finding in unique)

    def problem(self, finding: Finding) -> Problem:
        """A finding with its severity and excerpt."""
        source, place = finding.spot
        message, hint = self.discreet(finding.message), self.discreet(finding.hint)
        severity = CODES[finding.code][0]
        return Problem(
            finding.code, severity, self.sources[source].file, *place, message, self.excerpt(finding.spot), hint
        )

    def discreet(self, text: str) -> str:
        """Text without hidden values."""
        pieces, done, position = [], 0, 0
        while self.hidden and position <= len(text) - HIDE_FROM:
            value = self.hidden_at(text, position)
            if value:
                pieces += [text[done:position], self.hidden[value]]
                done = position = position + len(value)
            else:
                position += 1
        return "".join((*pieces, text[done:]))

    def hidden_at(self, text: str, position: int) -> str:
        """The longest hidden value that begins at a position; empty when none does."""
        candidates = self.starts.get(text[position : position + HIDE_FROM], ())
        return max((value for value in candidates if text.startswith(value, position)), key=len, default="")

    def excerpt(self, where: Place | Spot) -> str:
        """The source line with its secrets masked, and a caret below the column."""
        spot = where if isinstance(where, Spot) else self.last(where)
        source, place = self.sources[spot.source], spot.place
        if place.line > len(source.lines) or not source.lines[place.line - 1].strip():
            return ""
        line, column = nearby(source.lines[place.line - 1], place.column - 1, source.masks.get(place.line, []))
        line = self.discreet(line)
        first = max(0, min(column, len(line)) - WIDTH // 2) if len(line) > WIDTH else 0
        window = clean(line[first : first + WIDTH].replace("\t", " "), WIDTH)
        return f"{window}\n{' ' * min(column - first, len(window))}^"


def nearby(line: str, column: int, masks: list[Mask]) -> tuple[str, int]:
    """What is around a column, with `***` in place of each mask, and where the column now is."""
    start, end = max(0, column - REACH), min(len(line), column + REACH)
    pieces, done, moved = [], start, column - start
    for first, last in masks[max(0, bisect(masks, (start, 0)) - 1) : bisect(masks, (end, 0))]:
        first, last = max(first, start), min(last, end)
        if first >= last:
            continue
        pieces += [line[done:first], "***"]
        done = last
        if column >= last:
            moved += 3 - (last - first)
        elif column > first:
            moved -= column - first
    return "".join((*pieces, line[done:end])), max(0, moved)
