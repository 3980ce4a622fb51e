"""Writing HTTP answers without a framework: the few ASGI messages that the hot path needs."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Header = tuple[bytes, bytes]

JSON: Header = (b"content-type", b"application/json")
STREAM: tuple[Header, ...] = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
)


def header(name: bytes, value: str) -> Header:
    """One header; what HTTP cannot carry becomes a question mark."""
    if not value.isprintable():
        value = "".join([char if char.isprintable() else "?" for char in value])
    return name, value.encode("latin-1", "replace")


async def whole(send: Send, status: int, headers: Iterable[Header], body: bytes) -> None:
    """An answer in one piece."""
    length = (b"content-length", b"%d" % len(body))
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": body})


async def head(send: Send, headers: Iterable[Header]) -> None:
    """The head of a stream."""
    await send({"type": "http.response.start", "status": 200, "headers": [*STREAM, *headers]})


async def piece(send: Send, body: bytes) -> None:
    """A piece of a stream."""
    await send({"type": "http.response.body", "body": body, "more_body": True})


async def end(send: Send, body: bytes = b"") -> None:
    """The last piece of a stream."""
    await send({"type": "http.response.body", "body": body})
