"""AWS's event streams: any split, wrong checksums, wrong lengths, anything at all."""

import struct
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.standins.bedrock import message
from gateway.errors import InvalidResponse
from gateway.providers.bedrock_events import EVENT_LIMIT, EventSplitter

EVENT = {":event-type": "messageStart", ":content-type": "application/json", ":message-type": "event"}
EXCEPTION = {":exception-type": "throttlingException", ":message-type": "exception"}
ERROR = {":error-code": "InternalError", ":error-message": "x", ":message-type": "error"}
STREAM = (
    message(EVENT, b'{"a":1}') + message(EXCEPTION, b"{}") + message(ERROR, b"") + message(EVENT, b'{"b":"\xc3\xa9"}')
)
EVENTS = [b'messageStart\n{"a":1}', b"!throttlingException\n{}", b"!InternalError\n", b'messageStart\n{"b":"\xc3\xa9"}']


def split(data: bytes, size: int) -> tuple[list[bytes], InvalidResponse | None]:
    splitter = EventSplitter("main")
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    return [event for part in parts for event in splitter.feed(part)], splitter.broken


@pytest.mark.parametrize("size", [*range(1, 40), len(STREAM)])
def test_events_come_out_the_same_however_the_bytes_are_split(size: int) -> None:
    assert split(STREAM, size) == (EVENTS, None)


@pytest.mark.parametrize("place", range(len(STREAM)))
def test_a_bit_that_is_wrong_anywhere_is_seen_and_the_events_before_it_are_kept(place: int) -> None:
    damaged = STREAM[:place] + bytes([STREAM[place] ^ 1]) + STREAM[place + 1 :]
    found, broken = split(damaged, 50)
    assert found == EVENTS[: len(found)] and len(found) < len(EVENTS)
    assert broken is None or "damaged" in str(broken) or "more than" in str(broken)
    assert split(damaged, len(damaged))[0] == found


@given(st.binary(max_size=200))
def test_anything_at_all_is_events_or_a_damaged_stream(data: bytes) -> None:
    found, broken = split(data, 7)
    assert broken is None or type(broken) is InvalidResponse
    assert found == []


@given(st.integers(0, 80), st.integers(0, 80), st.binary(max_size=80))
def test_lengths_that_lie_are_a_damaged_stream(total: int, headers: int, rest: bytes) -> None:
    prelude = struct.pack("!II", total, headers)
    data = prelude + struct.pack("!I", zlib.crc32(prelude)) + rest
    data += struct.pack("!I", zlib.crc32(data)) + bytes(80)
    _, broken = split(data, len(data))
    assert broken is None or type(broken) is InvalidResponse


def test_nothing_is_read_after_damage() -> None:
    splitter = EventSplitter("main")
    assert splitter.feed(bytes(16)) == [] and splitter.broken is not None
    assert splitter.feed(STREAM) == []


def test_an_event_that_grows_without_end_is_refused() -> None:
    splitter = EventSplitter("main")
    huge = message(EVENT, bytes(EVENT_LIMIT * 2))
    assert splitter.feed(huge[:11]) == [] and splitter.broken is None
    assert splitter.feed(huge[11:12]) == []  # the last byte of what says how long it will be
    assert "more than" in str(splitter.broken)


@pytest.mark.parametrize("over", [0, 1])
def test_an_event_may_be_as_long_as_the_limit_and_no_longer(over: int) -> None:
    head = len(message(EVENT, b""))
    found, broken = split(message(EVENT, bytes(EVENT_LIMIT - head + over)), 1 << 16)
    assert (len(found), broken is None) == ((1, True) if not over else (0, False))


class Counted(bytearray):
    """Bytes that count how many of them are taken or moved."""

    work = 0

    def __getitem__(self, place: Any) -> Any:
        found = super().__getitem__(place)
        self.work += len(found) if isinstance(found, bytearray) else 1
        return found


def test_a_long_event_in_single_bytes_is_gone_over_once() -> None:
    one = message(EVENT, bytes(EVENT_LIMIT // 4))
    splitter = EventSplitter("main")
    splitter.held = held = Counted()
    events = [event for place in range(len(one)) for event in splitter.feed(one[place : place + 1])]
    assert len(events) == 1 and splitter.broken is None
    assert held.work <= len(one) + 100


@given(st.data(), st.lists(st.binary(max_size=40), max_size=6))
def test_any_cut_gives_the_same_events(data: st.DataObject, payloads: list[bytes]) -> None:
    stream = b"".join(message(EVENT, payload) for payload in payloads)
    places = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    splitter = EventSplitter("main")
    parts = [stream[start:end] for start, end in zip([0, *places], [*places, len(stream)], strict=True)]
    events = [event for part in parts for event in splitter.feed(part)]
    assert events == [b"messageStart\n" + payload for payload in payloads] and splitter.broken is None


def test_many_events_are_not_one_that_is_too_long() -> None:
    one = message(EVENT, bytes(100_000))
    splitter = EventSplitter("main")
    assert sum(len(splitter.feed(one)) for _ in range(20)) == 20
    assert splitter.broken is None
