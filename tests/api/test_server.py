"""The HTTP servers, with real sockets."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import orjson
import pytest

from gateway.api.reply import Message, Receive, Scope, Send
from gateway.api.server import (
    BODY_SECONDS,
    GONE,
    HEAD_BYTES,
    HEAD_SECONDS,
    STALL_SECONDS,
    TOO_LARGE,
    TOO_SLOW,
    Listener,
    PortTaken,
    Protocol,
    bind,
    listener,
)
from gateway.errors import HeadTooLarge, RequestTimeout

pytestmark = pytest.mark.asyncio
PATIENCE = 10.0  # seconds until a test that hangs is given up

POST = b"POST /chat HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


class App:
    """A tiny ASGI app: does what it is told in `act` and says how far it came."""

    def __init__(self, act: Callable[[Receive, Send], Awaitable[None]]) -> None:
        self.act = act
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.ended = asyncio.Event()
        self.paths: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        try:
            await self.act(receive, send)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        finally:
            self.ended.set()


async def body(receive: Receive) -> bytes:
    """The whole body."""
    held = b""
    while True:
        message = await receive()
        piece: bytes = message.get("body", b"")
        held += piece
        if not message.get("more_body"):
            return held


async def start(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})


def piece(words: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": words, "more_body": more}


async def hello(receive: Receive, send: Send) -> None:
    """Read everything, answer."""
    await body(receive)
    await start(send)
    await send(piece(b"hello"))


class Server:
    """A running listener, and its address."""

    def __init__(self, running: Listener, port: int) -> None:
        self.running = running
        self.port = port

    async def connect(self, sent: bytes = b"") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(sent)
        await writer.drain()
        return reader, writer

    async def connection(self) -> Protocol:
        """The only connection, once the server has it."""
        while not self.running.server_state.connections:
            await asyncio.sleep(0)
        (found,) = self.running.server_state.connections
        assert isinstance(found, Protocol)
        return found


@contextlib.asynccontextmanager
async def serving(app: App) -> AsyncIterator[Server]:
    """Serve an app on a port of its own."""
    door = bind("127.0.0.1", 0, "--port", "GATEWAY_PORT")
    running = listener(app)
    task = asyncio.create_task(running.serve(sockets=[door]))
    try:
        async with asyncio.timeout(PATIENCE):
            while not running.started:
                await asyncio.sleep(0)
            yield Server(running, door.getsockname()[1])
    finally:
        running.should_exit = running.force_exit = True
        await task
        door.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is true."""
    while not condition():
        await asyncio.sleep(0)


async def test_answers_come_over_one_connection_after_another() -> None:
    app = App(hello)
    async with serving(app) as server:
        reader, writer = await server.connect()
        for _ in range(3):
            writer.write(POST + b"12345")
            found = await reader.readuntil(b"hello\r\n0\r\n\r\n")
            assert found.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"server:" not in found.lower()
        writer.close()


async def hang_before_the_body(app: App, receive: Receive, send: Send) -> None:
    app.began.set()
    await body(receive)
    await asyncio.Event().wait()


async def hang_before_the_answer(app: App, receive: Receive, send: Send) -> None:
    await body(receive)
    app.began.set()
    await asyncio.Event().wait()


async def hang_after_the_head(app: App, receive: Receive, send: Send) -> None:
    await body(receive)
    await start(send)
    app.began.set()
    await asyncio.Event().wait()


async def hang_in_the_stream(app: App, receive: Receive, send: Send) -> None:
    await body(receive)
    await start(send)
    await send(piece(b"data", more=True))
    app.began.set()
    await asyncio.Event().wait()


async def flood(app: App, receive: Receive, send: Send) -> None:
    """Send more than the caller reads, so that sending waits."""
    await body(receive)
    await start(send)
    app.began.set()
    while True:
        await send(piece(b"x" * 65536, more=True))


@pytest.mark.parametrize(
    "act", [hang_before_the_answer, hang_after_the_head, hang_in_the_stream, flood], ids=lambda act: act.__name__
)
async def test_caller_who_hangs_up_cancels_the_request_in_every_phase(
    act: Callable[[App, Receive, Send], Awaitable[None]],
) -> None:
    app = App(lambda receive, send: act(app, receive, send))
    async with serving(app) as server:
        _, writer = await server.connect(POST + b"12345")
        await app.began.wait()
        writer.transport.abort()
        await app.cancelled.wait()


async def test_caller_who_hangs_up_in_the_body_cancels_the_request() -> None:
    app = App(lambda receive, send: hang_before_the_body(app, receive, send))
    async with serving(app) as server:
        _, writer = await server.connect(POST + b"12")
        await app.began.wait()
        writer.close()
        await app.cancelled.wait()


async def test_caller_who_hangs_up_in_the_second_request_of_a_connection_cancels_it() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await (hello(receive, send) if len(app.paths) == 1 else hang_before_the_answer(app, receive, send))

    app = App(act)
    async with serving(app) as server:
        reader, writer = await server.connect(POST + b"12345")
        await reader.readuntil(b"0\r\n\r\n")
        writer.write(POST + b"12345")
        await app.began.wait()
        writer.close()
        await app.cancelled.wait()


async def test_requests_that_wait_behind_another_are_dropped_with_the_connection() -> None:
    app = App(lambda receive, send: hang_before_the_answer(app, receive, send))
    async with serving(app) as server:
        _, writer = await server.connect(GET + GET)
        await app.began.wait()
        writer.close()
        await app.cancelled.wait()
        await until(lambda: not server.running.server_state.tasks)
        assert len(app.paths) == 1


async def test_hanging_up_after_the_answer_cancels_nothing() -> None:
    release = asyncio.Event()

    async def act(receive: Receive, send: Send) -> None:
        await hello(receive, send)
        await release.wait()

    app = App(act)
    async with serving(app) as server:
        reader, writer = await server.connect(POST + b"12345")
        await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        await until(lambda: not server.running.server_state.connections)
        release.set()
        await app.ended.wait()
        assert not app.cancelled.is_set()


@pytest.mark.parametrize("size", [HEAD_BYTES + 1000, 4 * HEAD_BYTES])
async def test_head_over_the_limit_is_refused_although_it_comes_in_one_piece(size: int) -> None:
    app = App(hello)
    async with serving(app) as server:
        reader, writer = await server.connect()
        writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nx-long: " + b"x" * size + b"\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):  # bytes that nobody reads reset a connection
            assert (await answer(reader, writer)).startswith(b"HTTP/1.1 431 ")
        assert app.paths == []


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """Everything until the connection ends, or the first answer."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()


async def taken(connection: Protocol, head: bytes) -> None:
    """Wait until the server has read all of a head."""
    await until(lambda: connection.head_bytes == len(head))
    assert not connection.transport.is_closing()


async def test_head_that_grows_without_end_is_refused_once_it_is_over_the_limit() -> None:
    app = App(hello)
    async with serving(app) as server:
        reader, writer = await server.connect(b"GET / HTTP/1.1\r\n")
        connection = await server.connection()
        line = b"x-long: " + b"x" * 1014 + b"\r\n"
        for number in range(HEAD_BYTES // len(line)):
            await taken(connection, b"GET / HTTP/1.1\r\n" + line * number)
            writer.write(line)
        assert (await answer(reader, writer)).startswith(b"HTTP/1.1 431 ")
        assert app.paths == []


async def test_long_body_is_no_long_head() -> None:
    app = App(hello)
    async with serving(app) as server:
        reader, writer = await server.connect(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 100000\r\n\r\n")
        writer.write(b"x" * 100_000)
        assert (await answer(reader, writer)).startswith(b"HTTP/1.1 200 ")


async def test_heads_of_many_requests_are_not_added_up() -> None:
    app = App(hello)
    async with serving(app) as server:
        reader, writer = await server.connect()
        for _ in range(4):
            writer.write(b"GET / HTTP/1.1\r\nhost: a\r\nx: " + b"x" * (HEAD_BYTES // 2) + b"\r\n\r\n")
            assert (await reader.readuntil(b"0\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.close()


@pytest.mark.parametrize("sent", [b"", b"GE", b"GET / HTTP/1.1\r\nhost:"])
async def test_slow_head_is_closed_when_its_time_is_over_and_not_before(sent: bytes) -> None:
    async with serving(App(hello)) as server:
        reader, writer = await server.connect(sent)
        connection = await server.connection()
        if sent:
            await until(lambda: connection.head_bytes == len(sent))
        assert connection.head_since is not None
        connection.refuse_if_slow(connection.head_since + HEAD_SECONDS)
        assert not connection.transport.is_closing()
        connection.refuse_if_slow(connection.head_since + HEAD_SECONDS + 0.1)
        found = await reader.read()
        assert found.startswith(b"HTTP/1.1 408 ") and b"connection: close" in found
        writer.close()


async def test_slow_body_is_closed_when_its_time_is_over_and_not_before() -> None:
    app = App(hello)
    async with serving(app) as server:
        reader, writer = await server.connect(POST + b"12")
        connection = await server.connection()
        await until(lambda: bool(app.paths))
        assert connection.head_since is None and connection.body_since is not None
        connection.refuse_if_slow(connection.body_since + BODY_SECONDS)
        assert not connection.transport.is_closing()
        connection.refuse_if_slow(connection.body_since + BODY_SECONDS + 0.1)
        assert (await reader.read()).startswith(b"HTTP/1.1 408 ")
        writer.close()
        await app.cancelled.wait()


async def test_slow_body_under_an_answer_that_has_begun_ends_the_connection_without_a_word() -> None:
    app = App(lambda receive, send: early(receive, send))

    async def early(receive: Receive, send: Send) -> None:
        await start(send)
        await send(piece(b"early", more=True))
        app.began.set()
        await asyncio.Event().wait()

    async with serving(app) as server:
        reader, writer = await server.connect(POST + b"12")
        await app.began.wait()
        connection = await server.connection()
        assert connection.body_since is not None
        connection.refuse_if_slow(connection.body_since + BODY_SECONDS + 0.1)
        found = await reader.read()
        assert b"early" in found and b"408" not in found
        writer.close()


async def test_connection_that_waits_for_its_answer_or_its_next_request_is_not_slow() -> None:
    app = App(lambda receive, send: hang_before_the_answer(app, receive, send))
    async with serving(app) as server:
        _, writer = await server.connect(POST + b"12345")
        await app.began.wait()
        connection = await server.connection()
        connection.refuse_if_slow(asyncio.get_running_loop().time() + 10_000)
        assert not connection.transport.is_closing()
        writer.close()
    async with serving(App(hello)) as server:
        reader, writer = await server.connect(POST + b"12345")
        await reader.readuntil(b"0\r\n\r\n")
        connection = await server.connection()
        connection.refuse_if_slow(asyncio.get_running_loop().time() + 10_000)
        assert not connection.transport.is_closing()
        writer.close()


async def running_answer(after: bytes, refuse: Callable[[Protocol], None]) -> bytes:
    """What a caller reads of an answer that was under way when something else came over its connection."""
    release = asyncio.Event()

    async def act(receive: Receive, send: Send) -> None:
        await body(receive)
        await start(send)
        await send(piece(b"first", more=True))
        app.began.set()
        await release.wait()
        await send(piece(b"last"))

    app = App(act)
    async with serving(app) as server:
        reader, writer = await server.connect(POST + b"12345")
        await app.began.wait()
        connection = await server.connection()
        writer.write(after)
        await until(lambda: connection.head_since is not None or not after.strip())
        refuse(connection)
        release.set()
        found = await reader.readuntil(b"0\r\n\r\n")
        writer.close()
        return found


async def test_slow_head_behind_a_running_answer_does_not_write_into_it() -> None:
    found = await running_answer(
        b"GET / HT", lambda connection: connection.refuse_if_slow(asyncio.get_running_loop().time() + HEAD_SECONDS + 1)
    )
    assert b"408" not in found
    assert found.endswith(b"4\r\nlast\r\n0\r\n\r\n")


async def test_line_break_after_a_body_is_no_slow_head() -> None:
    found = await running_answer(
        b"\r\n", lambda connection: connection.refuse_if_slow(asyncio.get_running_loop().time() + HEAD_SECONDS + 1)
    )
    assert found.endswith(b"4\r\nlast\r\n0\r\n\r\n")


async def test_what_is_no_http_is_refused() -> None:
    app = App(hello)
    async with serving(app) as server:
        reader, writer = await server.connect(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
        assert (await answer(reader, writer)).startswith(b"HTTP/1.1 400 ")
        assert app.paths == []


async def test_upgrade_is_ignored_and_the_sweep_survives_it() -> None:
    async with serving(App(hello)) as server:
        reader, writer = await server.connect(
            b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
        )
        connection = await server.connection()
        await reader.readuntil(b"\r\n\r\n")
        connection.refuse_if_slow(asyncio.get_running_loop().time() + 10_000)
        writer.close()


async def test_sweep_goes_on_while_the_listener_comes_to_its_end() -> None:
    running = listener(App(hello))
    running.should_exit = True
    sweeping = asyncio.create_task(running.sweep())
    await asyncio.sleep(0)
    assert not sweeping.done()
    sweeping.cancel()
    await asyncio.wait([sweeping])


async def test_port_that_is_taken_is_told_with_the_way_to_choose_another() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            bind("127.0.0.1", port, "--port", "GATEWAY_PORT")
    assert str(caught.value) == f"Port {port} on 127.0.0.1 is taken; choose another with --port or GATEWAY_PORT."


async def test_address_that_is_not_ours_is_told_too() -> None:
    with pytest.raises(PortTaken, match=r"Cannot listen on 203\.0\.113\.1:1 .*set --host or GATEWAY_HOST"):
        bind("203.0.113.1", 1, "--host", "GATEWAY_HOST")


async def test_bound_socket_does_not_block() -> None:
    with bind("127.0.0.1", 0, "--port", "GATEWAY_PORT") as door:
        assert not door.getblocking()


async def test_caller_who_does_not_read_is_given_up_after_thirty_seconds_and_not_before() -> None:
    app = App(lambda receive, send: flood(app, receive, send))
    async with serving(app) as server:
        _, writer = await server.connect(POST + b"12345")
        connection = await server.connection()
        await until(lambda: connection.stalled_since is not None)
        since = connection.stalled_since
        assert since is not None
        connection.refuse_if_slow(since + STALL_SECONDS)
        assert not connection.transport.is_closing()
        connection.refuse_if_slow(since + STALL_SECONDS + 0.1)
        await app.cancelled.wait()
        assert connection.transport.is_closing()
        writer.close()


async def test_caller_who_reads_little_by_little_is_not_given_up() -> None:
    app = App(lambda receive, send: flood(app, receive, send))
    async with serving(app) as server:
        reader, writer = await server.connect(POST + b"12345")
        connection = await server.connection()
        await until(lambda: connection.stalled_since is not None)
        now = connection.stalled_since
        assert now is not None
        for _ in range(5):
            left = connection.transport.get_write_buffer_size()
            connection.refuse_if_slow(now := now + STALL_SECONDS)
            while connection.transport.get_write_buffer_size() >= left and connection.stalled_since is not None:
                await reader.read(1 << 16)
        connection.refuse_if_slow(now + STALL_SECONDS)
        assert not connection.transport.is_closing()
        writer.transport.abort()
        await app.cancelled.wait()


async def test_caller_who_reads_again_has_thirty_seconds_anew() -> None:
    count = 512

    async def much(receive: Receive, send: Send) -> None:
        await start(send)
        for _ in range(count):
            await send(piece(b"x" * 65536, more=True))
        app.began.set()
        await asyncio.Event().wait()

    app = App(much)
    async with serving(app) as server:
        reader, writer = await server.connect(POST + b"12345")
        connection = await server.connection()
        await until(lambda: connection.stalled_since is not None)
        assert not app.began.is_set()
        await reader.readexactly(count * 65536)
        await app.began.wait()
        await until(lambda: connection.stalled_since is None)
        connection.refuse_if_slow(asyncio.get_running_loop().time() + STALL_SECONDS + 10_000)
        assert not connection.transport.is_closing()
        writer.transport.abort()
        await app.cancelled.wait()


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [(TOO_SLOW, 408, RequestTimeout.code), (TOO_LARGE, 431, HeadTooLarge.code)],
    ids=["slow", "large"],
)
async def test_refusal_without_an_app_is_a_whole_answer_with_an_error_of_ours(
    sent: bytes, status: int, code: str
) -> None:
    head, _, content = sent.partition(b"\r\n\r\n")
    rows = dict(row.split(": ") for row in head.decode().split("\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert rows == {"content-type": "application/json", "content-length": str(len(content)), "connection": "close"}
    assert orjson.loads(content)["error"]["code"] == code


async def test_request_of_a_caller_who_hangs_up_is_told_why_it_ends() -> None:
    reasons: list[object] = []

    async def act(receive: Receive, send: Send) -> None:
        app.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            reasons.extend(exc.args)
            raise

    app = App(act)
    async with serving(app) as server:
        _, writer = await server.connect(POST + b"12345")
        await app.began.wait()
        writer.transport.abort()
        await app.cancelled.wait()
    assert reasons == [GONE]


async def ended(server: Server) -> None:
    """Let a listener end as it does when it is told to."""
    server.running.should_exit = True
    await until(lambda: not server.running.servers[0].is_serving())


async def test_listener_that_leaves_answers_still_and_ends_each_connection() -> None:
    async with serving(App(hello)) as server:
        before, kept = await server.connect(POST + b"12345")
        assert b"connection: close" not in await before.readuntil(b"0\r\n\r\n")
        server.running.leave()
        kept.write(POST + b"12345")
        assert b"connection: close" in await before.read()
        after, writer = await server.connect(POST + b"12345")
        assert b"connection: close" in await after.read()
        for one in (kept, writer):
            one.close()


async def test_listener_that_ends_waits_for_answers_and_closes_idle_connections() -> None:
    release = asyncio.Event()

    async def act(receive: Receive, send: Send) -> None:
        app.began.set()
        await release.wait()
        await hello(receive, send)

    app = App(act)
    async with serving(app) as server:
        server.running.grace = PATIENCE
        idle, other = await server.connect()
        reader, writer = await server.connect(POST + b"12345")
        await app.began.wait()
        await until(lambda: len(server.running.server_state.connections) == 2)
        await ended(server)
        assert await idle.read() == b""
        with pytest.raises(ConnectionRefusedError):
            await server.connect()
        release.set()
        found = await reader.read()
        assert b"connection: close" in found and found.endswith(b"hello\r\n0\r\n\r\n")
        assert server.running.cut == 0
        for one in (other, writer):
            one.close()


async def test_request_that_outlasts_its_grace_is_cancelled_and_has_its_last_word() -> None:
    async def act(receive: Receive, send: Send) -> None:
        await body(receive)
        await start(send)
        app.began.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError as exc:
            assert exc.args != (GONE,)
            await send(piece(b"last words"))

    app = App(act)
    async with serving(app) as server:
        server.running.grace = 0.0
        reader, writer = await server.connect(POST + b"12345")
        await app.began.wait()
        server.running.should_exit = True
        assert b"last words" in await reader.read()
        await until(lambda: server.running.cut == 1)
        writer.close()


async def test_caller_who_does_not_read_does_not_keep_the_listener_from_ending() -> None:
    app = App(lambda receive, send: flood(app, receive, send))
    async with serving(app) as server:
        _, writer = await server.connect(POST + b"12345")
        connection = await server.connection()
        await until(lambda: connection.stalled_since is not None)
        server.running.should_exit = True
        await until(lambda: not server.running.server_state.connections)
        writer.close()
