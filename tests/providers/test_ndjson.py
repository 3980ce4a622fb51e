"""The lines of a stream do not depend on how the network cuts it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidResponse
from gateway.providers.ndjson import LINE_LIMIT, LineSplitter


def split(*parts: bytes) -> list[bytes]:
    splitter = LineSplitter()
    return [line for part in parts for line in splitter.feed(part)]


@given(st.data(), st.lists(st.sampled_from([b"{}", b'{"a": "\xf0\x9f\xa6\x99"}', b"", b"x", b" ", b"\r"])))
def test_any_cut_gives_the_same_lines(data: st.DataObject, lines: list[bytes]) -> None:
    stream = b"".join(line + b"\n" for line in lines)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    parts = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
    assert split(*parts) == split(stream) == [line for line in lines if line.strip()]


def test_a_line_that_is_not_ended_is_not_a_line() -> None:
    assert split(b'{"a": 1}\n{"b":') == [b'{"a": 1}']


def test_blank_lines_are_left_out() -> None:
    assert split(b"\n\r\n  \n{}\r\n\n") == [b"{}\r"]


@pytest.mark.parametrize("end", [b"", b"\n", b"\n{}\n"])
@pytest.mark.parametrize("size", [1000, LINE_LIMIT * 2])
def test_a_line_over_the_limit_is_refused_in_whatever_parts_it_comes(end: bytes, size: int) -> None:
    stream = b"{}\n" + b"x" * (LINE_LIMIT + 1) + end
    with pytest.raises(InvalidResponse, match="more than 1048576 bytes"):
        split(*(stream[place : place + size] for place in range(0, len(stream), size)))


def test_a_line_of_just_the_limit_is_a_line() -> None:
    assert split(b"x" * LINE_LIMIT, b"\n") == [b"x" * LINE_LIMIT]


class Counted(bytearray):
    """Bytes that count how often they are looked at as a whole."""

    copies = 0

    def __bytes__(self) -> bytes:
        self.copies += 1
        return bytes(memoryview(self))


def test_a_long_line_in_single_bytes_is_gone_over_once() -> None:
    splitter = LineSplitter()
    splitter.held = held = Counted()
    for _ in range(LINE_LIMIT):
        assert splitter.feed(b"x") == []
    assert held.copies == 0
    assert len(splitter.feed(b"\n")[0]) == LINE_LIMIT
    assert held.copies == 1
