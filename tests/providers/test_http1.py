"""An answer does not depend on how the network cuts it, and whatever else comes is one of our errors."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Disconnected, InvalidResponse, UpstreamError
from gateway.providers.http1 import ALL, BUFFER, HEAD_LIMIT, PART, PIECES, READ, Connection, window

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nX-Odd: a\r\nX-Odd: b\r\n"
ANSWERS = {
    "length": HEAD + b"Content-Length: 11\r\n\r\nhello world",
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;odd=1\r\n world\r\n0\r\nTrailer: x\r\n\r\n",
    "close": HEAD + b"Connection: close\r\n\r\nhello world",
    "informed": b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + HEAD + b"Content-Length: 11\r\n\r\nhello world",
    "empty": b"HTTP/1.1 204 No Content\r\n\r\n",
}


class Wire:
    """What a connection stands on: nothing, but it remembers what is done to it."""

    def __init__(self) -> None:
        self.aborted = self.paused = False

    def write(self, data: bytes) -> None:
        return

    def abort(self) -> None:
        self.aborted = True

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


def come(connection: Connection, data: bytes) -> None:
    """Bytes come as a loop reads them; what is in the window is gone with the next read."""
    while data and not connection.closed:
        buffer = connection.get_buffer(-1)
        count = min(len(buffer), len(data))
        buffer[:count] = data[:count]
        connection.buffer_updated(count)
        buffer[:count] = b"!" * count
        data = data[count:]


Got = tuple[int, dict[str, str], bytes, bool]


async def exchanged(parts: list[bytes], ends: bool = True) -> Got:
    """Status, headers, body and whether the connection can be used again; raises UpstreamError."""
    connection = Connection(lambda lost: None, window())
    connection.connection_made(cast("Any", Wire()))
    connection.ask(b"")
    for part in parts:
        come(connection, part)
    if ends and not connection.closed:
        connection.connection_lost(None)
    await connection.head()
    body = b""
    while part := await connection.part():
        body += part
    return connection.status, dict(connection.headers), body, connection.reusable


def got(*parts: bytes, ends: bool = True) -> Got | type[UpstreamError]:
    """The answer in these parts, or the error that it is."""
    try:
        return asyncio.run(exchanged(list(parts), ends))
    except UpstreamError as exc:
        return type(exc)


def cut(stream: bytes, places: list[int]) -> list[bytes]:
    """The same bytes in parts."""
    places = sorted(places)
    parts = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
    return [part for part in parts if part]


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_cut_at_any_place_is_the_same_answer(name: str) -> None:
    answer = ANSWERS[name]
    whole = got(answer)
    assert isinstance(whole, tuple) and whole[2] == (b"" if name == "empty" else b"hello world")
    assert whole[1].get("x-odd") == (None if name == "empty" else "a, b")
    for place in range(1, len(answer)):
        assert got(answer[:place], answer[place:]) == whole
    assert got(*(answer[place : place + 1] for place in range(len(answer)))) == whole


@given(st.data(), st.sampled_from(sorted(ANSWERS)), st.binary(max_size=6))
def test_any_bytes_in_any_parts_are_one_answer_or_one_error(data: st.DataObject, name: str, odd: bytes) -> None:
    answer = ANSWERS[name]
    place = data.draw(st.integers(0, len(answer)))
    stream = answer[:place] + odd + answer[place + len(odd) :]
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=6))
    whole, parts = got(stream), got(*cut(stream, places))
    assert isinstance(whole, tuple) or issubclass(whole, Disconnected | InvalidResponse)
    assert isinstance(parts, tuple) or issubclass(parts, Disconnected | InvalidResponse)


@pytest.mark.parametrize("name", ["length", "chunked"])
def test_an_answer_that_is_cut_short_anywhere_is_disconnected(name: str) -> None:
    answer = ANSWERS[name]
    for place in range(len(answer)):
        assert got(answer[:place]) is Disconnected


@pytest.mark.parametrize("size", [1, 4096, HEAD_LIMIT * 3])
def test_a_head_without_end_is_refused_in_whatever_parts_it_comes(size: int) -> None:
    stream = b"HTTP/1.1 200 OK\r\n" + b"X-Much: %s\r\n" % (b"x" * 1000) * 200
    assert got(*(stream[place : place + size] for place in range(0, len(stream), size))) is InvalidResponse


async def asked(length: int) -> tuple[Connection, Wire]:
    """A connection whose answer has begun, with a body of that length to come."""
    wire = Wire()
    connection = Connection(lambda lost: None, window())
    connection.connection_made(cast("Any", wire))
    connection.ask(b"")
    come(connection, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
    return connection, wire


def test_slow_reader_slows_the_upstream_and_little_is_held_for_it() -> None:
    async def slow() -> None:
        connection, wire = await asked(100 * BUFFER)
        sent = 0
        while not wire.paused:
            come(connection, b"x" * READ)
            sent += READ
        assert connection.held == sent <= BUFFER + READ
        taken = 0
        while wire.paused:
            taken += len(await connection.part())
        assert taken >= sent - PART
        come(connection, b"x" * READ)
        assert connection.held == sent - taken + READ

    asyncio.run(slow())


def test_body_in_single_bytes_slows_the_upstream_too_and_is_joined_again() -> None:
    async def slow() -> bytes:
        connection, wire = await asked(2 * PIECES)
        for _ in range(PIECES + 1):
            come(connection, b"x")
        assert wire.paused
        return await connection.part()

    assert asyncio.run(slow()) == b"x" * (PIECES + 1)


@given(st.lists(st.binary(min_size=1, max_size=3 * PART), min_size=1, max_size=12), st.booleans())
def test_parts_of_a_body_are_small_and_together_the_body(pieces: list[bytes], all_at_once: bool) -> None:
    async def read() -> list[bytes]:
        connection, _ = await asked(sum(map(len, pieces)))
        for piece in pieces:
            come(connection, piece)
        found = []
        while part := await connection.part(ALL if all_at_once else PART):
            found.append(part)
        assert connection.held == 0
        return found

    parts = asyncio.run(read())
    assert b"".join(parts) == b"".join(pieces)
    assert len(parts) == 1 if all_at_once else all(len(part) <= 2 * PART for part in parts)
