"""`llama-gateway doctor`: is everything as the gateway needs it, and if not, what to do."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import orjson
import structlog
from cyclopts import Parameter

from gateway.catalogue import Catalogue
from gateway.config.loading import load
from gateway.config.settings import Settings, SettingsError
from gateway.fleet.checks import store
from gateway.fleet.checks.finding import Finding
from gateway.fleet.doctor import Doctor, Looked, Report
from gateway.policytools.check import BOLD, COLOURS, RESET
from gateway.stores.redis import shared_store
from gateway.stores.redis_url import StoreUrlError

SILENT = 50  # only what is critical is logged
WORDS = {"error": "error", "warning": "warning", "info": "note"}
PLURAL = {"error": "errors", "warning": "warnings", "info": "notes"}


def doctor(
    *,
    policy: Annotated[
        Path | None, Parameter(help="Look at its backends; else GATEWAY_POLICY, else what `up` would find.")
    ] = None,
    format: Annotated[Literal["text", "json"], Parameter(help="How to print the findings.")] = "text",
) -> int:
    """The verb `doctor`; its exit code."""
    path, wrong = policy, []
    try:
        settings = Settings.from_env(os.environ)
        path = policy or settings.policy
        wrong = asyncio.run(examine_store(settings.store_url))
    except (SettingsError, StoreUrlError) as exc:
        wrong.append(Finding("error", "settings", "the environment", str(exc)))
    report = asyncio.run(examine(path))
    report = report._replace(findings=(*wrong, *report.findings))
    if format == "json":
        sys.stdout.write(as_json(report))
    else:
        print(*text(report, sys.stdout.isatty()), sep="\n")
    return exit_code(report.findings)


async def examine(policy: Path | None) -> Report:
    """What there is to say of a policy file, or of this machine without one."""
    catalogue, today = Catalogue.load(), datetime.now(UTC).date()
    examiner = Doctor(catalogue, today)
    if policy is None:
        return await examiner.machine(os.environ)
    return await examiner.policy(load(policy, os.environ, catalogue, today), os.environ)


async def examine_store(url: str) -> list[Finding]:
    """What there is to say of the shared store; nothing where there is none. Raises StoreUrlError."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(SILENT))  # the report says it all
    shared = shared_store(url)
    return [] if shared is None else await store.look(shared)


def exit_code(findings: Sequence[Finding]) -> int:
    """0 when there are notes only, 1 for warnings, 2 for errors."""
    found = {finding.severity for finding in findings}
    return 2 if "error" in found else 1 if "warning" in found else 0


def as_json(report: Report) -> str:
    """The report for programs."""
    data = {
        "backends": [one._asdict() for one in report.looked],
        "findings": [finding._asdict() for finding in report.findings],
        "exit_code": exit_code(report.findings),
    }
    return orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode()


def text(report: Report, colour: bool) -> Iterator[str]:
    """The report for people: whom it looked at, what it found, how much of it."""
    yield from looked(report.looked)
    if report.looked:
        yield ""
    for finding in report.findings:
        yield from lines(finding, colour)
    yield summary(report)


def looked(backends: Sequence[Looked]) -> Iterator[str]:
    """Whom it looked at, in columns."""
    names = max((len(one.name) for one in backends), default=0)
    kinds = max((len(one.kind) for one in backends), default=0)
    wheres = max((len(one.where) for one in backends), default=0)
    for one in backends:
        models = "1 model" if one.models == 1 else f"{one.models} models"
        yield f"{one.name:<{names}}  {one.kind:<{kinds}}  {one.where:<{wheres}}  {models}"


def lines(finding: Finding, colour: bool) -> Iterator[str]:
    """A finding: how bad, of whom, what; then what to do."""
    label, whom = f"{WORDS[finding.severity]:<7}", finding.whom
    if colour:
        label, whom = f"{COLOURS[finding.severity]}{label}{RESET}", f"{BOLD}{whom}{RESET}"
    yield f"{label}  {finding.check}  {whom}: {finding.what}"
    if finding.advice:
        yield f"         {finding.advice}"


def summary(report: Report) -> str:
    """One line that counts."""
    counts = []
    for severity, word in WORDS.items():
        if number := sum(finding.severity == severity for finding in report.findings):
            counts.append(f"{number} {word if number == 1 else PLURAL[severity]}")
    backends = "1 backend" if len(report.looked) == 1 else f"{len(report.looked)} backends"
    return f"{backends} looked at: {', '.join(counts) or 'all is well'}."
