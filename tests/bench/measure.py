"""One target in one round: start it, load it, read its processes, stop it."""

import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from . import proc
from .cases import CASES, Case, Sample, body, complaint, figures
from .targets import Launch, Target
from .tools import Job, Tools, Upstream, load

READY_SECONDS = 90
POLL_SECONDS = 0.005


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
        launch = target.launch(bench.upstream.port, folder)
        if not launch.argv:
            yield Running(launch, None, 0.0, folder)
            return
        log = folder / "output.log"
        process = proc.spawn(launch.argv, bench.target_core, launch.env, log)
        try:
            yield Running(launch, process.pid, _await_ready(launch, process, log), folder)
        finally:
            proc.stop(process)


def _job(bench: Bench, target: Running, case: Case, seconds: float) -> Job:
    model = target.launch.cached_model if case.cached else target.launch.model
    file = target.folder / "body.json"
    file.write_bytes(body(model or target.launch.model, case.stream))
    connections = bench.connections if case.many else 1
    return Job(target.launch.port, target.launch.path, file, target.launch.headers, connections, seconds)


def run_case(bench: Bench, target: Running, case: Case) -> Result:
    """Warm the target up for one case, then measure it."""
    load(bench.tools, bench.load_core, _job(bench, target, case, bench.seconds / 3))
    job, pids = _job(bench, target, case, bench.seconds), target.pids()
    served, used = bench.upstream.served(), proc.cpu_seconds(pids)
    seen = load(bench.tools, bench.load_core, job)
    cpu = proc.cpu_seconds(pids) - used if pids else None
    sample = Sample(seen, cpu, bench.upstream.chunks)
    wrong = complaint(case, sample, bench.upstream.served() - served)
    return Result({}, (f"{case.name}: {wrong}",)) if wrong else Result(figures(case, sample), ())


def run_target(bench: Bench, target: Target, cases: Sequence[Case] = CASES) -> Result:
    """Measure one target in all cases that apply to it."""
    with running(bench, target) as ready:
        wanted = [case for case in cases if ready.launch.cached_model or not case.cached]
        results = [run_case(bench, ready, case) for case in wanted]
        own = {"memory_mb": proc.resident_mb(ready.pids()), "start_s": ready.start_s} if ready.pid else {}
    merged = {name: value for result in results for name, value in result.figures.items()}
    return Result({**merged, **own}, tuple(text for result in results for text in result.problems))
