"""The events of a stream do not depend on how the network cuts it, and are those that OpenAI's own SDK sees."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from gateway.errors import InvalidResponse
from gateway.providers.sse import EVENT_LIMIT, SseParser

ENDS = ("\n", "\r\n", "\r")
TEXT = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), max_size=12)
LINES = st.one_of(
    TEXT.map("data: {}".format),
    TEXT.map("data:{}".format),
    TEXT.map(": {}".format),
    TEXT.map("event: {}".format),
    TEXT.map("id: {}".format),
    st.sampled_from(["data", "data:", "retry: 10", "", "", ""]),
    TEXT,
)


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Lines of every kind, with ends of one kind or of all kinds, and an empty line at the end."""
    lines = draw(st.lists(LINES, max_size=20))
    ends = draw(st.sampled_from([*((end,) for end in ENDS), ENDS]))
    text = "".join(line + draw(st.sampled_from(ends)) for line in lines)
    return (text + ends[0] * 2).encode()


@st.composite
def cut(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in any parts, empty ones included."""
    places = sorted(draw(st.lists(st.integers(0, len(data)), max_size=10)))
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def parsed(*parts: bytes) -> list[bytes]:
    parser = SseParser()
    return [event for part in parts for event in parser.feed(part)]


def bytewise(data: bytes) -> list[bytes]:
    return parsed(*(data[place : place + 1] for place in range(len(data))))


@given(st.data(), streams())
def test_any_cut_gives_the_same_events(data: st.DataObject, stream: bytes) -> None:
    assert parsed(*data.draw(cut(stream))) == parsed(stream) == bytewise(stream)


@given(streams())
@example(b"data\n\n")
@example(b"data: a\n\r\ndata: b\r\r")
def test_events_are_those_of_openais_sdk(stream: bytes) -> None:
    if stream.startswith(b"\xef\xbb\xbf"):
        return  # the SDK does not know byte order marks
    theirs = [event.data.encode() for event in SSEDecoder().iter_bytes(iter([stream]))]
    assert [event for event in parsed(stream) if event] == [event for event in theirs if event]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_kind_of_line_end_ends_lines(end: bytes) -> None:
    stream = end.join([b"data: one", b"", b"data: two", b"data: lines", b"", b""])
    assert parsed(stream) == bytewise(stream) == [b"one", b"two\nlines"]


def test_a_byte_order_mark_at_the_start_is_left_out_and_one_later_is_text() -> None:
    mark = b"\xef\xbb\xbf"
    stream = mark + b"data: a\n\ndata: " + mark + b"\n\n"
    assert parsed(stream) == bytewise(stream) == [b"a", mark]


def test_a_start_that_is_only_like_a_byte_order_mark_is_kept() -> None:
    assert bytewise(b"\xef\xbb: odd\ndata: a\n\n") == [b"a"]


def test_comments_names_and_ids_are_left_out() -> None:
    assert parsed(b": keep-alive\n\nevent: error\nid: 7\nretry: 5\ndata: a\n\n: ping\n\n") == [b"a"]


def test_an_event_that_is_not_ended_is_not_an_event() -> None:
    assert parsed(b"data: a\n\ndata: b\n") == [b"a"]


def test_one_space_after_the_colon_is_left_out_and_no_more() -> None:
    assert parsed(b"data:  a\n\ndata:b\n\n") == [b" a", b"b"]


def test_a_character_cut_in_half_comes_whole() -> None:
    assert bytewise("data: 🦙 läuft\n\n".encode()) == ["🦙 läuft".encode()]


@pytest.mark.parametrize(
    "stream",
    [
        b"data: " + b"x" * EVENT_LIMIT,
        b"data: " + b"x" * EVENT_LIMIT + b"y\n\n",
        b"data: 1234567\n" * (EVENT_LIMIT // 8 + 1) + b"\n",
    ],
    ids=["without end", "in one line", "in many lines"],
)
def test_an_event_over_the_limit_is_refused_in_whatever_parts_it_comes(stream: bytes) -> None:
    for size in (len(stream), 1000):
        with pytest.raises(InvalidResponse, match="more than 1048576 bytes"):
            parsed(*(stream[place : place + size] for place in range(0, len(stream), size)))


def test_many_events_are_not_one_long_one() -> None:
    assert len(parsed(b"data: 1234567\n\n" * (EVENT_LIMIT // 8))) == EVENT_LIMIT // 8


class Counted(bytearray):
    """Bytes that count how often they are looked at as a whole."""

    copies = 0

    def __bytes__(self) -> bytes:
        self.copies += 1
        return bytes(memoryview(self))


def test_a_long_event_in_single_bytes_is_gone_over_once() -> None:
    parser = SseParser()
    parser.feed(b"data: ")
    parser.held = held = Counted(parser.held)
    for _ in range(EVENT_LIMIT // 2):
        assert parser.feed(b"x") == []
    assert held.copies == 0
    assert len(parser.feed(b"\n\n")[0]) == EVENT_LIMIT // 2
    assert held.copies == 1
