"""One HTTP/1.1 connection to an upstream: a request out, the answer's head and body in, nothing else."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from gateway.errors import Disconnected, InvalidResponse, UpstreamError

READ = 8 << 10  # bytes of one read from a socket
BUFFER = 4 << 10  # bytes that are held for a reader who is slower than the upstream, before one more read
PIECES = 256  # pieces of the same
PART = 2 << 10  # bytes that are given at once: whoever decodes them holds many times as much until they are passed on
ALL = 1 << 62  # bytes: whatever is here
HEAD_LIMIT = 64 << 10  # bytes of an answer's head
CUT = "The upstream closed the connection in the middle of its answer."
TOO_LONG = f"The upstream sent an answer with a head of more than {HEAD_LIMIT} bytes."
NOT_HTTP = "The upstream sent an answer that is not HTTP."


def window() -> memoryview:
    """Where bytes are read to; what comes is taken out at once, so that all connections of a loop can share it."""
    return memoryview(bytearray(READ))


class Connection(asyncio.BufferedProtocol):
    """Parses answers as bytes come; a reader waits for the head, then for parts of the body."""

    def __init__(self, lost: Callable[["Connection"], None], window: memoryview) -> None:
        self.lost = lost
        self.window = window
        self.loop = asyncio.get_running_loop()
        self.parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.born = self.idle_since = self.loop.time()
        self.answers = 0  # that were read to their end on this connection
        self.failure: UpstreamError | None = None
        self.closed = False
        self.begin()

    def begin(self) -> None:
        """Forget the last answer."""
        self.status = 0
        self.headers: dict[str, str] = {}
        self.received = 0
        self.parts: deque[bytes] = deque()
        self.held = 0  # bytes in `parts`
        self.head_done = self.complete = self.reusable = self.paused = self.spoiled = False

    def ask(self, request: bytes) -> None:
        """Send a request, in one write."""
        self.begin()
        assert self.transport is not None
        self.transport.write(request)

    async def head(self) -> None:
        """Returns when the answer's head is here; raises Disconnected or InvalidResponse."""
        while not self.head_done:
            if self.failure is not None:
                raise self.failure
            await self.wait()

    async def part(self, most: int = PART) -> bytes:
        """The next bytes of the body, about `most`; none at its end. Raises Disconnected or InvalidResponse."""
        while not self.parts:
            if self.complete:
                return b""
            if self.failure is not None:
                raise self.failure
            await self.wait()
        data = self.parts.popleft()
        if self.parts or len(data) > most:
            data = self.more(data, most)
        self.held -= len(data)
        if self.paused and self.held <= PART and self.transport is not None:
            self.paused = False
            self.transport.resume_reading()
        return data

    def more(self, data: bytes, most: int) -> bytes:
        """What is taken at once where it is not one small piece alone."""
        if self.held <= most:
            data = b"".join((data, *self.parts))
            self.parts.clear()
            return data
        taken, size = [data], len(data)
        while size < most:
            taken.append(self.parts.popleft())
            size += len(taken[-1])
        if size > 2 * most:
            rest = size - most
            self.parts.appendleft(taken[-1][-rest:])
            taken[-1] = taken[-1][:-rest]
        return b"".join(taken)

    async def wait(self) -> None:
        """Returns when something has happened."""
        self.waiter = self.loop.create_future()
        try:
            await self.waiter
        finally:
            self.waiter = None

    def wake(self) -> None:
        """Something has happened."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def fail(self, failure: UpstreamError) -> None:
        """Nothing more can be read from this connection."""
        if self.failure is None:
            self.failure = failure
        self.abort()
        self.wake()

    def abort(self) -> None:
        """Close at once."""
        self.closed = True
        if self.transport is not None:
            self.transport.abort()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection stands."""
        self.transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where to put what comes."""
        return self.window

    def buffer_updated(self, count: int) -> None:
        """So many bytes have come."""
        self.data_received(self.window[:count])

    def data_received(self, data: bytes | memoryview) -> None:
        """Bytes from the upstream; none are due before a request or after an answer."""
        self.received += len(data)
        if self.complete:
            self.abort()
            return
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(InvalidResponse(NOT_HTTP))
            return
        if not self.head_done and self.received > HEAD_LIMIT:
            self.fail(InvalidResponse(TOO_LONG))
        self.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, which also ends a body of no declared length."""
        self.closed = True
        if self.head_done and not self.complete and exc is None and self.unbounded():
            self.complete = True
        elif not self.complete and self.failure is None:
            self.failure = Disconnected(CUT if self.head_done else "The upstream closed the connection unanswered.")
        self.lost(self)
        self.wake()

    def unbounded(self) -> bool:
        """Whether the body ends with the connection."""
        return "content-length" not in self.headers and "transfer-encoding" not in self.headers

    # httptools' side

    def on_message_begin(self) -> None:
        """A second answer behind the first: nobody asked for it, so nothing more is believed on this connection."""
        if self.complete:
            self.spoiled, self.reusable = True, False

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; repeated ones are joined as HTTP has it."""
        if self.spoiled:
            return
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text

    def on_headers_complete(self) -> None:
        """The head is here."""
        if self.spoiled:
            return
        self.status = self.parser.get_status_code()
        if self.received > HEAD_LIMIT and sum(map(len, self.headers.values())) > HEAD_LIMIT:
            self.fail(InvalidResponse(TOO_LONG))
        else:
            self.head_done = self.status >= 200

    def on_body(self, body: bytes) -> None:
        """A piece of the body; a slow reader slows the upstream."""
        if self.spoiled:
            return
        self.parts.append(body)
        self.held += len(body)
        if (self.held > BUFFER or len(self.parts) > PIECES) and not self.paused and self.transport is not None:
            self.paused = True
            self.transport.pause_reading()

    def on_message_complete(self) -> None:
        """The answer is whole; an informational one (1xx) is only a herald."""
        if self.spoiled:
            return
        if not self.head_done:
            self.headers = {}
            return
        self.complete = True
        self.reusable = self.parser.should_keep_alive()
        self.answers += 1
