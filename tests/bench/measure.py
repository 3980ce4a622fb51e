"""One target in one round: start it, load it, read its processes, stop it."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from . import proc
from .cases import CASES, Case, Sample, body, complaint, figures
from .targets import Launch, Target
from .tools import Job, Tools, Upstream, load

READY_SECONDS = 90
POLL_SECONDS = 0.005
WATCH_SECONDS = 0.1
ONCE_SECONDS = 10.0  # in which each has asked once; whoever still waits has twenty more
SLOW_GRACE = 90.0  # seconds, where a crowd is more than a target is made for


@dataclass(frozen=True, slots=True)
class Bench:
    """What stays the same over all rounds."""

    tools: Tools
    upstream: Upstream
    seconds: float  # of one case; a third of it more to warm up
    connections: int
    target_core: int
    load_core: int


@dataclass(frozen=True, slots=True)
class Running:
    """A target that is ready."""

    launch: Launch
    pid: int | None  # none: it has no process of its own
    start_s: float
    folder: Path

    def pids(self) -> tuple[int, ...]:
        """Return its processes as of now."""
        return () if self.pid is None else proc.family(self.pid)


@dataclass(frozen=True, slots=True)
class Result:
    """The figures of one target in one round, and what was wrong with them."""

    figures: dict[str, float]
    problems: tuple[str, ...]


class StartError(Exception):
    """A target did not become ready."""


def _answers(launch: Launch) -> bool:
    client = HTTPConnection("127.0.0.1", launch.port, timeout=2)
    try:
        client.request("GET", launch.ready)
        return client.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        client.close()


def _await_ready(launch: Launch, process: subprocess.Popen[bytes], log: Path) -> float:
    """Return the seconds until the target was ready."""
    begun = time.perf_counter()
    while not _answers(launch):
        if process.poll() is not None or time.perf_counter() - begun > READY_SECONDS:
            state = "ended" if process.poll() is not None else "is not ready"
            tail = log.read_text(errors="replace")[-1500:].strip()
            raise StartError(f"It {state} after {time.perf_counter() - begun:.1f} s; it said: {tail or 'nothing'}")
        time.sleep(POLL_SECONDS)
    return time.perf_counter() - begun


@contextmanager
def running(bench: Bench, target: Target) -> Iterator[Running]:
    """Start a target in an empty folder, and stop it when the block ends."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        launch = target.launch(bench.upstream.ports, folder)
        if not launch.argv:
            yield Running(launch, None, 0.0, folder)
            return
        log = folder / "output.log"
        process = proc.spawn(launch.argv, bench.target_core, launch.env, log)
        try:
            yield Running(launch, process.pid, _await_ready(launch, process, log), folder)
        finally:
            proc.stop(process)


def _model(launch: Launch, case: Case) -> str | None:
    """Return what to ask for; none where the target has nothing of the kind."""
    return {"hit": launch.cached_model, "miss": launch.missing_model}.get(case.cache, launch.model)


def _job(bench: Bench, target: Running, case: Case, seconds: float) -> Job:
    launch, file = target.launch, target.folder / "body.json"
    extra = launch.cached if case.cache else {}
    file.write_bytes(body(_model(launch, case) or launch.model, case, extra))
    connections = case.connections or bench.connections
    job = Job(launch.port, launch.path, file, launch.headers, connections, seconds)
    if case.crowd and launch.slow:
        job = replace(job, grace=SLOW_GRACE)
    return replace(job, seconds=ONCE_SECONDS, requests=connections) if case.once else job


@contextmanager
def watched(pids: tuple[int, ...]) -> Iterator[list[float]]:
    """Note the resident MB of some processes again and again while the block lasts."""
    seen, over = [0.0], threading.Event()

    def look() -> None:
        while pids and not over.wait(WATCH_SECONDS):
            seen.append(proc.resident_mb(pids))

    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()


def sampled(bench: Bench, target: Running, case: Case) -> tuple[Sample, int]:
    """Warm the target up for one case, then load it; what was seen, and how many requests reached the upstream."""
    if not case.once and not (case.crowd and target.launch.slow):
        load(bench.tools, bench.load_core, _job(bench, target, case, bench.seconds / 3))
    job, pids = _job(bench, target, case, bench.seconds), target.pids()
    served, used = bench.upstream.served(), proc.cpu_seconds(pids)
    with watched(pids if case.crowd else ()) as resident:
        seen = load(bench.tools, bench.load_core, job)
    cpu = proc.cpu_seconds(pids) - used if pids else None
    sample = Sample(seen, cpu, case.chunks or bench.upstream.chunks, max(resident))
    return sample, bench.upstream.served() - served


def run_case(bench: Bench, target: Running, case: Case) -> Result:
    """Measure a target in one case."""
    sample, reached = sampled(bench, target, case)
    wrong = complaint(case, sample, reached)
    return Result({}, (f"{case.name}: {wrong}",)) if wrong else Result(figures(case, sample), ())


def _tried(bench: Bench, target: Running, case: Case) -> Result:
    """The same; where the load could not even be put on it, that is the problem."""
    try:
        return run_case(bench, target, case)
    except RuntimeError as error:
        return Result({}, (f"{case.name}: {error}",))


def _run_in(bench: Bench, target: Running) -> None:
    """Let a target that loads or compiles what it needs when it needs it do so."""
    if target.launch.first_requests:
        job = _job(bench, target, CASES[0], ONCE_SECONDS)
        load(bench.tools, bench.load_core, replace(job, requests=target.launch.first_requests))


def run_target(bench: Bench, target: Target, cases: Sequence[Case] = CASES) -> Result:
    """Measure one target in all cases that apply to it; its memory is read before the crowds come."""
    with running(bench, target) as ready:
        _run_in(bench, ready)
        wanted = [case for case in cases if _model(ready.launch, case)]
        results = [_tried(bench, ready, case) for case in wanted if not case.crowd]
        own = {"memory_mb": proc.resident_mb(ready.pids()), "start_s": ready.start_s} if ready.pid else {}
        results += [_tried(bench, ready, case) for case in wanted if case.crowd]
    merged = {name: value for result in results for name, value in result.figures.items()}
    return Result({**merged, **own}, tuple(text for result in results for text in result.problems))
