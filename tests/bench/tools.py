"""The two C programs around a target: the upstream that answers and the load that asks."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from .proc import pinned

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Tools:
    """Where the compiled programs are."""

    upstream: Path
    load: Path


@dataclass(frozen=True, slots=True)
class Upstream:
    """A running upstream: its ports, each a server to those who balance, and the events of one of its streams."""

    ports: tuple[int, ...]
    chunks: int

    @property
    def port(self) -> int:
        """The first."""
        return self.ports[0]

    def served(self) -> int:
        """Return how many POST requests it has answered."""
        client = HTTPConnection("127.0.0.1", self.port, timeout=5)
        client.request("GET", "/served")
        count = json.loads(client.getresponse().read())["served"]
        client.close()
        return int(count)


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the load generator saw; times in microseconds, except `seconds`."""

    requests: int
    errors: int
    seconds: float
    rps: float
    p50_us: int
    p90_us: int
    p99_us: int
    ttfb_p50_us: int
    bytes: int
    events: int


@dataclass(frozen=True, slots=True)
class Job:
    """One run of the load generator; ends after `requests` or `seconds`, whichever comes first."""

    port: int
    path: str
    body: Path
    headers: tuple[str, ...] = ()
    connections: int = 1
    seconds: float = 10
    requests: int = 20_000_000
    grace: float = 20  # seconds that answers under way get after that

    def argv(self) -> list[str]:
        """Return the arguments of the load generator."""
        named = {name: str(getattr(self, name)) for name in ("port", "path", "body", "connections", "requests")}
        named |= {"seconds": f"{self.seconds:.3f}", "grace": f"{self.grace:.3f}"}
        plain = [word for name, value in named.items() for word in (f"--{name}", value)]
        return plain + [word for header in self.headers for word in ("--header", header)]


def compile_tools(into: Path) -> Tools:
    """Compile both programs into a folder."""
    into.mkdir(parents=True, exist_ok=True)
    for name in ("upstream", "load"):
        subprocess.run(["cc", "-O2", "-Wall", "-o", into / name, HERE / f"{name}.c"], check=True)
    return Tools(into / "upstream", into / "load")


@contextmanager
def upstream(
    tools: Tools, core: int, chunks: int = 100, options: Sequence[str] = (), listeners: int = 1
) -> Iterator[Upstream]:
    """Run the upstream on one core for as long as the block lasts."""
    own = ["--chunks", str(chunks), "--listeners", str(listeners)]
    argv = pinned(core, [str(tools.upstream), *own, *options])
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None  # asked for by PIPE
            ports = process.stdout.readline().removeprefix("port ").split()
            yield Upstream(tuple(int(port) for port in ports), chunks)
        finally:
            process.terminate()


def load(tools: Tools, core: int, job: Job) -> LoadResult:
    """Run the load generator to its end on one core."""
    argv = pinned(core, [str(tools.load), *job.argv()])
    limit = job.seconds + job.grace + 60  # it gives up by itself well before
    done = subprocess.run(argv, capture_output=True, text=True, timeout=limit, check=False)
    if done.returncode:
        raise RuntimeError(f"The load generator failed: {done.stderr.strip()}")
    return LoadResult(**json.loads(done.stdout))
