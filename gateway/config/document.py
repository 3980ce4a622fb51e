"""Reads YAML text into plain data, and remembers the place of every key and value."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import yaml

from gateway.config.problems import Path, Place, clean, spell
from gateway.config.report import Report

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_ALIASES = 100
MAX_NODES = 20_000  # after aliases are followed: a hundred of them, nested, could stand for billions

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
WORDS: Mapping[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
INTEGER = re.compile(r"[-+]?[0-9]{1,15}")
FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")


class Span(NamedTuple):
    """From the first character to just after the last."""

    start: Place
    end: Place


@dataclass(frozen=True, slots=True)
class Document:
    """A file's data, where each path's key and value are, and what was passed over."""

    data: object
    keys: Mapping[Path, Span]
    values: Mapping[Path, Span]
    passed: Sequence[Span]


def parse(text: bytes, report: Report) -> Document | None:
    """The document, or None when the text cannot be read; what is wrong goes to the report."""
    content = decode(text, report)
    if content is None or not scan(content, report):
        return None
    try:
        node = yaml.compose(content, Loader=LOADER)
    except (yaml.YAMLError, ValueError) as exc:
        refuse(exc, report)
        return None
    if node is None:
        report.add("LG003", Place(1, 1), "The file is empty. A policy needs at least `version: 1` and `backends`.")
        return None
    reader = Reader(report)
    return Document(reader.value(node, ()), reader.keys, reader.values, reader.passed)


def decode(text: bytes, report: Report) -> str | None:
    """The text, if it is of a sensible size and printable."""
    if len(text) > MAX_BYTES:
        message = f"The file has {len(text)} bytes; at most {MAX_BYTES} are read. Remove what is not needed."
        report.add("LG004", Place(1, 1), message)
        return None
    try:
        content = text.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        before = text[: exc.start].decode("utf-8", "replace")
        report.add("LG002", at(before), "The file is not UTF-8 from here on. Save it as UTF-8.")
        return None
    report.text(content)
    if found := UNPRINTABLE.search(content):
        name = f"U+{ord(found[0]):04X}"
        report.add("LG002", at(content[: found.start()]), f"The control character {name} is not allowed. Remove it.")
        return None
    return content


def at(before: str) -> Place:
    """The place just after some text."""
    lines = Report.split(before)
    return Place(len(lines), len(lines[-1]) + 1)


def scan(content: str, report: Report) -> bool:
    """Whether the text is YAML within the limits; streams, so that no depth can exhaust the stack."""
    depth = aliases = documents = 0
    try:
        for event in yaml.parse(content, Loader=LOADER):
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            aliases += isinstance(event, yaml.AliasEvent)
            documents += isinstance(event, yaml.DocumentStartEvent)
            place = start(event)
            if depth > MAX_DEPTH:
                report.add("LG004", place, f"The file is nested more than {MAX_DEPTH} levels deep. Flatten it.")
                return False
            if aliases > MAX_ALIASES:
                report.add("LG004", place, f"The file has more than {MAX_ALIASES} aliases. Write the values out.")
                return False
            if documents > 1:
                report.add("LG007", place, "A second document starts here; a policy is one. Remove the `---` line.")
                return False
            untagged(event, place, report)
    except (yaml.YAMLError, ValueError) as exc:
        refuse(exc, report)
        return False
    return True


def untagged(event: yaml.Event, place: Place, report: Report) -> None:
    """A policy is data: tags, which may make anything of it, are refused."""
    tag = getattr(event, "tag", None)
    if tag is not None:
        message = f"The tag `{clean(str(tag))}` is not read here. Remove it; put text into quotes."
        report.add("LG005", place, message)


def refuse(exc: yaml.YAMLError | ValueError, report: Report) -> None:
    """A syntax error, with its place."""
    mark = getattr(exc, "problem_mark", None) or getattr(exc, "context_mark", None)
    what = getattr(exc, "problem", None) or "it cannot be read"
    place = Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)
    report.add("LG001", place, f"This is not YAML: {clean(str(what))}. Look at the indentation and quotes around here.")


def start(node: yaml.Event | yaml.Node) -> Place:
    """Where an event or a node begins."""
    mark = node.start_mark
    return Place(1, 1) if mark is None else Place(mark.line + 1, mark.column + 1)


def resolve(text: str) -> object:
    """A plain scalar by the rules of YAML 1.2's core schema: `no`, `on` and `12:30` are text."""
    if text in WORDS:
        return WORDS[text]
    if INTEGER.fullmatch(text):
        return int(text)
    if FLOAT.fullmatch(text) and len(text) <= 40:
        number = float(text)
        return number if math.isfinite(number) else text
    return text


class Reader:
    """Turns nodes into data, and fills the two maps of places."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.keys: dict[Path, Span] = {}
        self.values: dict[Path, Span] = {}
        self.passed: list[Span] = []  # what is in no path, though it may hold credentials
        self.left = MAX_NODES

    def value(self, node: yaml.Node, path: Path) -> object:
        """The data of a node."""
        self.values[path] = span(node)
        self.left -= 1
        if self.left <= 0 or len(path) > MAX_DEPTH:
            if self.left >= 0:
                message = f"With its aliases followed, {spell(path[:4])} is too large. Write the values out."
                self.report.add("LG004", start(node), message)
            self.left = -1
            self.passed.append(span(node))
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(child, (*path, index)) for index, child in enumerate(node.value)]
        plain = isinstance(node, yaml.ScalarNode) and not node.style
        return resolve(node.value) if plain else str(node.value)

    def mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, object]:
        """The data of a mapping; what `<<` merges in gives way to its own keys."""
        own: dict[str, tuple[yaml.Node, yaml.Node]] = {}
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.report.add("LG007", start(key), f"A key of {spell(path)} is not text. Write `name: value`.")
                self.passed += [span(key), span(child)]
            elif key.value in own:
                self.duplicate(key, own[key.value][0], path)
                self.passed.append(span(child))
            elif key.value != "<<" or key.style:
                own[key.value] = (key, child)
        merged = {key.value: (key, child) for key, child in self.merged(node)}
        return {name: self.item(key, child, (*path, name)) for name, (key, child) in (merged | own).items()}

    def merged(self, node: yaml.MappingNode) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
        """The pairs that `<<` brings in, those of the first mapping last, since the last of a name counts."""
        for key, child in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.value != "<<" or key.style:
                continue
            sources = child.value if isinstance(child, yaml.SequenceNode) else [child]
            for source in reversed(sources):
                if isinstance(source, yaml.MappingNode):
                    yield from (pair for pair in source.value if isinstance(pair[0], yaml.ScalarNode))
                else:
                    self.report.add("LG012", start(source), "`<<` merges a mapping or a list of them, not a value.")

    def item(self, key: yaml.Node, child: yaml.Node, path: Path) -> object:
        """The value of one pair."""
        self.keys[path] = span(key)
        return self.value(child, path)

    def duplicate(self, key: yaml.ScalarNode, first: yaml.Node, path: Path) -> None:
        """A key that its mapping already has."""
        line = start(first).line
        message = f"`{clean(key.value)}` is twice in {spell(path)}, first in line {line}. Remove one of them."
        self.report.add("LG006", start(key), message)


def span(node: yaml.Node) -> Span:
    """The extent of a node."""
    end = node.end_mark
    return Span(start(node), start(node) if end is None else Place(end.line + 1, end.column + 1))
