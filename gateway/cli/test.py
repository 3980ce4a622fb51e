"""`llama-gateway test`: the unit tests of policies."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from gateway.catalogue import Catalogue
from gateway.policytools.suites import SUFFIX, is_tests, run_file
from gateway.policytools.verdicts import exit_code_of, render_tests

NO_FILE = "No file given: llama-gateway test policies/*.test.yaml"


def test(
    *files: Annotated[Path, Parameter(help="Files of tests; a policy stands for the tests beside it.")],
    format: Annotated[Literal["text", "json", "github"], Parameter(help="How to print the results.")] = "text",
) -> int:
    """The verb `test`; its exit code."""
    if not files:
        print(NO_FILE, file=sys.stderr)
        return 2
    catalogue, today = Catalogue.load(), datetime.now(UTC).date()
    suites = [run_file(file, catalogue, today) for file in dict.fromkeys(map(beside, files))]
    print(render_tests(suites, format, sys.stdout.isatty()), end="")
    return exit_code_of(suites)


def beside(file: Path) -> Path:
    """A file of tests: the file itself, or the one that belongs to a policy."""
    return file if is_tests(file) else file.parent / (file.name.removesuffix(file.suffix) + SUFFIX)
