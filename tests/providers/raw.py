"""A server that sends exactly the bytes that a test gives it, and remembers what it was asked."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

Handler = Callable[["Exchange"], Awaitable[None]]

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Exchange:
    """One request on one connection, and the way back."""

    def __init__(self, connection: int, head: bytes, body: bytes, writer: asyncio.StreamWriter) -> None:
        self.connection = connection
        self.head = head
        self.body = body
        self._writer = writer

    async def send(self, data: bytes) -> None:
        """These bytes, as they are."""
        self._writer.write(data)
        await self._writer.drain()

    def hang_up(self) -> None:
        """Close the connection."""
        self._writer.close()


class RawServer:
    """Listens on 127.0.0.1 while the context is open; each request is given to the handler."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._connections = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.exchanges: list[Exchange] = []
        self.ended = asyncio.Semaphore(0)  # released whenever a connection is over
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(self._connections, reader, writer)
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass  # the client has left, or the server has
        finally:
            self._tasks.discard(task)
            self.ended.release()
            writer.close()

    async def _serve(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            lengths = [row for row in head.lower().split(b"\r\n") if row.startswith(b"content-length:")]
            body = await reader.readexactly(int(lengths[0].split(b":")[1])) if lengths else b""
            exchange = Exchange(number, head, body, writer)
            self.exchanges.append(exchange)
            await self._handler(exchange)


async def closed_port_url() -> str:
    """An address at which nobody listens any more."""
    async with RawServer(lambda exchange: exchange.send(OK)) as server:
        return server.url
