"""Moves comments that have a line of their own along with what they stand by, after its indentation has changed."""

from bisect import bisect
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Anchor(NamedTuple):
    """The content line that a comment is aligned with: its number among such lines, at its dash or at its key."""

    line: int
    key: bool


def realigned(before: str, after: str) -> str:
    """`after` with its comments in the columns of what they were aligned with `before`; the lines are the same ones."""
    old, new = before.split("\n"), after.split("\n")
    old_content, new_content = content(old), content(new)
    anchors = [anchor(old, number, old_content) for number in own_lines(old)]
    places = own_lines(new)
    if len(old_content) != len(new_content) or len(anchors) != len(places):
        return after
    for place, found in zip(places, anchors, strict=True):
        if found is not None:
            column = columns(new[new_content[found.line]])[found.key]
            new[place] = f"{' ' * column}{new[place].lstrip(' ')}"
    return "\n".join(new)


def around(text: str, change: Callable[[str], str]) -> str:
    """A text changed without its comments of their own line, which come back above the lines they were above."""
    lines = text.split("\n")
    says, own = content(lines), set(own_lines(lines))
    changed = change("\n".join(line for number, line in enumerate(lines) if number not in own)).split("\n")
    places = content(changed)
    if len(places) != len(says):
        return text
    for number in sorted(own, reverse=True):
        after = bisect(says, number)
        changed.insert(places[after] if after < len(places) else len(changed) - 1, lines[number])
    return "\n".join(changed)


def own_lines(lines: Sequence[str]) -> list[int]:
    """The numbers of the lines that hold a comment and nothing else."""
    return [number for number, line in enumerate(lines) if line.lstrip(" ").startswith("#")]


def content(lines: Sequence[str]) -> list[int]:
    """The numbers of the lines that say something."""
    return [number for number, line in enumerate(lines) if line.strip() and not line.lstrip(" ").startswith("#")]


def columns(line: str) -> tuple[int, int]:
    """Where a line begins, and where the key behind its dashes does."""
    start = len(line) - len(line.lstrip(" "))
    return start, len(line) - len(line.lstrip(" -"))


def anchor(lines: Sequence[str], number: int, numbers: Sequence[int]) -> Anchor | None:
    """What a comment is aligned with: the next content line, else the nearest above in its block; None for neither."""
    column = columns(lines[number])[0]
    after = next((place for place, line in enumerate(numbers) if line > number), len(numbers))
    if after < len(numbers) and columns(lines[numbers[after]])[0] == column:
        return Anchor(after, key=False)
    for place in range(after - 1, -1, -1):
        dash, key = columns(lines[numbers[place]])
        if column in (dash, key):
            return Anchor(place, key=column != dash)
        if dash < column:
            return None
    return None
