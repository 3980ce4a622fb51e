"""A caller on raw sockets: keeps every byte that came, and how the connection ended."""

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

End = Literal["whole", "closed", "reset", "hung", "left"]
SEEN = 1 << 16  # bytes of one read


@dataclass(slots=True)
class Reply:
    """What came back for one request; times are of the monotonic clock."""

    token: str
    cell: str
    stream: bool
    started: float
    raw: bytes = b""
    end: End = "hung"
    ended: float = 0.0
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def parse(self) -> None:
        """Take head and body apart; a body that is not complete is kept as far as it came."""
        head, found, rest = self.raw.partition(b"\r\n\r\n")
        if not found:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        self.status = int(first.split(" ")[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self.headers.get("transfer-encoding") == "chunked":
            self.body, complete = dechunked(rest)
        else:
            self.body, complete = rest, len(rest) >= int(self.headers.get("content-length", "0"))
        if complete and self.end != "left":
            self.end = "whole"

    @property
    def id(self) -> str:
        """The gateway's id of the request; empty when it gave none."""
        return self.headers.get("x-request-id", "")

    @property
    def events(self) -> list[Any]:
        """The data of each whole event: JSON, or text where it is none."""
        parts = self.body.split(b"\n\n")[:-1]
        datas = [part[6:] for part in parts if part.startswith(b"data: ")]
        return [data.decode() if data == b"[DONE]" else json.loads(data) for data in datas]

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """The chunks of a stream, or the one answer."""
        if self.status != 200:
            return []
        found = self.events if self.stream else [json.loads(self.body)] if self.end == "whole" else []
        return [body for body in found if isinstance(body, dict) and "error" not in body]

    @property
    def text(self) -> str:
        """The words that came."""
        choices = [choice for body in self.bodies for choice in body["choices"]]
        pieces = [(choice.get("delta") or choice.get("message") or {}).get("content") for choice in choices]
        return "".join(piece for piece in pieces if piece)

    @property
    def finish(self) -> str | None:
        """The finish reason."""
        reasons = [choice.get("finish_reason") for body in self.bodies for choice in body["choices"]]
        return next((reason for reason in reversed(reasons) if reason), None)

    @property
    def usage(self) -> dict[str, Any] | None:
        """The usage that came."""
        return next((body["usage"] for body in reversed(self.bodies) if body.get("usage")), None)

    @property
    def error(self) -> dict[str, Any] | None:
        """The error: of an answer, or the last event of a stream."""
        if self.status == 200 and self.stream:
            found = self.events
            return found[-1]["error"] if found and isinstance(found[-1], dict) and "error" in found[-1] else None
        if self.status in (0, 200) or self.end != "whole":
            return None
        error: dict[str, Any] = json.loads(self.body)["error"]
        return error

    @property
    def success(self) -> bool:
        """Whether a caller's SDK would take this for a whole answer."""
        if self.status != 200 or self.end != "whole" or self.error is not None:
            return False
        return not self.stream or "[DONE]" in self.events

    @property
    def clean(self) -> bool:
        """Whether it is a clear error: told in the API's shape, and never mistaken for an answer."""
        return self.error is not None and "[DONE]" not in (self.events if self.stream and self.status == 200 else [])


def dechunked(data: bytes) -> tuple[bytes, bool]:
    """A chunked body as far as it came, and whether its end came."""
    held: list[bytes] = []
    while True:
        line, found, data = data.partition(b"\r\n")
        if not found:
            return b"".join(held), False
        size = int(line, 16)
        if size == 0:
            return b"".join(held), True
        held.append(data[:size])
        if len(data) < size + 2:
            return b"".join(held), False
        data = data[size + 2 :]


def request_bytes(address: str, key: str, body: dict[str, Any], **headers: str) -> bytes:
    """The bytes of a chat request."""
    raw = json.dumps(body).encode()
    more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: {urlsplit(address).netloc}\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {key}\r\ncontent-length: {len(raw)}\r\nconnection: close\r\n{more}\r\n"
    )
    return head.encode() + raw


Leave = Callable[[Reply], Awaitable[None]]


async def exchange(address: str, sent: bytes, reply: Reply, seconds: float, leave: Leave | None = None) -> Reply:
    """Send, and keep what comes until the end; with `leave`, hang up as soon as that returns."""
    where = urlsplit(address)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(sent)
    reading = asyncio.ensure_future(kept(reader, reply))
    going = asyncio.ensure_future(leave(reply)) if leave is not None else None
    try:
        waits = [task for task in (reading, going) if task is not None]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if going is not None and going.done() and not reading.done():
            going.result()  # raises what went wrong in it
            reply.end = "left"
    finally:
        for task in (reading, going):
            if task is not None:
                task.cancel()
        reply.ended = time.monotonic()
        writer.transport.abort()
    reply.parse()
    return reply


async def kept(reader: asyncio.StreamReader, reply: Reply) -> None:
    """Read to the end."""
    with contextlib.suppress(ConnectionResetError):
        while data := await reader.read(SEEN):
            reply.raw += data
        reply.end = "closed"
        return
    reply.end = "reset"
