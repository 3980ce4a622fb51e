"""Canonical order and layout of a policy or its tests: comments stay, and so does the meaning. Pure."""

import io
import re
from collections import Counter
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel
from ruamel.yaml import YAML, AliasToken
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver

from gateway.config.document import parse
from gateway.config.problems import Place
from gateway.config.report import Report
from gateway.policytools.comments import around, realigned
from gateway.policytools.order import ordered

WIDTH = 1 << 20  # characters of a line before it is folded: never
NULL = re.compile(r"(?:~|null|Null|NULL|)\Z")
COMMENT = re.compile(r"(?:^|\s)(#.*?)\s*$", re.MULTILINE)
MARK = "\ue000"  # stands at the beginning of a comment behind an alias, which ruamel would push into the next line
PUSHED = re.compile(rf"\s*\n\s*#({MARK}+)")
BLANK_LINES = re.compile(r"\n(?:[ \t]*\n){2,}")


class Plain(VersionedResolver):
    """Every plain scalar but null is text, so that it is written as it was read: `0x1F`, `1_000`, `12:30`."""

    @property
    def versioned_resolver(self) -> Any:
        """Only nulls, by the first character that they may have; what ruamel asks for."""
        return {first: [("tag:yaml.org,2002:null", NULL)] for first in ("~", "n", "N", "")}


def formatted(text: bytes, model: type[BaseModel], report: Report) -> bytes | None:
    """The same file in canonical form; None when it cannot be read, or not be formatted without loss.

    What is wrong goes to the report.
    """
    document = parse(text, report)
    if document is None or report.failed():
        return None
    before = text.decode("utf-8-sig").replace("\r\n", "\n").strip("\n") + "\n"
    try:
        found = kept(before, lambda old: ordered(old, round_trip().compose(old), model))
        flat = laid_out(found)
        if comments(flat) != comments(found):  # ruamel loses some between flow mappings of a list
            flat = around(found, laid_out)
        found = kept(flat, lambda new: realigned(found, new))
        found = kept(found, lambda old: BLANK_LINES.sub("\n\n", old))
        found = kept(found, sectioned)
    except YAMLError as exc:
        report.add("LG001", Place(1, 1), f"This cannot be laid out: {str(exc).splitlines()[0]}. It was left as it is.")
        return None
    if not same(before, found):
        message = "This cannot be laid out without changing its meaning or losing a comment. It was left as it is."
        report.add("LG001", Place(1, 1), message)
        return None
    return found.encode()


def kept(text: str, change: Callable[[str], str]) -> str:
    """The text after a change, if that changes nothing but its looks; else as it was."""
    changed = change(text)
    return changed if same(text, changed) else text


def same(one: str, other: str) -> bool:
    """Whether two texts have the same data and comments."""
    return comments(one) == comments(other) and data(one) == data(other)


def data(text: str) -> object:
    """What a text says."""
    document = parse(text.encode(), Report(""))
    return ... if document is None else document.data


def comments(text: str) -> Counter[str]:
    """The comments of a text, and what looks like one."""
    return Counter(COMMENT.findall(text))


def laid_out(text: str) -> str:
    """The text with canonical indentation and spaces."""
    yaml = round_trip()
    stream = io.StringIO()
    yaml.dump(yaml.load(marked(text)), stream)
    return PUSHED.sub(lambda found: f"{' ' * len(found[1])}#", stream.getvalue()).replace(MARK, "")


def sectioned(text: str) -> str:
    """The text with a blank line before each section but the first, and before the comments above it."""
    lines = text.split("\n")
    tops = [number for number, line in enumerate(lines) if line[:1].isalpha()]
    for number in reversed(tops[1:]):
        while number and lines[number - 1].startswith("#"):
            number -= 1
        if number and lines[number - 1].strip():
            lines.insert(number, "")
    return "\n".join(lines)


def marked(text: str) -> str:
    """The text with a mark in each comment that stands behind an alias."""
    ends = [token.end_mark.index for token in round_trip().scan(text) if isinstance(token, AliasToken)]
    for end in reversed(ends):
        rest = text[end:]
        blanks = len(rest) - len(rest.lstrip(" "))
        if rest[blanks : blanks + 1] == "#":
            text = f"{text[: end + blanks]}#{MARK * blanks}{rest[blanks + 1 :]}"
    return text


def round_trip() -> YAML:
    """A ruamel that keeps comments and quotes."""
    yaml = YAML()
    yaml.Resolver = Plain
    yaml.preserve_quotes = True
    yaml.width = WIDTH
    yaml.brace_single_entry_mapping_in_flow_sequence = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml
