"""`python -m tests.bench`: measure the targets side by side and write the table."""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from . import adapters, planning, proc, report
from .cases import ADDED
from .measure import Bench, StartError, run_target
from .peers import versions
from .stats import Round, added
from .targets import TARGETS
from .tools import compile_tools, upstream

BUILD = Path(__file__).parents[2] / "build"
SERVERS = 10  # ports of the upstream, each a server to those who balance


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure, and for how long."""

    rounds: int
    seconds: float
    targets: tuple[str, ...]
    connections: int
    chunks: int
    chunk_interval_us: int
    delay_ms: int
    adapter_rounds: int


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    made.add_argument("--rounds", type=int, default=3)
    made.add_argument("--seconds", type=float, default=1.5, help="length of one case; a third more to warm up")
    made.add_argument(
        "--targets", default=",".join(TARGETS), help="which, in what order, '' for none (default: %(default)s)"
    )
    made.add_argument("--connections", type=int, default=16)
    made.add_argument("--chunks", type=int, default=100, help="events of one stream")
    made.add_argument("--chunk-interval-us", type=int, default=0, help="pause between events; 0: none")
    made.add_argument("--delay-ms", type=int, default=0, help="how long the upstream thinks")
    made.add_argument("--adapter-rounds", type=int, default=9, help="of the providers by themselves; 0: none")
    made.add_argument("--quick", action="store_true", help="one short round, to see that everything works")
    made.add_argument("--out", type=Path, default=BUILD / "bench", help="writes OUT.md, OUT.json and OUT.svg")
    return made


def options(given: argparse.Namespace) -> Options:
    """Return the checked options; `--quick` overrules rounds and seconds."""
    names = tuple(name for name in given.targets.split(",") if name)
    if unknown := [name for name in names if name not in TARGETS]:
        raise SystemExit(f"No target is called {', '.join(unknown)}; there are {', '.join(TARGETS)}.")
    rounds, seconds = (1, 0.6) if given.quick else (given.rounds, given.seconds)
    if rounds < 1 or not 0.1 <= seconds <= 120 or given.adapter_rounds < 0:
        raise SystemExit("--rounds must be at least 1, --seconds between 0.1 and 120, --adapter-rounds not negative.")
    pacing = (given.chunk_interval_us, given.delay_ms)
    alone = min(1, given.adapter_rounds) if given.quick else given.adapter_rounds
    return Options(rounds, seconds, names, given.connections, given.chunks, *pacing, alone)


def say(text: str) -> None:
    """Tell the person who waits how far it is."""
    print(text, file=sys.stderr, flush=True)


def prepare(names: Sequence[str]) -> dict[str, str]:
    """Make the targets ready; return those that cannot be measured here, and why."""
    reasons = {name: TARGETS[name].prepare() for name in names}
    return {name: reason for name, reason in reasons.items() if reason}


def run_round(bench: Bench, names: Sequence[str], problems: list[str], label: str) -> dict[str, Round | None]:
    """Measure each target once; one that fails leaves a problem and no figures."""
    found: dict[str, Round | None] = {}
    for name in names:
        say(f"{label}: {name}")
        try:
            result = run_target(bench, TARGETS[name])
        except (StartError, OSError, RuntimeError, subprocess.SubprocessError) as error:
            problems.append(f"{label}, {name}: {error}")
            found[name] = None
            continue
        problems += [f"{label}, {name}: {text}" for text in result.problems]
        extra = {} if name == "direct" else added(result.figures, found.get("direct") or {}, ADDED)
        found[name] = {**result.figures, **extra}
    return found


def run_rounds(bench: Bench, asked: Options, left_out: dict[str, str], alone: report.Rounds) -> report.Report:
    """Measure all targets in turn, several times over, so that a slow minute of the machine hits all alike."""
    names = sorted((name for name in asked.targets if name not in left_out), key=lambda name: name != "direct")
    problems: list[str] = []
    labels = [f"round {index + 1} of {asked.rounds}" for index in range(asked.rounds)]
    found = [run_round(bench, names, problems, label) for label in labels]
    by_target = {name: [one[name] for one in found] for name in names}
    return report.Report(asdict(asked), by_target, left_out, problems, alone)


def measure(asked: Options) -> report.Report:
    """Measure the providers by themselves; then compile, start the upstream, and measure the targets."""
    alone = adapters.measured(asked.adapter_rounds, say) if asked.adapter_rounds else {}
    if not asked.targets:
        return report.Report(asdict(asked), {}, {}, (), alone)
    left_out = prepare(asked.targets)
    for name, reason in left_out.items():
        say(f"left out: {name}: {reason}")
    target_core, load_core = proc.cores()
    os.sched_setaffinity(0, {load_core})  # this process polls and waits: away from what is measured
    tools = compile_tools(BUILD / "bench-tools")
    pacing = ("--chunk-interval-us", str(asked.chunk_interval_us), "--delay-ms", str(asked.delay_ms))
    with upstream(tools, load_core, asked.chunks, pacing, SERVERS) as server:
        bench = Bench(tools, server, asked.seconds, asked.connections, target_core, load_core)
        return run_rounds(bench, asked, left_out, alone)


def main() -> int:
    """Run the benchmark; return 1 if some figures are missing or not to be believed."""
    given = parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is stopped
    asked = options(given)
    plans = planning.measured(asked.rounds, say)
    finished = replace(measure(asked), plans=plans, versions=versions())
    report.write(finished, given.out)
    print(report.markdown(finished))
    say(f"written: {given.out}.md, {given.out}.json, {given.out}.svg")
    return 1 if finished.problems else 0


if __name__ == "__main__":
    sys.exit(main())
