"""What can go wrong upstream, as frozen values: each one plays one exchange badly, in the provider's own words."""

import asyncio
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.demo.standins.wire import Manner, dump, ending, parse

Edit = Callable[[int, bytes], bytes]  # the number of a frame, from 0, and the frame -> what is sent instead

BAD_GATEWAY = (
    b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
)
BAD_GATEWAY += b"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"


@dataclass(frozen=True, slots=True)
class Turn:
    """One exchange: a request, the app that would answer it, and the way back to the client."""

    app: ASGIApp
    scope: Scope
    receive: Receive
    send: Send
    manner: Manner
    hang_up: Callable[[bool], None]  # close the connection; True: at once, without what is still unsent

    async def answer(self, send: Send) -> None:
        """Let the app answer, through a way back that a fault may have bent."""
        await self.app(self.scope, self.receive, send)


class Fault(Protocol):
    """One way to go wrong."""

    async def play(self, turn: Turn) -> None:
        """Answer the exchange, badly."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answers with a status; the body is the provider's own for that status unless one is given."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: object = None  # bytes are sent as they are, anything else as JSON
    message: str | None = None

    async def play(self, turn: Turn) -> None:
        """Send the refusal and nothing else."""
        body = turn.manner.refuse(self.status, self.message) if self.body is None else self.body
        content = body if isinstance(body, bytes) else dump(body)
        headers = {"content-type": "application/json", **self.headers, "content-length": str(len(content))}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await turn.send({"type": "http.response.start", "status": self.status, "headers": raw})
        await turn.send({"type": "http.response.body", "body": content})


def html_502() -> Refuse:
    """What a proxy in front of a dead upstream says: HTML under 502."""
    return Refuse(502, {"content-type": "text/html"}, BAD_GATEWAY)


@dataclass(frozen=True, slots=True)
class Slow:
    """Holds the response headers back until an event, or for some seconds, or for ever; then answers normally."""

    until: asyncio.Event | None = None
    seconds: float | None = None

    async def play(self, turn: Turn) -> None:
        """Wait, then answer."""
        await _hold(self.until, self.seconds)
        await turn.answer(turn.send)


@dataclass(frozen=True, slots=True)
class Silent:
    """Sends headers and some chunks, then nothing until an event, or for some seconds, or for ever; then goes on."""

    after_chunks: int = 0
    until: asyncio.Event | None = None
    seconds: float | None = None

    async def play(self, turn: Turn) -> None:
        """Answer with one long pause."""
        chunks = 0

        async def send(message: Message) -> None:
            nonlocal chunks
            if message["type"] == "http.response.body":
                if chunks == self.after_chunks:
                    await _hold(self.until, self.seconds)
                chunks += 1
            await turn.send(message)

        await turn.answer(send)


@dataclass(frozen=True, slots=True)
class Drop:
    """Closes the connection before a byte of the answer."""

    async def play(self, turn: Turn) -> None:
        """Hang up at once."""
        turn.hang_up(True)
        await asyncio.Event().wait()


@dataclass(frozen=True, slots=True)
class Cut:
    """Closes the connection after some bytes of the body, without ending the response."""

    after_bytes: int = 0

    async def play(self, turn: Turn) -> None:
        """Answer, and hang up in the middle."""
        left = self.after_bytes

        async def send(message: Message) -> None:
            nonlocal left
            body = message.get("body", b"")
            if message["type"] == "http.response.body" and len(body) >= left:
                await turn.send({**message, "body": body[:left], "more_body": True})
                turn.hang_up(False)
                await asyncio.Event().wait()
            left -= len(body)
            await turn.send(message)

        await turn.answer(send)


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """Fails a stream under HTTP 200 after some chunks, as the provider reports it; whole answers pass untouched."""

    after_chunks: int = 0
    status: int = 500
    message: str | None = None

    async def play(self, turn: Turn) -> None:
        """Stream, then report the failure and end."""
        chunks, streams = 0, False

        async def send(message: Message) -> None:
            nonlocal chunks, streams
            if message["type"] == "http.response.start":
                streams = is_stream(message)
            elif streams and (chunks == self.after_chunks or not message.get("more_body")):
                body = turn.manner.interrupt(self.status, self.message)
                await turn.send({"type": "http.response.body", "body": body})
                await asyncio.Event().wait()
            else:
                chunks += 1
            await turn.send(message)

        await turn.answer(send)


@dataclass(frozen=True, slots=True)
class Malformed:
    """Breaks the JSON of one chunk in half (a whole answer is chunk 0); the rest follows as if nothing had happened."""

    after_chunks: int = 0

    async def play(self, turn: Turn) -> None:
        """Answer with one broken chunk."""

        def broken(number: int, frame: bytes) -> bytes:
            return frame if number != self.after_chunks else frame[: len(frame) // 2] + ending(frame)

        await turn.answer(_edited(turn.send, broken))


@dataclass(frozen=True, slots=True)
class NoUsage:
    """Leaves out every field that reports tokens used."""

    async def play(self, turn: Turn) -> None:
        """Answer without usage."""
        await turn.answer(_edited(turn.send, lambda _, frame: _without(frame, turn.manner.usage)))


@dataclass(frozen=True, slots=True)
class NoDone:
    """Ends a stream in good order on the connection, but without the frame that says it is complete."""

    async def play(self, turn: Turn) -> None:
        """Answer without the last frame."""
        await turn.answer(_edited(turn.send, lambda _, frame: b"" if turn.manner.is_last(frame) else frame))


def is_stream(start: Message) -> bool:
    """Whether a response that starts like this is streamed."""
    kind: bytes = dict(start["headers"]).get(b"content-type", b"")
    return kind.startswith((b"text/event-stream", b"application/x-ndjson"))


async def _hold(until: asyncio.Event | None, seconds: float | None) -> None:
    if seconds is not None:
        await asyncio.sleep(seconds)
    else:
        await (until or asyncio.Event()).wait()


def _edited(send: Send, edit: Edit) -> Send:
    """A way back that changes frames; content-length goes, because it would no longer be true."""
    number = 0

    async def bent(message: Message) -> None:
        nonlocal number
        if message["type"] == "http.response.start":
            kept = [(name, value) for name, value in message["headers"] if name != b"content-length"]
            return await send({**message, "headers": kept})
        body = message.get("body", b"")
        if body:
            body, number = edit(number, body), number + 1
        if body or not message.get("more_body"):
            await send({**message, "body": body})

    return bent


def _without(frame: bytes, fields: frozenset[str]) -> bytes:
    """The frame without some fields of its object and of the objects in it; nothing, if it was for them only."""
    prefix, data = parse(frame)
    if data is None:
        return frame
    if data.get("choices") == [] and fields & data.keys():
        return b""
    return prefix + dump(_pruned(data, fields)) + ending(frame)


def _pruned(data: MutableMapping[str, Any], fields: frozenset[str]) -> dict[str, Any]:
    kept = {name: value for name, value in data.items() if name not in fields}
    return {name: _pruned(value, fields) if isinstance(value, dict) else value for name, value in kept.items()}
