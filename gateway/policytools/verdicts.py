"""Shows what came of a policy's unit tests: for people, for programs, for GitHub's annotations."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict

import orjson

from gateway.policytools.check import BOLD, RESET, Format, annotation, text
from gateway.policytools.suites import Result, Suite
from gateway.types import Json

RED, GREEN = "\x1b[31m", "\x1b[32m"


def render_tests(suites: Sequence[Suite], format: Format, colour: bool) -> str:
    """All results in a format, ready to print."""
    if format == "json":
        return orjson.dumps([suite_json(suite) for suite in suites], option=orjson.OPT_INDENT_2).decode() + "\n"
    if format == "github":
        found = [problem for suite in suites for problem in (*suite.problems, *suite.failed)]
        return "".join(f"{annotation(problem)}\n" for problem in found)
    return "".join(f"{line}\n" for suite in suites for line in lines(suite, colour)) + counted(suites) + "\n"


def exit_code_of(suites: Sequence[Suite]) -> int:
    """0 when all passed, 1 when some failed, 2 when some could not be run."""
    if any(suite.problems for suite in suites):
        return 2
    return 1 if any(suite.failed for suite in suites) else 0


def suite_json(suite: Suite) -> Json:
    """A file's results as JSON-ready values."""
    return {
        "file": suite.file,
        "policy": suite.policy,
        "problems": [asdict(problem) for problem in suite.problems],
        "tests": [{**asdict(result), "passed": not result.missed} for result in suite.results],
    }


def lines(suite: Suite, colour: bool) -> Iterator[str]:
    """A file's results, a line each, with what was expected and what came."""
    yield f"{BOLD}{suite.file}{RESET}" if colour else suite.file
    for problem in suite.problems:
        yield from (f"  {line}" for line in text(problem, colour))
    for result in suite.results:
        yield from verdict(result, colour)


def verdict(result: Result, colour: bool) -> Iterator[str]:
    """One test's result."""
    word, shade = ("FAILED ", RED) if result.missed else ("SUCCESS", GREEN)
    where = f" (line {result.line})" if result.missed else ""
    yield f"  {shade}{word}{RESET} {result.name}{where}" if colour else f"  {word} {result.name}{where}"
    for missed in result.missed:
        what = f"{missed.what}: " if missed.what else ""
        yield f"      {what}expected {missed.expected}"
        yield f"      {' ' * (len(what) + 5)}got {missed.got}"


def counted(suites: Sequence[Suite]) -> str:
    """One line that counts."""
    results = [result for suite in suites for result in suite.results]
    failed = sum(bool(result.missed) for result in results)
    unrun = sum(bool(suite.problems) for suite in suites)
    rest = f", {unrun} files could not be run" if unrun else ""
    return f"{len(results)} tests: {len(results) - failed} passed, {failed} failed{rest}."
