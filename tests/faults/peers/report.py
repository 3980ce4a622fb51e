"""The verdicts side by side, in Markdown and JSON."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence

from tests.faults.failover_bench import Fault
from tests.faults.peers.stage import Judged
from tests.faults.verdicts import WORST, Verdict

Columns = Mapping[str, Mapping[str, Judged]]  # system -> fault -> verdicts


def worst(found: Judged) -> tuple[Verdict, str]:
    """The worst of the repeats, and why it is no pass."""
    return min(found[0], key=lambda one: WORST.index(one[0]))


def total(column: Mapping[str, Judged]) -> str:
    """How many of each verdict, the best first."""
    counts = Counter(worst(found)[0] for found in column.values())
    return " / ".join(str(counts[name]) for name in reversed(WORST))


def cell(found: Judged | None) -> str:
    """A verdict and the seconds of the slowest reply."""
    return "-" if found is None else f"{worst(found)[0]}, {found[1]:.1f} s"


def markdown(columns: Columns, faults: Sequence[Fault], facts: Mapping[str, str]) -> str:
    """The table, the sums under it, and why what was not passed was not."""
    head = f"| id | the primary... | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}"
    rows = [
        f"| {fault.id} | {fault.what} | {' | '.join(cell(column.get(fault.id)) for column in columns.values())} |"
        for fault in faults
    ]
    rows.append(f"| | pass / partial / safe / fail | {' | '.join(total(column) for column in columns.values())} |")
    why = [
        f"- {name}, {fault.id}: {verdict}, {reason}"
        for name, column in columns.items()
        for fault in faults
        if fault.id in column
        for verdict, reason in [worst(column[fault.id])]
        if verdict != "pass"
    ]
    told = ", ".join(f"{name} {value}" for name, value in facts.items())
    about = f"Streamed, at real times; each cell has its worst repeat and the slowest reply. {told}."
    return "\n".join(["# Other gateways on the wall of faults", "", about, "", head, *rows, "", *why, ""])


def as_json(columns: Columns, facts: Mapping[str, str], problems: Mapping[str, str]) -> str:
    """The same for programs."""
    systems = {
        name: {
            id: {"verdict": worst(found)[0], "why": worst(found)[1], "repeats": found[0], "slowest": found[1]}
            for id, found in column.items()
        }
        for name, column in columns.items()
    }
    return json.dumps({"facts": dict(facts), "systems": systems, "problems": dict(problems)}, indent=2) + "\n"
