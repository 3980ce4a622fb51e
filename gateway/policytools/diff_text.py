"""A difference of two policies, and what it does to a log's requests, for a terminal."""

from collections.abc import Iterator

from gateway.policytools.check import BOLD, RESET
from gateway.policytools.diff import Difference
from gateway.policytools.replay import Found, Replay

MARKS = {"added": "+", "removed": "-", "changed": "~", "moved": "~"}
BAD = frozenset({"lost", "wider", "new", "gone", "unguarded", "overtaken"})
SHOWN = 5  # examples of a finding
RED, GREEN, YELLOW = "\x1b[31m", "\x1b[32m", "\x1b[33m"
COLOURS = {"+": GREEN, "-": RED, "~": YELLOW, "!": RED}


def diff_text(found: Difference, replayed: Replay | None, colour: bool) -> str:
    """All of it, ready to print."""
    lines = list(changes(found))
    if replayed is not None:
        lines += ["", *impact(replayed)]
    return "".join(f"{shade(line) if colour else line}\n" for line in lines)


def shade(line: str) -> str:
    """A line with the colour of its mark; a heading is bold."""
    mark = line.lstrip()[:1]
    if line and not line.startswith(" "):
        return f"{BOLD}{line}{RESET}"
    return f"{COLOURS[mark]}{line}{RESET}" if mark in COLOURS else line


def changes(found: Difference) -> Iterator[str]:
    """The changes by section, and privacy last, where it is read."""
    if not found:
        yield f"{found.old} and {found.new} mean the same."
        return
    for section in dict.fromkeys(change.section for change in found.changes):
        yield section
        yield from (f"  {MARKS[one.action]} {one.text}" for one in found.changes if one.section == section)
    if found.privacy:
        yield "privacy"
        yield from (f"  {'!' if one.change in BAD else '+'} {one.text}" for one in found.privacy)


def impact(found: Replay) -> Iterator[str]:
    """What becomes of the log's requests."""
    yield f"{found.requests} requests, {found.planned} of them planned by both"
    for what, count in (
        ("route", found.route_changes),
        ("first model", found.model_changes),
        ("first backend", found.backend_changes),
    ):
        yield f"  {what} changes for {count} ({share(count, found.requests)})"
    yield from (f"    {move.of} {move.before} -> {move.after}: {move.count}" for move in found.moves)
    yield from table(found)
    yield from named("!", "may now leave the house", found.lost_privacy)
    yield from named("+", "now stay in the house", found.gained_privacy)
    yield from named("!", "would fail now", found.fails_now)
    yield from named("+", "failed before and work now", found.works_now)


def table(found: Replay) -> Iterator[str]:
    """Cost and time before and after."""
    yield f"  {'expected':22} {'before':>12} {'after':>12} {'change':>9}"
    for label, field, form in (
        ("USD, all of them", "usd_total", ".4f"),
        ("USD a request, p50", "usd_p50", ".6f"),
        ("USD a request, p95", "usd_p95", ".6f"),
        ("s to first token, p50", "ttft_p50", ".3f"),
        ("s to first token, p95", "ttft_p95", ".3f"),
        ("s to last token, p50", "seconds_p50", ".3f"),
        ("s to last token, p95", "seconds_p95", ".3f"),
    ):
        before, after = getattr(found.before, field), getattr(found.after, field)
        yield f"  {label:22} {before:>12{form}} {after:>12{form}} {relative(before, after):>9}"


def relative(before: float, after: float) -> str:
    """A change in percent."""
    if before == after:
        return "same"
    return f"{(after - before) / before:+.1%}" if before else "new"


def share(count: int, of: int) -> str:
    """A share in percent."""
    return f"{count / of:.1%}" if of else "0%"


def named(mark: str, what: str, found: Found) -> Iterator[str]:
    """A finding with its first examples."""
    if found.count:
        more = ", ..." if found.count > SHOWN else ""
        yield f"  {mark} {found.count} {what}: {', '.join(found.examples[:SHOWN])}{more}"
