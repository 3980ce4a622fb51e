"""Replicate's event stream without a socket: named events in, canonical chunks out."""

from collections.abc import Callable

import orjson

from gateway.errors import UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.http import loaded
from gateway.providers.sse import SseParser
from gateway.types import Chunk, Json

UNNAMED = b"message"  # the name of an event that has none


class NamedSseParser(SseParser):
    """Gives each event's name on a line of its own before its data, since here the name says what the data is."""

    def __init__(self) -> None:
        super().__init__()
        self.name = UNNAMED

    def feed_plain(self, text: bytes) -> list[bytes]:
        """There is no usual case without a name."""
        return self.feed_lines(text)

    def take(self, line: bytes, found: list[bytes]) -> None:
        """One whole line; an empty one ends the event."""
        field, _, value = line.partition(b":")
        if field == b"event":
            self.name = value.removeprefix(b" ")
            return
        if line:
            super().take(line, found)
            return
        if self.data:
            found.append(b"\n".join([self.name, *self.data]))
        self.data, self.size, self.name = [], 0, UNNAMED


class EventDecoder(Decoder):
    """Output as it comes; the end is not a chunk yet, because the stream says neither why nor how many tokens."""

    def __init__(self, backend: str, head: Json, fault: Callable[[str], UpstreamError]) -> None:
        super().__init__(backend)
        self.head = head
        self.fault = fault  # the error that words of a prediction stand for
        self.events = NamedSseParser()
        self.begun = False  # something was said
        self.over = False  # the prediction has ended, well or not

    def split(self, part: bytes) -> list[bytes]:
        """Events: the name, a line end, the data."""
        return self.events.feed(part)

    def chunk(self, data: bytes) -> Chunk | None:
        """One event as a chunk, if it is output; logs and what we do not know are passed over."""
        name, _, value = data.partition(b"\n")
        text = value.decode("utf-8", "replace")
        if name == b"output":
            return self.said(text) if text else None
        if name == b"error":
            self.over = True
            raise self.fault(text)
        if name == b"done":
            self.end(text)
        return None

    def said(self, text: str) -> Chunk:
        """A piece of text; the first says the role."""
        delta = {"content": text} if self.begun else {"role": "assistant", "content": text}
        self.begun = True
        return chunk(self.head, [{"index": 0, "delta": delta, "finish_reason": None}])

    def end(self, text: str) -> None:
        """The prediction is over: well, unless a reason is given."""
        self.over = True
        if reason := (loaded(text) or {}).get("reason"):
            raise self.fault(f"The prediction ended early: {reason}.")
        self.done = True


def chunk(head: Json, choices: list[Json], **more: object) -> Chunk:
    """A chunk with the head that all of a stream share."""
    body = {**head, "choices": choices, **more}
    return Chunk(orjson.dumps(body), body)
