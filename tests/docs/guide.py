"""The guide to policies as something that can be run: its files, and its commands with what they print."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

GUIDE = Path(__file__).parents[2] / "policies" / "README.md"
BLOCK = re.compile(r"^```([a-z]+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# ([a-z0-9.-]+\.yaml)\n")
HERE = re.compile(r"cat > (\S+) << 'EOF'")
WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
INLINE = re.compile(r"`([^`\n]+)`")
GAP = "..."  # stands for any text in what a command prints


class Step(NamedTuple):
    """A command, and the text that stands below it."""

    command: str
    shown: str


def blocks(language: str) -> list[str]:
    """The fenced blocks of a language, in order."""
    return [text for word, text in BLOCK.findall(GUIDE.read_text()) if word == language]


def languages() -> set[str]:
    """The languages of all fenced blocks."""
    return {word for word, _ in BLOCK.findall(GUIDE.read_text())}


def files() -> dict[str, str]:
    """Every YAML file of the guide by its name, which is its first line."""
    found = {}
    for text in blocks("yaml"):
        named = NAMED.match(text)
        assert named is not None, f"The first line is not the file's name: {text[:60]}"
        assert named[1] not in found, f"Two files are called {named[1]}."
        found[named[1]] = text
    return found


def steps(console: str) -> Iterator[Step]:
    """The commands of a console block; `EOF` ends the text of a file."""
    for part in re.split(r"^\$ ", console, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield Step(command, shown)


def commands() -> Iterator[list[str]]:
    """The words of every command."""
    for console in blocks("console"):
        yield from (shlex.split(step.command) for step in steps(console))


def written(step: Step) -> tuple[str, str] | None:
    """The name and the text of the file that a step writes; None when it is another command."""
    found = HERE.fullmatch(step.command)
    return None if found is None else (found[1], step.shown.removesuffix("EOF\n"))


def fits(shown: str, printed: str) -> bool:
    """Whether what was printed is what is shown; a gap stands for any text, and space between JSON's rows for none."""
    pattern = ".*".join(re.escape(part) for part in plain(shown).split(GAP))
    return re.fullmatch(pattern, plain(printed), re.DOTALL) is not None


def plain(text: str) -> str:
    """A text without spaces at the ends of its lines, and JSON in one line."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return ("" if text.startswith(("[", "{")) else "\n").join(lines).rstrip()


def inline() -> list[str]:
    """The code within the guide's lines."""
    return INLINE.findall(GUIDE.read_text())
