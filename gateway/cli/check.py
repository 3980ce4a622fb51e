"""`llama-gateway check`: every mistake in policy files, at once; files of tests are run."""

import os
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gateway.catalogue import Catalogue
from gateway.config.loading import load
from gateway.config.problems import Problem
from gateway.policytools.check import exit_code, render
from gateway.policytools.suites import is_tests, run_file


def check(
    *files: Annotated[Path, Parameter(help="Policy files, and their *.test.yaml, which are run.")],
    format: Annotated[Literal["text", "json", "github"], Parameter(help="How to print the findings.")] = "text",
    strict: Annotated[bool, Parameter(help="Exit with 1 when there are warnings.")] = False,
) -> int:
    """The verb `check`; its exit code."""
    catalogue, today = Catalogue.load(), datetime.now(UTC).date()
    problems: list[Problem] = []
    tests = 0
    for file in files:
        found, run = checked(file, catalogue, today)
        problems += found
        tests += run
    print(render(problems, format, sys.stdout.isatty()), end="")
    if format == "text":
        print(summary(len(files), [problem.severity for problem in problems], tests))
    return exit_code(problems, strict) if files else 2


def checked(file: Path, catalogue: Catalogue, today: date) -> tuple[Sequence[Problem], int]:
    """What is wrong with a file, and how many tests in it were run."""
    if not is_tests(file):
        return load(file, os.environ, catalogue, today).problems, 0
    suite = run_file(file, catalogue, today)
    return (*suite.problems, *suite.failed), len(suite.results)


def summary(files: int, severities: list[str], tests: int = 0) -> str:
    """One line that counts what was found."""
    if not files:
        return "No file given: llama-gateway check FILE..."
    counts = [
        f"{severities.count(severity)} {word}"
        for severity, word in (("error", "errors"), ("warning", "warnings"), ("info", "notes"))
        if severity in severities
    ]
    ran = f", {tests} tests run" if tests else ""
    return f"{files} checked{ran}: {', '.join(counts) or 'clean'}."
