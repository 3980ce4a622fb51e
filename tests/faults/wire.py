"""One connection that the wall serves: requests in, any bytes out, and the hour at which the peer went away."""

import asyncio
import contextlib
import json
import socket
import struct
from typing import Any, NamedTuple

LINGER_NOT = struct.pack("ii", 1, 0)  # closing resets the connection
CLOSED = (ConnectionError, asyncio.IncompleteReadError, TimeoutError)


class Spent(Exception):
    """The wire has written as many bytes as it was allowed to."""


class Request(NamedTuple):
    """One HTTP request."""

    method: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in it; empty when there is none."""
        try:
            found = json.loads(self.raw or b"{}")
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class Wire:
    """Reads requests and writes bytes; may be told to break off after some."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.pushed = b""  # that was read while watching for the peer's end
        self.sent = 0
        self.limit: int | None = None  # bytes that may still be written
        self.served = 0

    async def request(self) -> Request | None:
        """The next request; None when there is none."""
        try:
            head = self.pushed + await self.reader.readuntil(b"\r\n\r\n")
            self.pushed = b""
            first, *lines = head.decode("latin-1").rstrip().split("\r\n")
            method, path, _ = first.split(" ", 2)
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        except CLOSED:
            return None
        self.served += 1
        self.sent, self.limit = 0, None
        return Request(method, path, headers, body)

    async def gone(self) -> None:
        """Returns when the peer has closed or reset the connection."""
        with contextlib.suppress(ConnectionError):
            while byte := await self.reader.read(1):
                self.pushed += byte

    async def write(self, data: bytes) -> None:
        """Write, as far as it is allowed; raises Spent at the limit, ConnectionError when the peer has gone."""
        if self.limit is not None and len(data) >= self.limit:
            data, self.limit = data[: self.limit], 0
        elif self.limit is not None:
            self.limit -= len(data)
        self.sent += len(data)
        self.writer.write(data)
        await self.writer.drain()
        if self.limit == 0:
            raise Spent

    def half_close(self) -> None:
        """End our side only."""
        self.writer.write_eof()

    def close(self) -> None:
        """End the connection in good order."""
        self.writer.close()

    def reset(self) -> None:
        """End it with a reset: what was not read yet is lost to the peer."""
        found = self.writer.get_extra_info("socket")
        if found is not None:
            with contextlib.suppress(OSError):
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
        self.writer.transport.abort()
