"""What callers do wrong: they leave, do not read, do not finish, lie; upstreams and others must not suffer for it."""

import asyncio
import contextlib
import re
import resource
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.background import Background
from tests.faults.client import Leave, Reply
from tests.faults.conftest import Act, Running, on_stage
from tests.faults.policies import KEY, Back, Cell, alone, pair
from tests.faults.proc import fds, resident
from tests.faults.proxy import Deaf
from tests.faults.runner import PATIENCE, Stage
from tests.faults.smuggling import HIDDEN, corpus

SLOW = 100  # callers that do not read
EACH = 96 << 10  # bytes of memory for each of them, all that a request costs included
HALF = 60  # connections that send half a head
SPARE = 24  # files that the gateway may open besides, where they are scarce
ODD = {  # in a body, and the status of its answer
    "nested-deeply": (b'"x":' + b"[" * 100_000 + b"]" * 100_000 + b",", 400),
    "a-million-keys": (b"".join(b'"k%07d":1,' % number for number in range(1_000_000)), 413),
    "many-keys": (b"".join(b'"k%07d":1,' % number for number in range(100_000)), 200),
    "many-lists": (b'"x":[' + b"[]," * 100_000 + b"[]],", 400),
    "not-a-number": (b'"temperature":NaN,', 400),
    "infinity": (b'"temperature":1e999,', 400),
    "lone-surrogate": (b'"user":"\\ud800",', 400),
    "half-a-character": (b'"user":"\xc3",', 400),
    "key-twice": (b'"model":"nobody","model":"odd",', 200),
}
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer " + KEY.encode() + b"\r\n"
PHASES = [
    pytest.param("silent", True, id="before-the-head-of-a-stream"),
    pytest.param("silent", False, id="before-the-head-of-a-whole-answer"),
    pytest.param("mute", True, id="before-the-first-token"),
    pytest.param("mute", False, id="before-the-body-of-a-whole-answer"),
    pytest.param("stall-5", True, id="in-the-stream"),
    pytest.param("stall-5", False, id="in-the-body-of-a-whole-answer"),
    pytest.param("drip-200", True, id="while-words-come"),
    pytest.param("ollama-mute", True, id="before-the-first-token-of-ollama"),
    pytest.param("bedrock-mute", False, id="before-the-body-of-bedrock"),
]


def cells(deaf: str) -> list[Cell]:
    """The routes of this module."""
    return [
        *(pair(name, name) for name in ("silent", "mute", "stall-5", "drip-200")),
        *(pair(f"{kind}-mute", "mute", kind) for kind in ("ollama", "bedrock")),
        Cell("deaf", (Back("ok", url=deaf, foreign=True),), 1),
        *(alone(name, "ok") for name in ("ok", "smuggled", "lied", "odd")),
        alone("halved", "silent"),
        alone("long", "ok-4000"),
        alone("waiting", "slow-12"),
    ]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The stage, with an address beside it that takes no connection."""
    deaf = Deaf()
    directory = tmp_path_factory.mktemp("faults")
    with (
        contextlib.closing(deaf),
        Background() as background,
        on_stage(cells(deaf.url), directory, background) as running,
    ):
        yield running


def leaving(stage: Stage, model: str, count: int, words: int) -> Leave:
    """Leave once the wall has attempt `count` at a model, and so many words have come."""

    async def leave(reply: Reply) -> None:
        async with asyncio.timeout(PATIENCE):
            await stage.wall.reached(model, count)
            while reply.raw.count(b'"content":"w') < words:
                await asyncio.sleep(0.001)

    return leave


@pytest.mark.parametrize(("cell", "stream"), PHASES)
def test_caller_who_leaves_frees_the_upstream_and_nobody_else_is_asked(act: Act[Any], cell: str, stream: bool) -> None:
    async def part(stage: Stage) -> None:
        model = stage.cells[cell].id(stage.cells[cell].role("primary"))
        count = len(stage.wall.at(model)) + 1
        words = 3 if stream and cell in ("stall-5", "drip-200") else 0
        reply = await stage.ask(cell, stream, leaving(stage, model, count, words))
        assert reply.end == "left"
        attempt = await stage.wall.reached(model, count)
        async with asyncio.timeout(PATIENCE):
            await attempt.over.wait()
        assert attempt.gone is not None
        (row,) = await stage.rows()
        assert (row["outcome"], row["status"], row["attempts"]) == ("client_cancelled", 499, 1)
        assert [one.model for one in stage.wall.of(reply.token)] == [model]

    act(part)


@pytest.mark.parametrize("stream", [True, False])
def test_caller_who_leaves_while_the_upstream_is_being_connected_to_is_let_go(act: Act[Any], stream: bool) -> None:
    async def part(stage: Stage) -> None:
        async def leave(reply: Reply) -> None:
            async with asyncio.timeout(PATIENCE):
                while not await stage.in_flight():
                    await asyncio.sleep(0.001)

        reply = await stage.ask("deaf", stream, leave)
        assert reply.end == "left"
        (row,) = await stage.rows()
        assert row["outcome"] == "client_cancelled"

    act(part)


def address(stage: Stage) -> tuple[str, int]:
    """Where the gateway takes requests."""
    where = urlsplit(stage.gateway.data)
    return str(where.hostname), int(where.port or 0)


async def said_to(stage: Stage, sent: bytes, seconds: float = PATIENCE) -> bytes:
    """What comes back for raw bytes, until the gateway closes or says no more for a while."""
    reader, writer = await asyncio.open_connection(*address(stage))
    writer.write(sent)
    held = b""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(seconds):
            while data := await reader.read(65536):
                held += data
    writer.transport.abort()
    return held


def unread(stage: Stage) -> socket.socket:
    """A caller of a long stream who reads nothing of it."""
    body = b'{"model":"long","stream":true,"messages":[{"role":"user","content":"hi"}]}'
    sent = HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    caller = socket.socket()
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    caller.connect(address(stage))
    caller.sendall(sent)
    return caller


async def settled(stage: Stage) -> None:
    """Wait until every long stream has begun and the wall can write no more of any."""
    before: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            await asyncio.sleep(0.1)
            sent = sorted(wire.sent for wire in stage.wall.open)[-SLOW:]
            if sent == before and sent[0] > 0:
                return
            before = sent


def test_callers_who_do_not_read_cost_little_memory_and_hold_nobody_up(act: Act[Any]) -> None:
    async def part(stage: Stage) -> int:
        model = stage.cells["long"].id(stage.cells["long"].role("primary"))
        first = unread(stage)  # what the first one costs besides is no caller's
        await stage.wall.reached(model, 1)
        await settled(stage)
        before = resident(stage.gateway.process.pid)
        callers = [first, *(unread(stage) for _ in range(SLOW))]
        await stage.wall.reached(model, 1 + SLOW)
        await settled(stage)
        assert all(reply.success for reply in await stage.both("ok"))
        grown = resident(stage.gateway.process.pid) - before
        for caller in callers:
            caller.close()
        await stage.forget()
        assert all(attempt.over.is_set() for attempt in stage.wall.attempts)
        return grown

    assert act(part) < SLOW * EACH


def post(model: str, more: bytes = b"") -> bytes:
    """A whole request, with something in its body besides."""
    body = b'{"model":"%s",%s"messages":[{"role":"user","content":"hi"}]}' % (model.encode(), more)
    return HEAD + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def ending(request: bytes) -> bytes:
    """A request that is the last one of its connection."""
    return request.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)


@pytest.mark.parametrize(("more", "status"), ODD.values(), ids=ODD.keys())
def test_body_that_is_odd_is_answered_soon_and_holds_nobody_up(act: Act[Any], more: bytes, status: int) -> None:
    async def part(stage: Stage) -> bytes:
        asked = asyncio.ensure_future(said_to(stage, ending(post("odd", more))))
        assert (await stage.ask("ok")).success
        found = await asked
        await stage.forget(int(status == 200))
        return found

    assert act(part).startswith(b"HTTP/1.1 %d " % status)


def test_requests_sent_at_once_are_answered_one_after_the_other(act: Act[Any]) -> None:
    async def part(stage: Stage) -> bytes:
        found = await said_to(stage, post("odd") + post("nobody") + ending(post("odd")))
        await stage.forget(2)
        return found

    found = act(part)
    assert re.findall(rb"HTTP/1\.1 (\d+) ", found) == [b"200", b"404", b"200"]
    assert found.rstrip().endswith(b"}")


def test_caller_who_ends_its_side_of_the_connection_has_left(act: Act[Any]) -> None:
    async def part(stage: Stage) -> None:
        model = stage.cells["halved"].id(stage.cells["halved"].role("primary"))
        reader, writer = await asyncio.open_connection(*address(stage))
        writer.write(post("halved"))
        attempt = await stage.wall.reached(model)
        writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            assert await reader.read() == b""
            await attempt.over.wait()
        writer.close()
        await stage.forget(1)
        assert attempt.gone is not None

    act(part)


def test_connections_with_half_a_head_hold_nobody_up(act: Act[Any]) -> None:
    async def part(stage: Stage) -> list[bool]:
        halves = [await asyncio.open_connection(*address(stage)) for _ in range(HALF)]
        for _, writer in halves:
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-slow: ")
        replies = [await stage.ask("ok", stream) for stream in (True, False) * 5]
        for _, writer in halves:
            writer.transport.abort()
        return [reply.success for reply in replies]

    assert act(part) == [True] * 10


def test_body_of_a_hundred_megabytes_is_refused_before_it_comes(act: Act[Any]) -> None:
    async def part(stage: Stage) -> bytes:
        length = b"content-length: %d\r\nconnection: close\r\n\r\n{" % (100 << 20)
        return await said_to(stage, HEAD + length)

    assert act(part).startswith(b"HTTP/1.1 413 ")


def test_chunked_body_without_end_is_refused_at_the_limit(act: Act[Any]) -> None:
    async def part(stage: Stage) -> bytes:
        reader, writer = await asyncio.open_connection(*address(stage))
        writer.write(HEAD + b"transfer-encoding: chunked\r\n\r\n")
        answer = asyncio.ensure_future(reader.readuntil(b"\r\n\r\n"))
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n"
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(PATIENCE):
                while not answer.done():
                    writer.write(piece)
                    await writer.drain()
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            return await answer
        return b"reset"

    found = act(part)
    assert found == b"reset" or found.startswith(b"HTTP/1.1 413 ")


def test_body_shorter_than_it_says_reaches_no_upstream(act: Act[Any]) -> None:
    async def part(stage: Stage) -> int:
        body = b'{"model":"lied","messages":[{"role":"user","content":"hi"}]}'
        sent = HEAD + b"content-length: %d\r\n\r\n%b" % (len(body) + 10, body)
        _, writer = await asyncio.open_connection(*address(stage))
        writer.write(sent)
        await writer.drain()
        assert (await stage.ask("ok")).success
        writer.transport.abort()
        await stage.quiet()
        return len(stage.wall.at(stage.cells["lied"].id(stage.cells["lied"].role("primary"))))

    assert act(part) == 0


@pytest.mark.parametrize("name", corpus("smuggled"))
def test_hidden_request_is_never_seen_by_an_upstream(act: Act[Any], name: str) -> None:
    async def part(stage: Stage) -> bytes:
        before = len(stage.wall.attempts)
        found = await said_to(stage, corpus("smuggled")[name] + b"\r\n", seconds=1.0)
        assert (await stage.ask("ok")).success
        assert not [attempt for attempt in stage.wall.attempts[before:] if HIDDEN in str(attempt.body)]
        fresh = stage.replies
        await stage.rows()
        assert len(stage.fresh) == len(fresh)
        return found

    assert act(part).count(b"HTTP/1.1 200 ") == 0


def test_gateway_that_runs_out_of_files_recovers(act: Act[Any]) -> None:
    async def part(stage: Stage) -> None:
        pid = stage.gateway.process.pid
        old = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (fds(pid) + SPARE, old[1]))
        crowd = [await asyncio.open_connection(*address(stage)) for _ in range(2 * SPARE)]
        for _, writer in crowd:
            writer.transport.abort()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, old)
        assert all(reply.success for reply in await stage.both("ok"))
        assert stage.gateway.process.poll() is None

    act(part)
