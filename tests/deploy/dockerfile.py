"""A Dockerfile, read far enough to do its steps without a container engine."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple


class Step(NamedTuple):
    """An instruction, by stage (from 0)."""

    stage: int
    word: str
    rest: str


def steps(path: Path) -> list[Step]:
    """The instructions of a Dockerfile, with their continued lines in one."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text(), flags=re.MULTILINE)
    found, stage = [], -1
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word:
            stage += word == "FROM"
            found.append(Step(stage, word, rest.strip()))
    return found


def of(found: list[Step], stage: int, word: str) -> list[str]:
    """What an instruction says, each time it stands in a stage."""
    return [step.rest for step in found if step.stage == stage and step.word == word]


def environment(found: list[Step], stage: int) -> dict[str, str]:
    """The variables that a stage sets."""
    pairs = [pair.partition("=") for rest in of(found, stage, "ENV") for pair in shlex.split(rest)]
    return {name: value for name, _, value in pairs}


def copied(found: list[Step], stage: int) -> Iterator[tuple[str, str]]:
    """Source and target of each file that a stage copies from outside."""
    for rest in of(found, stage, "COPY"):
        if not rest.startswith("--from"):
            *sources, target = rest.split()
            yield from ((source, target) for source in sources)
