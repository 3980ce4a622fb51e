"""`python -m tests.bench.reloading`: what reloads cost the requests that come meanwhile."""

import argparse
import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from . import proc
from .targets.gateway import COMMAND, KEY
from .tools import compile_tools, upstream

BUILD = Path(__file__).parents[2] / "build"
ADMIN_KEY = "bench-admin-key-0123456789abcdef"
ROUTES, BACKENDS = 200, 10
RATE = 1000  # requests a second
BODY = json.dumps({"model": "cached", "messages": [{"role": "user", "content": "What does a gateway do?"}]}).encode()
READY_SECONDS = 30.0
STEP = 0.01


@dataclass(frozen=True, slots=True)
class Latencies:
    """Milliseconds from when a request was due until its answer was whole, so that nothing that waits is left out."""

    p50: float
    p99: float
    p999: float
    worst: float
    requests: int


@dataclass(frozen=True, slots=True)
class Result:
    """Quiet, and while the policy is reloaded without a pause."""

    quiet: Latencies
    reloading: Latencies
    reloads: int

    @property
    def added(self) -> float:
        """Milliseconds by which the slowest request of a thousand is slower."""
        return self.reloading.p999 - self.quiet.p999


def policy(upstream_port: int, note: str = "") -> str:
    """The policy, as JSON with a comment behind it."""
    models = {
        "llama-3.1-8b-instruct": {"id": "small", "price": {"input": 0.1, "output": 0.2}},
        "llama-3.3-70b-instruct": {"id": "large", "price": {"input": 1, "output": 2}},
    }
    url = f"http://127.0.0.1:{upstream_port}"
    backends = {f"server-{index}": {"provider": "vllm", "url": url, "models": models} for index in range(BACKENDS)}
    routes: list[dict[str, Any]] = [
        {
            "name": f"route-{index}",
            "match": {"model": [f"name-{index}"], "headers": {"x-team": f"team-{index}"}, "when": "request.stream"},
            "models": sorted(models),
            "require": {"ttft": "2s", "max_usd": 0.01},
        }
        for index in range(ROUTES)
    ]
    routes.append({"name": "cached", "match": {"model": ["cached"]}, "models": sorted(models), "cache": {"ttl": "1h"}})
    whole = {"version": 1, "backends": backends, "routes": routes, "callers": {"bench": {"key": KEY}}}
    return f"{json.dumps(whole, indent=1)}\n# {note}\n"


class Caller:
    """One connection that is kept alive."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {KEY}\r\n"
        self.request = f"{head}content-length: {len(BODY)}\r\n\r\n".encode() + BODY

    def ask(self) -> None:
        """One request; raises RuntimeError when it fails."""
        self.socket.sendall(self.request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self.received()
        head, _, body = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:"))
        while len(body) < length:
            body += self.received()
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"A request failed: {body[:200]!r}")

    def received(self) -> bytes:
        """More bytes of the answer."""
        if not (data := self.socket.recv(65536)):
            raise RuntimeError("The gateway closed the connection.")
        return data


def asked(caller: Caller, seconds: float) -> list[float]:
    """Ask at an even pace; milliseconds from when each was due."""
    taken, start = [], time.perf_counter()
    for number in range(int(seconds * RATE)):
        due = start + number / RATE
        if (wait := due - time.perf_counter()) > 0:
            time.sleep(wait)
        caller.ask()
        taken.append((time.perf_counter() - due) * 1e3)
    return taken


def latencies(taken: Sequence[float]) -> Latencies:
    """The quantiles."""
    ordered = sorted(taken)
    p50, p99, p999, worst = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 0.999, 1.0))
    return Latencies(p50, p99, p999, worst, len(ordered))


class Operator:
    """Writes the policy anew and reloads it, again and again."""

    def __init__(self, admin_port: int, rewrite: Callable[[str], object]) -> None:
        self.admin_port = admin_port
        self.rewrite = rewrite
        self.reloads = 0
        self.over = threading.Event()

    def work(self) -> None:
        """Until it is over."""
        client = HTTPConnection("127.0.0.1", self.admin_port, timeout=30)
        while not self.over.is_set():
            self.rewrite(f"version {self.reloads}")
            client.request("POST", "/admin/policy/reload", headers={"authorization": f"Bearer {ADMIN_KEY}"})
            answer = client.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"A reload failed: {answer.read()[:200]!r}")
            answer.read()
            self.reloads += 1

    @contextmanager
    def working(self) -> Iterator[None]:
        """The same beside the block."""
        thread = threading.Thread(target=self.work)
        thread.start()
        try:
            yield
        finally:
            self.over.set()
            thread.join()


@contextmanager
def gateway(file: Path, core: int) -> Iterator[tuple[int, int]]:
    """A gateway on one core; its ports."""
    port, admin_port, log = proc.free_port(), proc.free_port(), file.with_suffix(".log")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OTEL_"))}
    env = {**clean, "GATEWAY_ADMIN_KEY": ADMIN_KEY, "GATEWAY_STATE_DIR": str(file.parent / "state")}
    argv = [str(COMMAND), "serve", "--policy", str(file), "--port", str(port), "--admin-port", str(admin_port)]
    process = proc.spawn(argv, core, env, log)
    try:
        await_listening(admin_port, log)
        yield port, admin_port
    finally:
        proc.stop(process)


def await_listening(port: int, log: Path) -> None:
    """Return when somebody listens."""
    until = time.perf_counter() + READY_SECONDS
    while time.perf_counter() < until:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(STEP)
        else:
            return
    raise RuntimeError(f"The gateway did not start: {log.read_text(errors='replace')[-1000:]}")


def measured(upstream_port: int, core: int, seconds: float) -> Result:
    """Measure one gateway, first quiet and then reloading; the first answer fills the cache."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        file = Path(folder) / "policy.yaml"

        def rewrite(note: str) -> None:
            beside = file.with_suffix(".new")
            beside.write_text(policy(upstream_port, note))
            beside.rename(file)

        rewrite("")
        with gateway(file, core) as (port, admin_port):
            caller = Caller(port)
            asked(caller, min(1.0, seconds))
            quiet = asked(caller, seconds)
            operator = Operator(admin_port, rewrite)
            with operator.working():
                reloading = asked(caller, seconds)
    return Result(latencies(quiet), latencies(reloading), operator.reloads)


def markdown(found: Result) -> str:
    """The part of the report."""
    rows = [
        f"| {name} | {one.p50:.2f} | {one.p99:.2f} | {one.p999:.2f} | {one.worst:.2f} |"
        for name, one in (("quiet", found.quiet), ("reloading without a pause", found.reloading))
    ]
    head = (
        f"## Hot reload\n\nA policy of {ROUTES} routes over {2 * BACKENDS} deployments; {RATE} cache hits a second; "
        f"milliseconds from when each was due; {found.reloads} reloads in "
        f"{found.reloading.requests / RATE:g} s. One request in a thousand is {found.added:.1f} ms slower."
    )
    return "\n".join([head, "", "| | p50 | p99 | p99.9 | worst |", "|---|---|---|---|---|", *rows]) + "\n"


def main() -> None:
    """Measure, print, and write OUT.md and OUT.json."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.reloading", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--out", type=Path, default=BUILD / "bench-reloading")
    given = parser.parse_args()
    target_core, load_core = proc.cores()
    os.sched_setaffinity(0, {load_core})
    with upstream(compile_tools(BUILD / "bench-tools"), load_core) as server:
        found = measured(server.port, target_core, given.seconds)
    text = markdown(found)
    given.out.with_suffix(".md").write_text(text)
    given.out.with_suffix(".json").write_text(json.dumps(asdict(found), indent=2) + "\n")
    print(text)


if __name__ == "__main__":
    main()
