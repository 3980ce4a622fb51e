"""`llama-gateway fmt`: policies in canonical order and layout."""

import os
import sys
from difflib import unified_diff
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

from cyclopts import Parameter

from gateway.config.problems import Place
from gateway.config.report import Report
from gateway.config.schema import PolicyFile
from gateway.policytools.cases import CaseFile
from gateway.policytools.check import render
from gateway.policytools.fmt import formatted
from gateway.policytools.suites import is_tests


def fmt(
    *files: Annotated[Path, Parameter(help="Policy files, and their *.test.yaml.")],
    check: Annotated[bool, Parameter(help="Write nothing; exit with 1 when a file would change.", negative="")] = False,
    diff: Annotated[bool, Parameter(help="Write nothing; print what would change.", negative="")] = False,
) -> int:
    """The verb `fmt`; its exit code."""
    if not files:
        print("No file given: llama-gateway fmt policies/*.yaml", file=sys.stderr)
        return 2
    changed = [one(file, check or diff, diff) for file in files]
    if None in changed:
        return 2
    return 1 if check and any(changed) else 0


def one(file: Path, dry: bool, diff: bool) -> bool | None:
    """Format a file; whether it changes, None when it cannot be."""
    report = Report(str(file))
    try:
        before = file.read_bytes()
        after = formatted(before, CaseFile if is_tests(file) else PolicyFile, report)
        if after is not None and after != before and not dry:
            replace(file.resolve(), after)
    except OSError as exc:
        report.add("LG024", Place(1, 1), f"{file} cannot be read or written: {exc.strerror}. Check who may do so.")
        after = None
    if after is None:
        print(render(report.problems(), "text", sys.stderr.isatty()), end="", file=sys.stderr)
        return None
    if after != before:
        tell(file, before, after, dry, diff)
    return after != before


def tell(file: Path, before: bytes, after: bytes, dry: bool, diff: bool) -> None:
    """Say what was, or would be, changed."""
    if diff:
        old, new = (text.decode("utf-8-sig").splitlines(keepends=True) for text in (before, after))
        print("".join(unified_diff(old, new, f"{file}", f"{file} (formatted)")), end="")
    else:
        print(f"{file} would change." if dry else f"{file} formatted.")


def replace(file: Path, content: bytes) -> None:
    """Write a file as a whole or not at all; raises OSError."""
    with NamedTemporaryFile(dir=file.parent, prefix=f".{file.name}.", delete=False) as stream:
        temporary = Path(stream.name)
        try:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
            temporary.chmod(file.stat().st_mode & 0o7777)
            temporary.replace(file)
        finally:
            temporary.unlink(missing_ok=True)  # it is there still where something failed
