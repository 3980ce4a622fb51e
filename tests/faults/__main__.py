"""`python -m tests.faults`: the sixteen faults at their real times; prints the table and writes it."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.faults.failover_bench import FAULTS, Fault, cells, seen_of
from tests.faults.invariants import violations
from tests.faults.report import Line, table
from tests.faults.runner import staged

TOGETHER = 4  # repeats that run at once, each on routes of its own


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--repeats", type=int, default=20, help="of each fault in each form (20)")
    parser.add_argument("--only", nargs="+", default=[], metavar="S08", help="these faults alone")
    parser.add_argument("--scale", type=float, default=1.0, help="of all times (1); below 1 no times are judged")
    parser.add_argument("--out", type=Path, default=Path("build/faults.md"), help="where the table goes")
    return parser.parse_args()


async def round_of(faults: tuple[Fault, ...], repeats: int, scale: float) -> tuple[list[Line], list[str]]:
    """Some repeats on a fresh gateway: a line for each form, and what was violated."""
    with tempfile.TemporaryDirectory() as directory:
        stage = await staged(cells(faults, repeats), Path(directory), scale)
        stage.hung = max(stage.hung, 180 * scale)
        try:
            found = await asyncio.gather(*(seen_of(stage, fault, repeats, scale == 1) for fault in faults))
            broken = await violations(stage)
        finally:
            await stage.close()
    lines = [
        Line(fault.id, fault.what, form, [fault.judge(one) for one in seen], max(one.slowest() for one in seen))
        for fault, forms in zip(faults, found, strict=True)
        for form, seen in forms.items()
    ]
    return lines, broken


def merged(rounds: list[list[Line]]) -> list[Line]:
    """The lines of several rounds as one."""
    return [
        same[0]._replace(
            verdicts=[verdict for line in same for verdict in line.verdicts],
            slowest=max(line.slowest for line in same),
        )
        for same in zip(*rounds, strict=True)
    ]


async def main(asked: argparse.Namespace) -> int:
    """Run, print, write; 1 unless all is passed."""
    faults = tuple(fault for fault in FAULTS if not asked.only or fault.id in asked.only)
    rounds, broken = [], []
    for done in range(0, asked.repeats, TOGETHER):
        lines, wrong = await round_of(faults, min(TOGETHER, asked.repeats - done), asked.scale)
        rounds.append(lines)
        broken += wrong
        print(f"{min(done + TOGETHER, asked.repeats)} of {asked.repeats} repeats", file=sys.stderr, flush=True)
    lines = merged(rounds)
    text = table(lines, asked.repeats, asked.scale, len(broken))
    print(text, *broken, sep="\n")
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(text)
    return int(bool(broken) or any(line.verdict != "pass" for line in lines))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
