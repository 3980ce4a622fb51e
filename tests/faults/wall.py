"""The wall: an upstream on raw sockets that fails as the model id asks for, and notes every attempt.

`python -m tests.faults.wall` serves one in a process of its own, which can be stopped and killed.
"""

import asyncio
import contextlib
import json
import re
import sys
import time
from urllib.parse import unquote

from tests.faults.exchange import Attempt, Exchange
from tests.faults.scripts import run
from tests.faults.speech import speech_of
from tests.faults.wire import Request, Spent, Wire

TOKEN = re.compile(rb"r-\d{6}")
MODEL_PATH = re.compile(r"/model/([^/]+)/converse")
LISTS = {
    "/v1/models": {"object": "list", "data": []},
    "/api/tags": {"models": []},
    "/api/ps": {"models": []},
    "/api/version": {"version": "0.33.0"},
}


class Wall:
    """A listener; all times in scripts are multiplied by its scale."""

    def __init__(self, scale: float = 0.05) -> None:
        self.scale = scale
        self.attempts: list[Attempt] = []
        self.counts: dict[str, int] = {}
        self.epochs: dict[str, float] = {}
        self.down: set[str] = set()  # model ids that the test has taken down
        self.pages: dict[str, str] = {}  # path -> text that a test wants to be found there
        self.open: set[Wire] = set()
        self.changed = asyncio.Event()
        self.server: asyncio.Server | None = None
        self.tasks: set[asyncio.Task[None]] = set()
        self.url = ""

    async def start(self) -> "Wall":
        """Listen."""
        self.server = await asyncio.start_server(self.connected, "127.0.0.1", 0, backlog=512, limit=1 << 20)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}"
        return self

    async def stop(self) -> None:
        """Close everything."""
        if self.server is not None:
            self.server.close()
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection to its end."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        wire = Wire(reader, writer)
        self.open.add(wire)
        try:
            while (request := await wire.request()) is not None:
                await self.serve(wire, request)
                if writer.is_closing():
                    break
        finally:
            self.open.discard(wire)
            self.tasks.discard(task)
            wire.close()
            self.tell()

    async def serve(self, wire: Wire, request: Request) -> None:
        """One request."""
        speech = speech_of(request.path)
        if speech is None:
            listed = LISTS.get(request.path, {"error": "nothing is served there"})
            body = self.pages.get(request.path, json.dumps(listed)).encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            with contextlib.suppress(ConnectionError):
                await wire.write(head.encode() + body)
            return
        attempt = self.noted(wire, request)
        up, epoch = lambda: self.is_up(attempt), self.age(attempt.model)
        exchange = Exchange(wire, attempt, speech, self.pause, up, epoch, self.scale)
        await self.play(exchange, fault_of(attempt))

    def noted(self, wire: Wire, request: Request) -> Attempt:
        """The attempt that a request is."""
        found = MODEL_PATH.match(request.path)
        body = request.body
        model = unquote(found[1]) if found else str(body.get("model"))
        self.counts[model] = self.counts.get(model, 0) + 1
        token = TOKEN.search(request.raw)
        attempt = Attempt(
            model=model,
            number=self.counts[model],
            token=token[0].decode() if token else "",
            arrived=time.monotonic(),
            stream=request.path.endswith("-stream") or bool(body.get("stream", request.path == "/api/chat")),
            reused=wire.served > 1,
            body=body,
            secret=request.headers.get("authorization", ""),
        )
        self.epochs.setdefault(model, attempt.arrived)
        self.attempts.append(attempt)
        self.tell()
        return attempt

    async def play(self, exchange: Exchange, fault: str) -> None:
        """Run a script until it ends, or the peer goes."""
        attempt, wire = exchange.attempt, exchange.wire
        acting = asyncio.ensure_future(run(exchange, fault))
        watching = asyncio.ensure_future(wire.gone())
        try:
            await asyncio.wait([acting, watching], return_when=asyncio.FIRST_COMPLETED)
            if watching.done() and not acting.done():
                attempt.gone = time.monotonic()
        finally:
            attempt.sent, attempt.ended = wire.sent, time.monotonic()
            for task in (acting, watching):
                task.cancel()
            results = await asyncio.gather(acting, watching, return_exceptions=True)
            if isinstance(results[0], ConnectionError):
                attempt.gone = attempt.gone or attempt.ended
            attempt.over.set()
            self.tell()
        broken(results[0], wire)

    def is_up(self, attempt: Attempt) -> bool:
        """Whether the test has not taken a model down."""
        return attempt.model not in self.down

    def age(self, model: str) -> float:
        """Scaled seconds since the first attempt at a model."""
        return (time.monotonic() - self.epochs[model]) / self.scale

    async def pause(self, seconds: float) -> None:
        """Scaled seconds."""
        await asyncio.sleep(seconds * self.scale)

    def tell(self) -> None:
        """Wake whoever waits for a change."""
        self.changed.set()
        self.changed = asyncio.Event()

    def of(self, token: str) -> list[Attempt]:
        """The attempts for a caller's request, in order."""
        return [attempt for attempt in self.attempts if attempt.token == token]

    def at(self, model: str) -> list[Attempt]:
        """The attempts at a model, in order."""
        return [attempt for attempt in self.attempts if attempt.model == model]

    async def reached(self, model: str, count: int = 1) -> Attempt:
        """The attempt number `count` at a model, once it is here; its caller bounds the wait."""
        while len(found := self.at(model)) < count:
            await self.changed.wait()
        return found[count - 1]


def fault_of(attempt: Attempt) -> str:
    """What the caller's request asks for in so many words, else what the model id says."""
    return str(attempt.body.get("x_fault") or attempt.model.partition(".")[0])


def broken(result: object, wire: Wire) -> None:
    """After a script that ended early: close where it was cut, raise what is a mistake of the script."""
    if isinstance(result, Spent | ConnectionError | asyncio.CancelledError):
        wire.close()
    elif isinstance(result, BaseException):
        wire.close()
        raise result


async def main() -> None:
    """Serve until killed; the first line says where."""
    wall = await Wall(float(sys.argv[1]) if len(sys.argv) > 1 else 0.05).start()
    print(wall.url, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
