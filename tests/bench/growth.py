"""`python -m tests.bench.growth`: how cost grows with bodies, deployments, callers, open streams and cached answers.

About three minutes; each curve is bounded in time.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from . import growth_report, proc
from .cases import CASES, Case
from .growth_cache import cache_cost
from .growth_report import Curve, Point
from .inmemory import in_memory, key_of
from .measure import Bench, StartError, running, sampled
from .peers import BUILD
from .targets.gateway import Gateway
from .tools import compile_tools, upstream

SERVERS = 10
BODIES = (1_000, 50_000, 200_000, 1_000_000)  # bytes
DEPLOYMENTS = (3, 10, 50, 200)
CALLERS = (10, 100, 1_000, 10_000, 100_000)
STREAMS = (10, 100, 1_000, 5_000)
CACHED = (1_000, 10_000, 100_000, 1_000_000)
ASKED = 2_000  # requests by which callers are measured
WINDOW = 2_000_000  # tokens: a prompt of a megabyte has room
SECOND = "pace-interval-us=1000000 "
STREAM = Case("streams", 1, stream=True, pace=SECOND, chunks=8, once=True, crowd=True)


def bodies(bench: Bench, sizes: Sequence[int]) -> list[Point]:
    """CPU per request over the size of its body, on one connection."""
    points = []
    with running(bench, Gateway(context=WINDOW)) as ready:
        for size in sizes:
            case = Case("plain", 1, pad=max(0, size - 1000))
            sample, _ = sampled(bench, ready, case)
            points.append(Point(size, {"CPU us per request": sample.cpu_us or 0.0, "failed": sample.load.errors}))
    return points


def deployments(bench: Bench, counts: Sequence[int]) -> list[Point]:
    """CPU per request over the number of deployments that are weighed for it."""
    points = []
    for count in counts:
        with running(bench, Gateway(deployments=count)) as ready:
            before = proc.resident_mb(ready.pids())
            sample, _ = sampled(bench, ready, CASES[0])
            memory = {"resident at start, MB": before, "resident after load, MB": proc.resident_mb(ready.pids())}
        points.append(Point(count, {"CPU us per request": sample.cpu_us or 0.0, **memory}))
    return points


def callers(bench: Bench, counts: Sequence[int]) -> list[Point]:
    """CPU per request over the number of callers with limits, each asking in its turn; in process, without sockets."""
    return [Point(count, asked_by(count)) for count in counts]


def asked_by(count: int) -> dict[str, float]:
    """The first and the second request of some of so many callers."""
    case, step = CASES[0], max(1, count // ASKED)
    with in_memory(callers=count) as gateway:
        keys = [key_of(number * step % count) for number in range(ASKED)]
        for key in keys[:20]:
            gateway.ask(case, "bench", key)
        spent = []
        for _ in range(2):
            begun = time.process_time()
            for key in keys:
                gateway.ask(case, "bench", key)
            spent.append((time.process_time() - begun) * 1e6 / len(keys))
    return {"CPU us, first request": spent[0], "CPU us, later request": spent[1]}


def streams(bench: Bench, counts: Sequence[int]) -> list[Point]:
    """Memory and losses over the number of streams that are open at once, a chunk a second in each."""
    points = []
    for count in counts:
        with running(bench, Gateway()) as ready:
            sampled(bench, ready, CASES[0])
            before = proc.resident_mb(ready.pids())
            sample, _ = sampled(bench, ready, replace(STREAM, connections=count))
        each = (sample.peak_mb - before) * 1024 / count
        figures = {"KB per stream": max(0.0, each), "CPU us per chunk": sample.cpu_us_chunk or 0.0, "lost": sample.lost}
        points.append(Point(count, {**figures, "resident at most, MB": sample.peak_mb}))
    return points


def cached(bench: Bench, counts: Sequence[int]) -> list[Point]:
    """Looks into the cache and its upkeep over the number of answers in it."""
    return [Point(count, cache_cost(count)) for count in counts]


Measure = Callable[[Bench, Sequence[int]], list[Point]]
CURVES: Mapping[str, tuple[str, Sequence[int], Measure]] = {
    "bodies": ("bytes of the body", BODIES, bodies),
    "deployments": ("deployments", DEPLOYMENTS, deployments),
    "callers": ("callers", CALLERS, callers),
    "streams": ("open streams", STREAMS, streams),
    "cached": ("answers in the cache", CACHED, cached),
}


def arguments() -> argparse.Namespace:
    """What was asked for."""
    made = argparse.ArgumentParser(prog="python -m tests.bench.growth", description=__doc__)
    made.add_argument("--only", nargs="+", choices=list(CURVES), default=list(CURVES), metavar="CURVE")
    made.add_argument("--seconds", type=float, default=2.0, help="length of one measurement under load")
    made.add_argument("--most", type=int, default=sys.maxsize, help="leave out what is larger")
    made.add_argument("--out", type=Path, default=BUILD / "growth", help="writes OUT.md, OUT.json and OUT.svg")
    return made.parse_args()


def measured(asked: argparse.Namespace) -> list[Curve]:
    """Every curve that was asked for."""
    target_core, load_core = proc.cores()
    os.sched_setaffinity(0, {load_core})
    tools, found = compile_tools(BUILD / "bench-tools"), []
    with upstream(tools, load_core, listeners=SERVERS) as server:
        bench = Bench(tools, server, asked.seconds, 16, target_core, load_core)
        for name in asked.only:
            over, sizes, measure = CURVES[name]
            print(f"{name} ...", file=sys.stderr, flush=True)
            curve = Curve(name, over, (measure.__doc__ or "").strip(), [])
            try:
                points = measure(bench, [size for size in sizes if size <= asked.most])
                found.append(replace(curve, points=points))
            except (StartError, RuntimeError, OSError) as error:
                found.append(replace(curve, about=f"It could not be measured: {error}"))
    return found


def main() -> int:
    """Measure, print and write; 1 if a curve is missing."""
    asked = arguments()
    found = measured(asked)
    growth_report.write(found, asked.out)
    print(growth_report.markdown(found))
    return int(not all(curve.points for curve in found))


if __name__ == "__main__":
    sys.exit(main())
