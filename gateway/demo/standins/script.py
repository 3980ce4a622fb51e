"""What a test tells a stand-in to do with the next requests, and what it may ask about them afterwards."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.demo.standins.faults import Fault, Turn
from gateway.demo.standins.wire import Json, Manner


@dataclass(slots=True)
class Seen:
    """A request a stand-in got, and how far the answer came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int | None = None
    chunks: int = 0  # body messages sent
    complete: bool = False  # the answer went out to its end
    hung_up: bool = False  # a fault closed the connection
    disconnected: bool = False  # the client left before the end
    closed: asyncio.Event = field(default_factory=asyncio.Event)  # set when the exchange is over

    @property
    def json(self) -> Json:
        """The body, parsed."""
        parsed: Json = json.loads(self.body)
        return parsed


class Script:
    """Faults for the next requests, in order (None: behave), then `otherwise`; and every request seen.

    Faults meet generating requests only, so that probes do not use them up, unless `everywhere` is true.
    """

    def __init__(self, *faults: Fault | None, otherwise: Fault | None = None, everywhere: bool = False) -> None:
        self._next = deque(faults)
        self.otherwise = otherwise
        self.everywhere = everywhere
        self.requests: list[Seen] = []
        self._changed = asyncio.Condition()

    def add(self, *faults: Fault | None) -> None:
        """Append faults for requests to come."""
        self._next.extend(faults)

    async def arrived(self, count: int) -> None:
        """Returns once so many requests have come."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self.requests) >= count)

    async def _remember(self, seen: Seen) -> None:
        async with self._changed:
            self.requests.append(seen)
            self._changed.notify_all()

    @property
    def generations(self) -> list[Seen]:
        """The POST requests seen: without probes and listings."""
        return [seen for seen in self.requests if seen.method == "POST"]

    def around(self, app: ASGIApp, manners: Mapping[str, Manner]) -> ASGIApp:
        """The same app, playing this script; manners: what each generating path fails like, "" for all others."""

        async def scripted(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http":
                return await app(scope, receive, send)
            seen = _seen(scope, await _body(receive))
            await self._remember(seen)
            generates = scope["path"] in manners
            fault = self._take() if generates or self.everywhere else None
            manner = manners[scope["path"] if generates else ""]
            await _exchange(seen, app, scope, receive, send, manner, fault)

        return scripted

    def _take(self) -> Fault | None:
        return self._next.popleft() if self._next else self.otherwise


async def _exchange(
    seen: Seen, app: ASGIApp, scope: Scope, receive: Receive, send: Send, manner: Manner, fault: Fault | None
) -> None:
    """Answer one request; whatever still runs when the client has left or the answer is out is cancelled."""
    gone = asyncio.Event()
    turn = Turn(app, scope, _replay(seen.body, gone), _record(seen, send), manner, _closer(seen, scope))
    try:
        async with asyncio.TaskGroup() as group:
            work = group.create_task(_play(fault, turn))
            watch = group.create_task(_watch(seen, receive, gone, work))
            await asyncio.wait({work})
            watch.cancel()
    finally:
        seen.closed.set()


def _play(fault: Fault | None, turn: Turn) -> Coroutine[Any, Any, None]:
    return turn.answer(turn.send) if fault is None else fault.play(turn)


async def _watch(seen: Seen, receive: Receive, gone: asyncio.Event, work: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    seen.disconnected = not seen.complete and not seen.hung_up
    gone.set()
    work.cancel()


def _closer(seen: Seen, scope: Scope) -> Callable[[bool], None]:
    def hang_up(at_once: bool) -> None:
        seen.hung_up = True
        transport = scope["extensions"]["standin.transport"]["transport"]
        transport.abort() if at_once else transport.close()

    return hang_up


def _record(seen: Seen, send: Send) -> Send:
    async def recorded(message: Message) -> None:
        await send(message)
        if message["type"] == "http.response.start":
            seen.status = message["status"]
        elif message["type"] == "http.response.body":
            seen.chunks += bool(message.get("body"))
            seen.complete = not message.get("more_body")

    return recorded


def _replay(body: bytes, gone: asyncio.Event) -> Receive:
    """The request's body once, then the client's leaving; only the watcher listens to the real connection."""
    messages = deque[Message]([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> Message:
        if messages:
            return messages.popleft()
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


async def _body(receive: Receive) -> bytes:
    parts: list[bytes] = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _seen(scope: Scope, body: bytes) -> Seen:
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    return Seen(scope["method"], scope["path"], headers, body)
