"""Replicate's named events, cut anywhere, and what they say."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidResponse, ServerFault, UpstreamError
from gateway.providers.replicate_stream import EventDecoder, NamedSseParser
from gateway.providers.sse import EVENT_LIMIT

HEAD = {"id": "chatcmpl-r1", "object": "chat.completion.chunk", "created": 7, "model": "meta/llama"}
DONE = b"event: done\nid: 2:0\ndata: {}\n\n"

LINE_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])
NAMES = st.sampled_from(["output", "logs", "error", "done", "new"])
TEXTS = st.text(st.characters(exclude_characters="\r", exclude_categories=["Cs"]), max_size=12)
EVENTS = st.lists(st.tuples(NAMES, TEXTS), max_size=6)


def output(text: str) -> bytes:
    return b"event: output\nid: 1:0\n" + b"".join(b"data: %b\n" % row.encode() for row in text.split("\n")) + b"\n"


def parts(data: bytes, cuts: list[int]) -> list[bytes]:
    """The bytes, cut at these places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in pairwise(places)]


def decoder() -> EventDecoder:
    return EventDecoder("den", HEAD, ServerFault)


def told(*events: bytes) -> tuple[EventDecoder, list[Any]]:
    """A decoder that was fed, and the choices of its chunks."""
    made = decoder()
    chunks = made.feed(b"".join(events))
    return made, [chunk.body["choices"][0] for chunk in chunks]


@given(EVENTS, LINE_ENDS, st.lists(st.integers(0, 2000), max_size=30))
def test_events_are_the_same_however_their_bytes_are_cut(
    events: list[tuple[str, str]], end: bytes, cuts: list[int]
) -> None:
    lines: list[bytes] = [b": hi", b""]
    for name, text in events:
        lines += [f"event: {name}".encode(), b"id: 1:0", *(f"data: {row}".encode() for row in text.split("\n")), b""]
    data = end.join([*lines, b""])
    parser = NamedSseParser()
    found = [event for part in parts(data, cuts) for event in parser.feed(part)]
    assert found == [f"{name}\n{text}".encode() for name, text in events]


@given(st.lists(TEXTS, max_size=6), st.lists(st.integers(0, 2000), max_size=30))
def test_text_is_the_same_however_its_bytes_are_cut(texts: list[str], cuts: list[int]) -> None:
    made = decoder()
    data = b": hi\n\n" + b"".join(map(output, texts)) + DONE
    chunks = [chunk for part in parts(data, cuts) for chunk in made.feed(part)]
    assert "".join(chunk.body["choices"][0]["delta"]["content"] for chunk in chunks) == "".join(texts)
    assert made.done and made.over and made.failure is None


def test_a_name_is_of_its_own_event_only() -> None:
    parser = NamedSseParser()
    assert parser.feed(b"event: logs\n\ndata: a\n\nevent:output\ndata: b\n\ndata: c\n\n") == [
        b"message\na",
        b"output\nb",
        b"message\nc",
    ]


def test_an_event_that_does_not_end_is_an_invalid_response() -> None:
    with pytest.raises(InvalidResponse):
        NamedSseParser().feed(b"event: output\ndata: " + b"x" * (EVENT_LIMIT + 1))


def test_the_first_text_says_the_role_and_nothing_is_finished_by_itself() -> None:
    made, choices = told(output("Hi"), output(""), output(" there"), DONE)
    assert [choice["delta"] for choice in choices] == [
        {"role": "assistant", "content": "Hi"},
        {"content": " there"},
    ]
    assert all(choice["finish_reason"] is None for choice in choices)
    assert made.done and made.begun


def test_lines_of_data_are_lines_of_text() -> None:
    _, choices = told(output("\n\n"), output("a\nb"))
    assert [choice["delta"]["content"] for choice in choices] == ["\n\n", "a\nb"]


def test_logs_and_unknown_events_are_passed_over() -> None:
    made, choices = told(b"event: logs\ndata: loading\n\n", b"event: new\ndata: {}\n\n", b"data: what\n\n")
    assert choices == [] and not made.over and made.failure is None


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (b"event: error\ndata: out of memory\n\n", "out of memory"),
        (b'event: done\ndata: {"reason":"canceled"}\n\n', "The prediction ended early: canceled."),
        (b'event: done\ndata: {"reason":"error"}\n\n', "The prediction ended early: error."),
    ],
)
def test_a_bad_end_is_an_error_after_what_came_before(end: bytes, words: str) -> None:
    made, choices = told(output("Hi"), end, output("never"))
    failure: UpstreamError | None = made.failure
    assert (str(failure), made.over, made.done, len(choices)) == (words, True, False, 1)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"not JSON", b'{"reason":null}'])
def test_done_without_a_reason_is_a_good_end(data: bytes) -> None:
    made, _ = told(output("Hi"), b"event: done\ndata: " + data + b"\n\n")
    assert made.done and made.failure is None


def test_a_stream_that_ends_without_done_is_not_over() -> None:
    made, _ = told(output("Hi"), b":408: 408 Request Timeout\n\n")
    assert made.begun and not made.over and not made.done
