"""`python -m tests.bench.caching`: what a hit of the exact cache costs the whole request, in memory and with Redis.

`--keys 1000000` stores so many different answers instead, and says what memory they hold.
"""

import argparse
import asyncio
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median

from gateway.stores.cache import Entry, MemoryCache
from gateway.stores.idempotency import Claim, MemoryOnce, Replay
from tests.redis_server import RedisServer

from . import proc
from .targets.gateway import COMMAND, KEY, policy
from .tools import Job, Tools, compile_tools, load, upstream

BUILD = Path(__file__).parents[2] / "build"
ROUNDS = 5
REQUESTS = 8000  # in one round
CONNECTIONS = 16
READY_SECONDS = 30.0
MESSAGES = [{"role": "system", "content": "x" * 300}, {"role": "user", "content": "y" * 500}]
BODIES = {
    "hit": {"model": "bench-cache", "messages": MESSAGES, "max_tokens": 200},
    "hit, stream": {"model": "bench-cache", "messages": MESSAGES, "max_tokens": 200, "stream": True},
}


@contextmanager
def gateway(ports: Sequence[int], folder: Path, store: str) -> Iterator[tuple[int, tuple[int, ...]]]:
    """A gateway of the benchmark's policy; its port and its processes."""
    file, port = folder / "policy.yaml", proc.free_port()
    file.write_text(json.dumps(policy(ports)))
    argv = (str(COMMAND), "serve", "--policy", str(file), "--port", str(port), "--admin-port", str(proc.free_port()))
    secret = "bench-secret-0123456789abcdefghijkl"
    env = {
        **os.environ,
        "GATEWAY_STORE_URL": store,
        "GATEWAY_SECRET": secret,
        "GATEWAY_STATE_DIR": str(folder / "state"),
    }
    process = proc.spawn(argv, proc.cores()[0], env, folder / "gateway.log")
    try:
        until = time.monotonic() + READY_SECONDS
        while not ready(port):
            if time.monotonic() > until:
                raise RuntimeError(f"The gateway did not start: {(folder / 'gateway.log').read_text()[-2000:]}")
            time.sleep(0.1)
        yield port, proc.family(process.pid)
    finally:
        proc.stop(process)


def ready(port: int) -> bool:
    """Whether a gateway answers there."""
    client = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        client.request("GET", "/readyz")
        return client.getresponse().status == 200
    except OSError:
        return False
    finally:
        client.close()


def each(tools: Tools, port: int, pids: Sequence[int], body: Path, requests: int) -> float:
    """CPU microseconds of the gateway for one request."""
    before = proc.cpu_seconds(pids)
    job = Job(port, "/v1/chat/completions", body, (f"Authorization: Bearer {KEY}",), CONNECTIONS, 60, requests)
    result = load(tools, proc.cores()[1], job)
    if result.errors:
        raise RuntimeError(f"{result.errors} requests failed.")
    return (proc.cpu_seconds(pids) - before) / result.requests * 1e6


def measured(rounds: int, requests: int) -> dict[str, list[float]]:
    """CPU microseconds a hit by store and form, a value a round."""
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        tools = compile_tools(BUILD / "bench-tools")
        server = stack.enter_context(upstream(tools, proc.cores()[1]))
        redis = stack.enter_context(RedisServer())
        bodies = {name: folder / f"{index}.json" for index, name in enumerate(BODIES)}
        for name, file in bodies.items():
            file.write_text(json.dumps(BODIES[name]))
        running = {}
        for name, store in (("memory", "memory://"), ("redis", redis.url)):
            (folder / name).mkdir()
            running[name] = stack.enter_context(gateway(server.ports, folder / name, store))
        for number in range(rounds + 1):  # the first one warms up
            for store, (port, pids) in running.items():
                for name, file in bodies.items():
                    us = each(tools, port, pids, file, requests if number else requests // 4)
                    if number:
                        found.setdefault(f"{store}: {name}", []).append(us)
    return found


async def grown(keys: int) -> None:
    """Print the memory of a cache that gets ever other answers, at each tenth."""
    cache, once = MemoryCache(), MemoryOnce()
    for number in range(keys):
        key, body = hashlib.sha256(b"%d" % number).digest(), b"%d" % number * 150
        await cache.put(key, Entry(body, "gpu/llama", "caller", "route", "llama"), 3600)
        claim = Claim(key, key, key[:16])
        await once.begin(claim)
        await once.finish(claim, Replay(200, (), body))
        if (number + 1) % (keys // 10) == 0:
            print(
                f"{number + 1:9} keys: {len(cache.entries)} answers, {proc.resident_mb([os.getpid()]):.0f} MiB resident"
            )


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=ROUNDS)
    options.add_argument("--requests", type=int, default=REQUESTS)
    options.add_argument("--keys", type=int, default=0)
    chosen = options.parse_args()
    if chosen.keys:
        asyncio.run(grown(chosen.keys))
        return
    for name, values in measured(chosen.rounds, chosen.requests).items():
        print(f"{name:24} {median(values):6.1f} us of CPU ({min(values):.1f}-{max(values):.1f})")


if __name__ == "__main__":
    main()
