"""`python -m tests.bench.overload`: what becomes of requests when more is asked than can be answered.

An upstream that takes a fixed time per answer, a gateway that sends it so many requests at a time, and callers that do
not wait for one another: first as many as can be answered, then twice as many, then ten times as many for a while, of
which those of class critical alone would fit. Prints one line for each, and writes nothing.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tests.bench.tools import Upstream, compile_tools, upstream
from tests.process import GatewayProcess

MODEL = "llama-3.1-8b-instruct"
SLOTS, SECONDS = 8, 0.1  # requests at a time, and what each of them takes
PEAK = SLOTS / SECONDS
KEYS = {name: f"{name}-key-0123456789abcdef" for name in ("critical", "default", "sheddable", "batch")}
USUAL = {"default": 1.0}
BURST = {"critical": 0.05, "default": 0.475, "sheddable": 0.285, "batch": 0.19}  # shares of ten times the peak
AT_ONCE = (b"and so is the queue", b"The gateway is too busy")  # others have waited, and made room or had no more time
BODY = json.dumps({"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 64}).encode()


class Line(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.held = b""
        self.done: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes) -> "asyncio.Future[int]":
        """The status of the answer, when all of it is there; 0 when the connection ends before."""
        assert self.transport is not None
        self.held, self.done = b"", asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return self.done

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, found, body = self.held.partition(b"\r\n\r\n")
        if found and self.done is not None and not self.done.done():
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            if len(body) >= length:
                self.done.set_result(int(head[9:12]))

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.done is not None and not self.done.done():
            self.done.set_result(0)


@dataclass(slots=True)
class Seen:
    """What came of requests, by class."""

    asked: Counter[str] = field(default_factory=Counter)
    statuses: dict[str, Counter[int]] = field(default_factory=dict)
    answered: list[float] = field(default_factory=list)  # seconds of each good answer
    shed: list[float] = field(default_factory=list)  # of each refusal of a request that never waited
    last: float = 0.0

    def note(self, class_: str, status: int, seconds: float, at_once: bool) -> None:
        """One more."""
        self.statuses.setdefault(class_, Counter())[status] += 1
        if status == 200:
            self.answered.append(seconds)
            self.last = time.monotonic()
        elif at_once:
            self.shed.append(seconds)

    def good(self, class_: str) -> float:
        """The share of a class that was answered."""
        return self.statuses.get(class_, Counter())[200] / max(1, self.asked[class_])


class Callers:
    """Callers that do not wait for one another."""

    def __init__(self, address: str) -> None:
        where = urlsplit(address)
        self.host, self.port = str(where.hostname), int(where.port or 0)
        self.free: deque[Line] = deque()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: {where.netloc}\r\ncontent-type: application/json\r\n"
        self.requests = {
            name: f"{head}authorization: Bearer {key}\r\ncontent-length: {len(BODY)}\r\n\r\n".encode() + BODY
            for name, key in KEYS.items()
        }

    async def one(self, class_: str, seen: Seen) -> None:
        """One request."""
        line = self.free.popleft() if self.free else None
        if line is None or line.transport is None:
            _, line = await asyncio.get_running_loop().create_connection(Line, self.host, self.port)
        begun = time.monotonic()
        status = await line.ask(self.requests[class_])
        at_once = any(words in line.held for words in AT_ONCE)
        seen.note(class_, status, time.monotonic() - begun, at_once)
        self.free.append(line)

    async def many(self, rate: float, seconds: float, shares: dict[str, float]) -> Seen:
        """So many requests a second, evenly, in turns between the classes by their shares."""
        seen, due, begun = Seen(), dict.fromkeys(shares, 0.0), time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(int(rate * seconds)):
                for name, share in shares.items():
                    due[name] += share
                class_ = max(due, key=due.__getitem__)
                due[class_] -= 1.0
                seen.asked[class_] += 1
                group.create_task(self.one(class_, seen))
                await asyncio.sleep(begun + (number + 1) / rate - time.monotonic())
        return seen


def policy(up: Upstream) -> str:
    """One backend of few slots, and a caller of each class."""
    backend = {
        "provider": "vllm",
        "url": f"http://127.0.0.1:{up.port}",
        "models": {MODEL: {"id": MODEL}},
        "limits": {"concurrency": SLOTS},
    }
    callers = {name: {"key": key, "class": name} for name, key in KEYS.items()}
    return json.dumps({"version": 1, "backends": {"own": backend}, "callers": callers})


def percentile(values: Sequence[float], share: float) -> float:
    """Milliseconds."""
    ordered = sorted(values) or [0.0]
    return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def told(name: str, rate: float, seen: Seen, seconds: float) -> str:
    """One line."""
    goodput = len(seen.answered) / max(seconds, seen.last)
    shed = f"{len(seen.shed)} refused at once, p50 {percentile(seen.shed, 0.5):.1f} ms"
    shed += f", p99 {percentile(seen.shed, 0.99):.1f} ms, slowest {percentile(seen.shed, 1.0):.1f} ms"
    classes = ", ".join(f"{class_} {100 * seen.good(class_):.1f} %" for class_ in seen.asked)
    return f"{name}: {rate:.0f}/s asked, {goodput:.1f}/s answered; {shed}; answered: {classes}"


async def measured(address: str, seconds: float) -> None:
    """All of it, one after the other."""
    callers = Callers(address)
    for name, times, length, shares in (
        ("100 %", 1.0, seconds, USUAL),
        ("200 %", 2.0, seconds, USUAL),
        ("burst", 10.0, 10.0, BURST),
    ):
        begun = time.monotonic()
        seen = await callers.many(times * PEAK, length, shares)
        seen.last -= begun
        print(told(name, times * PEAK, seen, length), flush=True)
        await asyncio.sleep(3)


def main() -> int:
    """Start everything, measure, end everything."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of the first two (10)")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        tools = compile_tools(folder)
        with upstream(tools, 0, options=("--delay-ms", str(int(1000 * SECONDS)))) as up:
            file = folder / "policy.yaml"
            file.write_text(policy(up))
            with GatewayProcess("serve", "--policy", str(file)) as gateway:
                asyncio.run(measured(gateway.data, asked.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
