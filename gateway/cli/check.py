"""`llama-gateway check`: every mistake in policy files, at once."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gateway.catalogue import Catalogue
from gateway.config.loading import load
from gateway.policytools.check import exit_code, render


def check(
    *files: Annotated[Path, Parameter(help="Policy files.")],
    format: Annotated[Literal["text", "json", "github"], Parameter(help="How to print the findings.")] = "text",
    strict: Annotated[bool, Parameter(help="Exit with 1 when there are warnings.")] = False,
) -> int:
    """The verb `check`; its exit code."""
    catalogue, today = Catalogue.load(), datetime.now(UTC).date()
    problems = [problem for file in files for problem in load(file, os.environ, catalogue, today).problems]
    print(render(problems, format, sys.stdout.isatty()), end="")
    if format == "text":
        print(summary(len(files), [problem.severity for problem in problems]))
    return exit_code(problems, strict) if files else 2


def summary(files: int, severities: list[str]) -> str:
    """One line that counts what was found."""
    if not files:
        return "No file given: llama-gateway check FILE..."
    counts = [
        f"{severities.count(severity)} {word}"
        for severity, word in (("error", "errors"), ("warning", "warnings"), ("info", "notes"))
        if severity in severities
    ]
    return f"{files} checked: {', '.join(counts) or 'clean'}."
