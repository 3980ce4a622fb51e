"""Puts the keys of a YAML text into the order of their schema; comments above a key go with it.

Text is moved as it is. A mapping's entries are permuted within the characters that the mapping has, so that every
other place in the text stays where it was; what is deeper is done first.
"""

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from gateway.config.scalars import keys_of
from gateway.config.schema import BackendSpec, CallerSpec, RouteSpec

# Where the schema's own order is not the one that reads best; all other keys follow in the schema's.
FIRST: dict[type[BaseModel], tuple[str, ...]] = {
    BackendSpec: ("provider", "url", "api_key", "headers", "models", "cost", "limits", "slots", "location", "region"),
    CallerSpec: ("key",),
    RouteSpec: ("name", "match", "models", "prefer", "size", "optimize", "require"),
}


class Piece(NamedTuple):
    """From one character to just before another."""

    start: int
    end: int


class Entry(NamedTuple):
    """A key of a block mapping with its value: the comments above it, and the rest from its first character on."""

    comments: Piece
    body: Piece


def ordered(text: str, root: Node, model: type[BaseModel]) -> str:
    """The text with its keys in order; `root` is its composed tree, and the text ends with a line break."""
    walk = Walk(text)
    walk.visit(root, model, len(text))
    return walk.text


class Walk:
    """Goes through the tree once, and permutes what it comes by."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.done: set[int] = set()  # nodes, by identity: an alias leads to its anchor's node again

    def visit(self, node: Node, annotation: object, end: int) -> None:
        """A node and all below it; nothing of it is at `end` or after."""
        if id(node) in self.done:
            return
        self.done.add(id(node))
        if isinstance(node, MappingNode):
            self.mapping(node, annotation, end)
        elif isinstance(node, SequenceNode):
            starts = [item.start_mark.index for item in node.value]
            if starts == sorted(starts):  # else some are aliases, whose places are elsewhere
                column = None if node.flow_style else node.start_mark.column
                ends = [item_start(self.text, start, column) for start in starts[1:]]
                for item, after in zip(node.value, [*ends, end], strict=False):
                    self.visit(item, item_of(annotation), after)

    def mapping(self, node: MappingNode, annotation: object, end: int) -> None:
        """A mapping: first what is in it, then its own keys."""
        pairs = node.value
        keys = [str(key.value) if isinstance(key, ScalarNode) else "" for key, _ in pairs]
        model = model_of(annotation, keys)
        entries = None if node.flow_style else block(self.text, [key for key, _ in pairs], end)
        for place, (key, value) in enumerate(pairs):
            below = end if entries is None else entries[place].body.end
            self.visit(value, value_of(annotation, model, str(key.value)), below)
        if model is None:
            return
        wanted = ranked(keys, model)
        if wanted == list(range(len(keys))):
            return
        if node.flow_style:
            self.text = permuted_flow(self.text, pieces(self.text, pairs), wanted)
        elif entries is not None:
            self.text = permuted_block(self.text, entries, wanted)


def ranked(keys: Sequence[str], model: type[BaseModel]) -> list[int]:
    """The places of the keys in their right order: merges first, unknown ones last as they stand."""
    fields = list(dict.fromkeys(("<<", *FIRST.get(model, ()), *keys_of(model))))
    places = {name: place for place, name in enumerate(fields)}
    return sorted(range(len(keys)), key=lambda index: places.get(keys[index], len(fields)))


def alternatives(annotation: object) -> list[object]:
    """What an annotation may stand for."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return alternatives(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return [found for part in get_args(annotation) for found in alternatives(part)]
    return [annotation]


def model_of(annotation: object, keys: Sequence[str]) -> type[BaseModel] | None:
    """The model of a mapping with such keys; of several that which knows most of them."""
    models = [one for one in alternatives(annotation) if isinstance(one, type) and issubclass(one, BaseModel)]
    return max(models, key=lambda model: len(keys_of(model).keys() & set(keys)), default=None)


def value_of(annotation: object, model: type[BaseModel] | None, key: str) -> object:
    """The annotation of a mapping's value."""
    if model is not None:
        field = keys_of(model).get(key)
        return None if field is None else field.annotation
    return next((get_args(one)[1] for one in alternatives(annotation) if get_origin(one) is dict), None)


def item_of(annotation: object) -> object:
    """The annotation of a list's item."""
    return next((get_args(one)[0] for one in alternatives(annotation) if get_origin(one) is list), None)


def line_start(text: str, index: int) -> int:
    """Where the line of a character begins."""
    return text.rfind("\n", 0, index) + 1


def item_start(text: str, index: int, column: int | None) -> int:
    """Where the line begins that has the dash of a list's item, which may be above the item; `column` is the dash's."""
    line = line_start(text, index)
    while column is not None and line and text[line + column : line + column + 1] != "-":
        line = line_start(text, line - 1)
    return line


def block(text: str, keys: Sequence[Node], end: int) -> list[Entry] | None:
    """The entries of a block mapping; None when a key does not begin its line, so that nothing can be moved."""
    starts = [key.start_mark.index for key in keys]
    column = keys[0].start_mark.column if keys else 0
    if starts != sorted(starts):
        return None
    lines = [line_start(text, start) for start in starts]
    if any(
        text[line:start].strip() or start - line != column for line, start in zip(lines[1:], starts[1:], strict=True)
    ):
        return None
    first = above(text, lines[0], column, 0)
    comments = [Piece(lines[0], lines[0]) if text[lines[0] : starts[0]].strip() or not column else first]
    comments += [above(text, line, column, start) for line, start in zip(lines[1:], starts, strict=False)]
    ends = [gap(text, piece.start, start) for piece, start in zip(comments[1:], starts, strict=False)]
    ends.append(last(text, starts[-1], end, column) if starts else end)
    return [Entry(one, Piece(start, stop)) for one, start, stop in zip(comments, starts, ends, strict=True)]


def above(text: str, line: int, column: int, least: int) -> Piece:
    """The comment lines just above a line, not before `least`, that are no deeper than a column."""
    start = line
    while start > least:
        previous = line_start(text, start - 1)
        content = text[previous:start].lstrip(" ")
        if previous < least or not content.startswith("#") or start - previous - len(content) > column:
            break
        start = previous
    return Piece(start, line)


def gap(text: str, end: int, least: int) -> int:
    """Where the blank lines before a place begin."""
    while end > least:
        previous = line_start(text, end - 1)
        if previous <= least or text[previous:end].strip():
            break
        end = previous
    return end


def last(text: str, start: int, end: int, column: int) -> int:
    """Where the last entry of a mapping ends: before blank lines, and before comments that are less deep."""
    while end > start:
        previous = line_start(text, end - 1)
        content = text[previous:end].lstrip(" ")
        shallow = content.startswith("#") and end - previous - len(content) < column
        if previous <= start or not (shallow or not content.strip()):
            break
        end = previous
    return end


def permuted_block(text: str, entries: Sequence[Entry], wanted: Sequence[int]) -> str:
    """The text with entries of a block mapping in another order; the blank lines between them stay."""
    begin = min(entries[0].comments.start, line_start(text, entries[0].body.start))
    parts, done = [], begin
    for place, chosen in zip(entries, (entries[index] for index in wanted), strict=True):
        blank = text[done : place.comments.start] if place is not entries[0] else ""
        lead = text[place.comments.end : place.body.start]
        parts += [blank, text[slice(*chosen.comments)], lead, text[slice(*chosen.body)]]
        done = place.body.end
    return f"{text[:begin]}{''.join(parts)}{text[done:]}"


def pieces(text: str, pairs: Sequence[tuple[Node, Node]]) -> list[Piece]:
    """The entries of a flow mapping; none when something else than separators lies between them."""
    found: list[Piece] = []
    for key, value in pairs:
        start, end = key.start_mark.index, max(key.end_mark.index, value.end_mark.index)
        between = text[found[-1].end : start] if found else ""
        if value.start_mark.index < start or between.strip(", \n") or (found and end <= found[-1].end):
            return []
        found.append(Piece(start, end))
    return found


def permuted_flow(text: str, found: Sequence[Piece], wanted: Sequence[int]) -> str:
    """The text with entries of a flow mapping in another order; what separates them stays."""
    parts, done = [], 0
    for place, index in zip(found, wanted, strict=False):
        parts += [text[done : place.start], text[slice(*found[index])]]
        done = place.end
    return f"{''.join(parts)}{text[done:]}"
