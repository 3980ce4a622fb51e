"""The HTTP servers: uvicorn, with what it lacks: a limit on slow callers, and a disconnect that cancels the request."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import Generator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from gateway.dialects.openai import error_body
from gateway.errors import GatewayError, HeadTooLarge, RequestTimeout

HEAD_SECONDS = 10.0  # for the request line and the headers
BODY_SECONDS = 30.0  # for all of the body
STALL_SECONDS = 30.0  # for a caller that does not read
HEAD_BYTES = 16 << 10
KEEP_ALIVE = 75  # seconds; longer than the pools of the usual clients keep a connection
GRACE = 1.0  # seconds that running requests get when the listener ends, unless it has more
LAST_WORDS = 1.0  # seconds in which those that did not end are told so
LOOK = 0.02  # seconds between two looks at whether a listener has come to rest
UNSENT = 16 << 10  # bytes of an answer that wait in the kernel for a caller who is slower than the upstream
UNREAD = 8 << 10  # bytes that wait here besides, before the upstream is made to wait
SWEEP = 1.0  # seconds between two looks at slow callers
GONE = "the caller has gone"  # what a request's task is cancelled with, then
CLOSE = (b"connection", b"close")


def plain_answer(error: GatewayError) -> bytes:
    """An error as the bytes of a whole HTTP answer, for a request that never got to an app."""
    body = error_body(error, "")
    head = b"HTTP/1.1 %d Error\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (error.status, len(body)) + body


TOO_SLOW = plain_answer(RequestTimeout("The request came too slowly; send all of it at once."))
TOO_LARGE = plain_answer(HeadTooLarge(f"The request line and headers are larger than {HEAD_BYTES >> 10} KiB."))


class PortTaken(Exception):
    """Another program listens there."""


class HeldHead:
    """A transport that holds the head of an answer until its first piece comes: one write, and one packet, for both."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self.transport = transport
        self.loop = loop
        self.held: bytes | None = None
        self.write = self.write_head

    def write_head(self, data: bytes) -> None:
        """Hold the head, but not beyond this turn of the loop."""
        self.held = data
        self.write = self.write_first
        self.loop.call_soon(self.flush)

    def write_first(self, data: bytes) -> None:
        """Write the head and this."""
        held, self.held = self.held, None
        self.write = self.transport.write
        self.transport.write(data if held is None else held + data)

    def flush(self) -> None:
        """Write the head if nothing has followed it."""
        if self.held is not None:
            self.write_first(b"")

    def is_closing(self) -> bool:
        """Whether the connection is closing."""
        return self.transport.is_closing()

    def close(self) -> None:
        """Close after what was written."""
        self.flush()
        self.transport.close()


class Protocol(HttpToolsProtocol):
    """One connection of a caller."""

    request_task: asyncio.Task[None] | None = None
    head_since: float | None = None  # when the head that is arriving began; None while none is
    body_since: float | None = None  # the same of a body
    head_bytes = 0  # received since the last head was complete
    refused = False
    stalled_since: float | None = None  # when the caller stopped reading
    unread = 0  # bytes that waited for it when that was last looked at

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A caller has connected and owes us a request."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(UNREAD)
        self.head_since = self.loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone: whatever is done for it ends now, in whichever phase it is."""
        running = self.cycle is not None and not self.cycle.response_complete
        super().connection_lost(exc)
        self.pipeline.clear()
        if running and self.request_task is not None:
            self.request_task.cancel(GONE)

    def data_received(self, data: bytes) -> None:
        """Bytes of a request; a head may not grow without end."""
        self.head_bytes += len(data)
        super().data_received(data)
        if self.head_since is not None and self.head_bytes > HEAD_BYTES:
            self.refuse(TOO_LARGE)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self.head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        """The head is here; one over the limit, which came in one piece, is refused before anybody looks at it."""
        if self.head_bytes > HEAD_BYTES and self.head_size() > HEAD_BYTES:
            self.refused = True
            self.refuse(TOO_LARGE)
            return
        super().on_headers_complete()
        self.head_since, self.body_since, self.head_bytes = None, self.loop.time(), 0

    def head_size(self) -> int:
        """Bytes of the request line and the headers, about."""
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if not self.refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is here."""
        if not self.refused:
            super().on_message_complete()
        self.body_since = None

    def pause_writing(self) -> None:
        """The caller reads more slowly than its answer comes."""
        super().pause_writing()
        self.stalled_since, self.unread = self.loop.time(), 0

    def resume_writing(self) -> None:
        """The caller has caught up."""
        super().resume_writing()
        self.stalled_since = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        """Keep the task, so that a disconnect can cancel it."""
        cycle.transport = HeldHead(self.transport, self.loop)  # type: ignore[assignment]  # all of it that a cycle uses
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)
        self.request_task = task

    def refuse_if_slow(self, now: float) -> None:
        """Close a connection whose head or body takes too long, or whose caller has stopped reading.

        A head behind a running answer has time.
        """
        if self.stalled_since is not None and self.stalled(self.stalled_since, now):
            self.transport.abort()
            return
        slow_head = self.head_since is not None and now > self.head_since + HEAD_SECONDS and not self.answering()
        if slow_head or (self.body_since is not None and now > self.body_since + BODY_SECONDS):
            self.refuse(TOO_SLOW)

    def stalled(self, since: float, now: float) -> bool:
        """Whether the caller has read nothing for too long; one who reads slowly may go on."""
        left = self.transport.get_write_buffer_size()
        if self.unread > left > 0:
            self.stalled_since = now
        self.unread = left
        return now > since + STALL_SECONDS and self.stalled_since == since

    def answering(self) -> bool:
        """Whether a request is being answered, so that nothing else may be written."""
        return bool(self.pipeline) or (self.cycle is not None and not self.cycle.response_complete)

    def refuse(self, answer: bytes) -> None:
        """Close, with that answer where it cannot be taken for another request's."""
        if self.transport.is_closing():
            return
        if self.head_since is not None:
            free = not self.answering()
        else:
            free = not self.pipeline and not self.cycle.response_started
        if free:
            self.transport.write(answer)
        self.transport.close()


class Quiet:
    """An app around another, for which a cancelled request is over and no failure: its caller has gone."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run the app."""
        with contextlib.suppress(asyncio.CancelledError):
            await self.app(scope, receive, send)


class Listener(uvicorn.Server):
    """One listener among several in a process: signals are handled elsewhere, once for all."""

    grace = GRACE  # seconds that running requests get when it ends
    cut = 0  # requests that did not end in time

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals alone."""
        yield

    def leave(self) -> None:
        """From now on every answer ends its connection, so that callers come back elsewhere."""
        if self.config.loaded:  # else nobody has come yet
            self.config.encoded_headers.append(CLOSE)
            self.server_state.default_headers = [*self.server_state.default_headers, CLOSE]

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more callers, wait for the running requests, and tell those that do not end in time."""
        for server in (*self.servers, *(sockets or ())):
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        await self.rest(self.grace)
        self.cut = len(self.server_state.tasks)
        for task in list(self.server_state.tasks):
            task.cancel()
        self.force_exit = False
        await self.rest(LAST_WORDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    async def rest(self, seconds: float) -> None:
        """Returns when every request and connection has ended, when the time is over, or when that is told to."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        while (self.server_state.tasks or self.server_state.connections) and loop.time() < until:
            if self.force_exit:
                return
            await asyncio.sleep(LOOK)

    async def sweep(self) -> None:
        """Close slow connections, for as long as this is awaited."""
        while True:
            await asyncio.sleep(SWEEP)
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                if isinstance(connection, Protocol):
                    connection.refuse_if_slow(now)


def listener(app: Any, cert: str | None = None, key: str | None = None) -> Listener:
    """A listener for an ASGI app, with TLS when a certificate is given."""
    config = uvicorn.Config(
        Quiet(app),
        http=Protocol,
        loop="none",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        ssl_certfile=cert,
        ssl_keyfile=key,
    )
    return Listener(config)


def bind(host: str, port: int, flag: str, variable: str) -> socket.socket:
    """A listening socket; raises PortTaken with the way to choose another."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):  # each connection inherits it
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)
    try:
        bound.bind((host, port))
    except OSError as exc:
        bound.close()
        if exc.errno == errno.EADDRINUSE:
            raise PortTaken(f"Port {port} on {host} is taken; choose another with {flag} or {variable}.") from exc
        raise PortTaken(f"Cannot listen on {host}:{port} ({exc.strerror}); set {flag} or {variable}.") from exc
    bound.setblocking(False)
    return bound
