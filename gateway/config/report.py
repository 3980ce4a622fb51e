"""Collects findings while a policy is read; gives each its place and a source line without secrets."""

import re
from bisect import bisect
from collections.abc import Mapping
from typing import NamedTuple, Protocol

from gateway.config.problems import CODES, Path, Place, Problem, clean
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


class Finding(NamedTuple):
    """A problem before its excerpt is cut."""

    code: str
    place: Place
    message: str
    hint: str


class Report:
    """Everything found in one file so far."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.lines: list[str] = []
        self.findings: list[Finding] = []
        self.told_places: set[Place] = set()
        self.keys: Mapping[Path, Extent] = {}
        self.values: Mapping[Path, Extent] = {}
        self.masks: dict[int, list[Mask]] = {}
        self.hidden: dict[str, str] = {}  # a value that must not be shown -> what is shown in its place
        self.starts: dict[str, list[str]] = {}  # the first characters of hidden values -> those values

    @staticmethod
    def split(text: str) -> list[str]:
        """Lines as YAML counts them."""
        return BREAK.split(text)

    def text(self, content: str) -> None:
        """The source, from which excerpts are cut; what looks like a credential is masked until places are known."""
        self.lines = self.split(content)
        self.masks = masks_by_line(self.lines)

    def places(self, keys: Mapping[Path, Extent], values: Mapping[Path, Extent], masks: dict[int, list[Mask]]) -> None:
        """The places of all keys and values, and what to mask in each line."""
        self.keys, self.values, self.masks = keys, values, masks

    def hide(self, value: str, shown: str) -> None:
        """Never show a value, unless it is so short that it may be part of any sentence."""
        if len(value) >= HIDE_FROM and value not in self.hidden:
            self.hidden[value] = shown
            self.starts.setdefault(value[:HIDE_FROM], []).append(value)

    def add(self, code: str, where: Path | Place, message: str, hint: str = "", key: bool = False) -> None:
        """One more finding, at a path's value (or its key), or at a place."""
        place = where if isinstance(where, Place) else self.place(where, key)
        self.findings.append(Finding(code, place, message, hint))
        self.told_places.add(place)

    def place(self, path: Path, key: bool = False) -> Place:
        """Where a path's value (or its key) begins; the nearest that encloses it when it is not in the file."""
        for end in range(len(path), -1, -1):
            first, second = (self.keys, self.values) if key or end < len(path) else (self.values, self.keys)
            extent = first.get(path[:end]) or second.get(path[:end])
            if extent is not None:
                return extent.start
        return Place(1, 1)

    def told(self, path: Path) -> bool:
        """Whether there is a finding at a path's value already."""
        return self.place(path) in self.told_places

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
        unique.sort(key=lambda finding: (finding.place, finding.code))
        return tuple(self.problem(finding) for finding in unique)

    def problem(self, finding: Finding) -> Problem:
        """A finding with its severity and excerpt."""
        place = finding.place
        message, hint = self.discreet(finding.message), self.discreet(finding.hint)
        severity = CODES[finding.code][0]
        return Problem(finding.code, severity, self.file, *place, message, self.excerpt(place), hint)

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

    def excerpt(self, place: Place) -> str:
        """The source line with its secrets masked, and a caret below the column."""
        if place.line > len(self.lines) or not self.lines[place.line - 1].strip():
            return ""
        line, column = nearby(self.lines[place.line - 1], place.column - 1, self.masks.get(place.line, []))
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
