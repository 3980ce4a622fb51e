"""Shows what is wrong with policy files: for people, for programs, for GitHub's annotations."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Literal

import orjson

from gateway.config.problems import Problem, Severity

Format = Literal["text", "json", "github"]

RESET, BOLD, DIM = "\x1b[0m", "\x1b[1m", "\x1b[2m"
COLOURS: dict[Severity, str] = {"error": "\x1b[31m", "warning": "\x1b[33m", "info": "\x1b[36m"}
GITHUB: dict[Severity, str] = {"error": "error", "warning": "warning", "info": "notice"}


def render(problems: Sequence[Problem], format: Format, colour: bool) -> str:
    """All problems in a format, ready to print; empty when there are none to show as text."""
    if format == "json":
        return orjson.dumps([asdict(problem) for problem in problems], option=orjson.OPT_INDENT_2).decode() + "\n"
    if format == "github":
        return "".join(f"{annotation(problem)}\n" for problem in problems)
    return "".join(f"{line}\n" for problem in problems for line in text(problem, colour))


def exit_code(problems: Iterable[Problem], strict: bool) -> int:
    """0 when clean, 1 for warnings when strict, 2 for errors."""
    found = {problem.severity for problem in problems}
    if "error" in found:
        return 2
    return 1 if strict and "warning" in found else 0


def text(problem: Problem, colour: bool) -> Iterator[str]:
    """A problem in lines: place, code and sentence; the source with a caret; the suggestion."""
    place = f"{problem.file}:{problem.line}:{problem.column}:"
    label = f"{problem.severity} {problem.code}:"
    if colour:
        place, label = f"{BOLD}{place}{RESET}", f"{COLOURS[problem.severity]}{label}{RESET}"
    yield f"{place} {label} {problem.message}"
    for line in problem.excerpt.splitlines():
        yield f"    {DIM}{line}{RESET}" if colour else f"    {line}"
    if problem.hint:
        yield f"    {problem.hint}"


def annotation(problem: Problem) -> str:
    """A problem as GitHub's workflow command."""
    message = f"{problem.message} {problem.hint}".strip()
    place = f"file={attribute(problem.file)},line={problem.line},col={problem.column},title={problem.code}"
    return f"::{GITHUB[problem.severity]} {place}::{escaped(message)}"


def escaped(message: str) -> str:
    """Text that cannot end the command."""
    return message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def attribute(value: str) -> str:
    """Text that cannot end an attribute of the command."""
    return escaped(value).replace(":", "%3A").replace(",", "%2C")
