"""The gateway in one process without sockets and clocks: callers and upstream are bytes, and the time stands still."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from io import StringIO
from typing import Any

from gateway.api.server import Listener, Protocol, listener
from gateway.app import build
from gateway.catalogue import Catalogue
from gateway.config.live import LivePolicy
from gateway.config.loading import read
from gateway.routing.policy import Policy, key_digest
from gateway.telemetry.logs import configure
from gateway.types import Caller

from .cases import Case, body
from .targets.gateway import KEY, policy
from .wires import openai

NOW = 1000.0  # of the clock that stands still
TURNS = 6  # of the loop after an answer, in which whoever observes requests has done so
PLAIN_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Wire(asyncio.Transport):
    """A connection that hands what is written to a function."""

    def __init__(self, written: Callable[["Wire", bytes], None]) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = written
        self.protocol: Any = None

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Hand it on."""
        self.written(self, bytes(data))

    def is_closing(self) -> bool:
        """It stays open."""
        return False

    def close(self) -> None:
        """There is nothing to close."""

    def abort(self) -> None:
        """The same."""

    def pause_reading(self) -> None:
        """Nothing is read ahead."""

    def resume_reading(self) -> None:
        """The same."""

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """It is never full."""

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0


def answer_to(request: bytes) -> list[bytes]:
    """What the upstream says, a piece a read."""
    if b'"stream":true' not in request.replace(b" ", b""):
        return [PLAIN_HEAD % (len(WHOLE), WHOLE)]
    return STREAM


def chunked() -> list[bytes]:
    """A stream in pieces of one event."""
    events = [b"%x\r\n%b\r\n" % (len(event), event) for event in openai()]
    return [STREAM_HEAD + events[0], *events[1:-1], events[-1] + b"0\r\n\r\n"]


STREAM = chunked()
WHOLE = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "bench-model",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "A word. " * 90}, "finish_reason": "stop"}
        ],
        "usage": {"prompt_tokens": 180, "completion_tokens": 160, "total_tokens": 340},
    }
).encode()


class StillLoop(asyncio.SelectorEventLoop):
    """A loop whose time does not pass and whose connections are wires to the upstream."""

    def time(self) -> float:
        """Always the same."""
        return NOW

    async def create_connection(self, protocol_factory: Any, *args: Any, **more: Any) -> Any:
        """A wire to the upstream."""
        wire, protocol = Wire(self.answer), protocol_factory()
        wire.protocol = protocol
        protocol.connection_made(wire)
        return wire, protocol

    def answer(self, wire: Wire, request: bytes) -> None:
        """The upstream answers, a piece in each turn of the loop."""
        self.feed(wire, iter(answer_to(request)))

    def feed(self, wire: Wire, parts: Iterator[bytes]) -> None:
        """The next piece, and then the rest."""
        if (part := next(parts, None)) is not None:
            self.call_soon(self.fed, wire, part, parts)

    def fed(self, wire: Wire, part: bytes, parts: Iterator[bytes]) -> None:
        """A piece has come."""
        wire.protocol.data_received(part)
        self.feed(wire, parts)


@dataclass(slots=True)
class InMemory:
    """A gateway and one caller's connection to it."""

    loop: StillLoop
    serving: Listener
    caller: Protocol
    got: list[bytes]

    def ask(self, case: Case, model: str, key: str = KEY) -> bytes:
        """One request to its end; what came back. Raises RuntimeError when it was not answered."""
        self.got.clear()
        self.loop.call_soon(self.caller.data_received, request_bytes(case, model, key))
        self.loop.run_until_complete(self.over())
        answer = b"".join(self.got)
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"The gateway did not answer: {answer[:300]!r}")
        return answer

    async def over(self) -> None:
        """Returns when the answer is whole and has been noted."""
        left = TURNS
        while left:
            await asyncio.sleep(0)
            left = left - 1 if self.got and not self.serving.server_state.tasks else TURNS


def request_bytes(case: Case, model: str, key: str = KEY) -> bytes:
    """A request as a client sends it."""
    content = body(model, case)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {key}\r\n"
    return f"{head}content-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n".encode() + content


@contextmanager
def in_memory(callers: int = 0) -> Iterator[InMemory]:
    """A gateway with the benchmark's policy: everything is on; more callers than fit into a file may be added."""
    configure("info", "json", StringIO())
    loop = StillLoop()
    asyncio.set_event_loop(loop)
    loaded = read(json.dumps(policy((8001,))).encode(), "policy.yaml", {}, Catalogue.load(), date(2026, 11, 24))
    if loaded.policy is None:
        raise RuntimeError(f"The benchmark's policy has errors: {loaded.problems}")
    try:
        policy_in_force = replace(loaded.policy, callers={**loaded.policy.callers, **crowd(loaded.policy, callers)})
        yield loop.run_until_complete(connected(loop, LivePolicy(replace(loaded, policy=policy_in_force))))
    finally:
        loop.close()
        asyncio.set_event_loop(None)


def crowd(known: Policy, count: int) -> dict[bytes, Caller]:
    """More callers, like the one there is, by the digests of their keys."""
    like = next(iter(known.callers.values()))
    return {key_digest(key_of(number)): replace(like, name=f"caller-{number}") for number in range(count)}


def key_of(number: int) -> str:
    """The key of one of them."""
    return f"bench-caller-{number:08d}-0123456789abcdef"


async def connected(loop: StillLoop, live: LivePolicy) -> InMemory:
    """The same, once it is built and the caller is connected."""
    gateway = build(live, "admin-key-0123456789abcdef", chance=lambda: 0.5, clock=loop.time)
    serving = listener(gateway.data)
    serving.config.load()
    got: list[bytes] = []
    caller = Protocol(config=serving.config, server_state=serving.server_state, app_state={}, _loop=loop)
    caller.connection_made(Wire(lambda wire, data: got.append(data)))
    return InMemory(loop, serving, caller, got)
