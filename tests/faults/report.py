"""The table of the sixteen faults, in Markdown."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from tests.faults.verdicts import WORST, Verdict


class Line(NamedTuple):
    """One fault in one form, over all repeats."""

    id: str
    what: str
    form: str
    verdicts: list[tuple[Verdict, str]]
    slowest: float  # seconds

    @property
    def verdict(self) -> Verdict:
        """The worst of the repeats."""
        return min((verdict for verdict, _ in self.verdicts), key=WORST.index)

    @property
    def why(self) -> str:
        """Why it is not a pass."""
        return next((why for verdict, why in self.verdicts if verdict == self.verdict), "")


def columns(row: Line) -> tuple[str, ...]:
    """What a line has in each column."""
    passed = sum(verdict == "pass" for verdict, _ in row.verdicts)
    return row.id, row.what, row.form, row.verdict, f"{passed} of {len(row.verdicts)}", f"{row.slowest:.2f}", row.why


def table(lines: Iterable[Line], repeats: int, scale: float, violations: int) -> str:
    """The table, and the sum under it: a fault is worth its worst form."""
    rows = list(lines)
    head = [
        "| id | the primary... | form | verdict | repeats that passed | slowest, s | |",
        "|---|---|---|---|---|---|---|",
    ]
    body = [f"| {' | '.join(columns(row))} |" for row in rows]
    worst = {row.id: min((other.verdict for other in rows if other.id == row.id), key=WORST.index) for row in rows}
    counts = Counter(worst.values())
    total = " / ".join(f"{counts[name]} {name}" for name in reversed(WORST))
    times = "real times" if scale == 1 else f"times x {scale:g}"
    foot = f"{repeats} repeats, {times}: **{total}**; {violations} violations of what must hold for every request."
    return "\n".join([*head, *body, "", foot, ""])
