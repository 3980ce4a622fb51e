"""`llama-gateway diff`: what a change of a policy does."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import orjson
from cyclopts import Parameter
from rich.console import Console
from rich.progress import wrap_file

from gateway.catalogue import Catalogue
from gateway.policytools.check import render
from gateway.policytools.diff import difference, difference_json
from gateway.policytools.diff_text import diff_text
from gateway.policytools.logged import BadLine, LoggedRequest, read_line
from gateway.policytools.replay import Replay, replay, replay_json
from gateway.policytools.versions import Unreadable, Version, version
from gateway.routing.book import StatsBook

FAILED = 2
LONG = 1 << 20  # bytes of a log from which on a progress bar is worth it
NOW = 0.0  # nothing was seen, so any time does


class CannotRead(Exception):
    """A policy or a log that cannot be read; the message says where and why."""


def diff(
    old: Annotated[Path, Parameter(help="The policy as it is.")],
    new: Annotated[Path, Parameter(help="The policy as it shall be.")],
    *,
    requests: Annotated[Path | None, Parameter(help="A log of requests (JSON Lines), each planned by both.")] = None,
    format: Annotated[Literal["text", "json"], Parameter(help="How to print it.")] = "text",
) -> int:
    """The verb `diff`; its exit code."""
    catalogue, today = Catalogue.load(), datetime.now(UTC).date()
    try:
        before, after = (opened(file, catalogue, today) for file in (old, new))
        replayed = None if requests is None else replayed_log(before, after, requests)
    except Unreadable as exc:
        print(render(exc.problems, "text", sys.stderr.isatty()), end="", file=sys.stderr)
        return FAILED
    except CannotRead as exc:
        print(exc, file=sys.stderr)
        return FAILED
    found = difference(before, after)
    if format == "json":
        body = {**difference_json(found), "requests": None if replayed is None else replay_json(replayed)}
        print(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())
    else:
        print(diff_text(found, replayed, sys.stdout.isatty()), end="")
    return 1 if found or (replayed is not None and replayed.changed()) else 0


def opened(file: Path, catalogue: Catalogue, today: date) -> Version:
    """The policy in a file; raises Unreadable or CannotRead."""
    with reading(file):
        text = file.read_bytes()
    return version(text, str(file), os.environ, catalogue, today)


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Raises CannotRead for what the system says against a file."""
    try:
        yield
    except OSError as exc:
        raise CannotRead(f"{file} cannot be read: {exc.strerror}.") from exc


def replayed_log(before: Version, after: Version, log: Path) -> Replay:
    """What both policies do with the requests of a log when nothing was seen yet; raises CannotRead."""
    with reading(log), log.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        watched = size >= LONG and sys.stderr.isatty()
        bar = wrap_file(stream, size, description=f"{log.name}", console=Console(stderr=True), transient=True)
        with bar if watched else nullcontext(stream) as lines:
            return replay(before.policy, after.policy, logged(lines, log), StatsBook(), NOW)


def logged(lines: BinaryIO, log: Path) -> Iterator[LoggedRequest]:
    """The requests in the lines of a log; raises CannotRead."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield read_line(line)
        except BadLine as exc:
            raise CannotRead(f"{log}:{number}: the line {exc}. Correct or remove it.") from exc
