"""An answer does not depend on how the network cuts it, and whatever else comes is one of our errors."""

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Disconnected, InvalidResponse, UpstreamError
from gateway.providers.http1 import BUFFER, HEAD_LIMIT, Connection

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


Got = tuple[int, dict[str, str], bytes, bool]


async def exchanged(parts: list[bytes], ends: bool = True) -> Got:
    """Status, headers, body and whether the connection can be used again; raises UpstreamError."""
    connection = Connection(lambda lost: None)
    connection.connection_made(cast("Any", Wire()))
    connection.ask(b"")
    for part in parts:
        if not connection.closed:
            connection.data_received(part)
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


def test_a_body_in_single_bytes_is_joined_once_and_a_slow_reader_slows_the_upstream() -> None:
    async def slow() -> tuple[bool, int, bool]:
        wire = Wire()
        connection = Connection(lambda lost: None)
        connection.connection_made(cast("Any", wire))
        connection.ask(b"")
        connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (2 * BUFFER))
        for _ in range(BUFFER + 1):
            connection.data_received(b"x")
        paused = wire.paused
        assert len(connection.parts) == BUFFER + 1
        return paused, len(await connection.part()), wire.paused

    assert asyncio.run(slow()) == (True, BUFFER + 1, False)
