"""A policy's text as it may be shown: a stand-in in place of each credential, the same one for the same text."""

import re
from collections.abc import Iterator

from gateway.config.document import parse
from gateway.config.report import Report
from gateway.config.secrets import Mask, masks_by_line, merge, structural, suspicious

AFTER_USER = "@"  # ends what is covered of an address
COMMENT = re.compile(r"(?:^|\s)#")
TOKEN = re.compile(r"(?=[\w-]*\d)[\w-]{20,}")  # what may be a key by its look alone


def masked(text: bytes) -> str:
    """The text with stand-ins; of one that is no YAML rather too much is covered, and nothing of one that is no text.

    Stand-ins differ from one another, so that what is shown is a policy still, and can be edited and compared.
    """
    report = Report("")
    document = parse(text, report)
    lines = report.lines
    if document is None:
        masks = masks_by_line(lines)
    else:
        masks = structural(lines, document.keys, document.values, document.passed)
    shown, count = [], 0
    for number, line in enumerate(lines, 1):
        covered = merge([*masks.get(number, []), *in_comment(line)])
        shown.append(without(line, covered, count))
        count += len(covered)
    return "\n".join(shown)


def in_comment(line: str) -> Iterator[Mask]:
    """What may be a credential behind the first mark of a comment: an old key, say, that was kept just in case."""
    mark = COMMENT.search(line)
    if mark is None:
        return
    said = line[mark.end() :]
    if column := suspicious(said):
        yield Mask(mark.end() + column, len(line))
    yield from (Mask(mark.end() + found.start(), mark.end() + found.end()) for found in TOKEN.finditer(said))


def without(line: str, masks: list[Mask], count: int) -> str:
    """A line without what is masked in it; `count` are the masks before it."""
    pieces, done = [], 0
    for place, (first, last) in enumerate(masks, count + 1):
        stand_in = f"***{place}***@" if line[first:last].endswith(AFTER_USER) else f'"***{place}***"'
        pieces += [line[done:first], stand_in]
        done = last
    return "".join((*pieces, line[done:]))
