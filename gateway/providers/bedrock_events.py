"""AWS's event streams without a socket: bytes in any split go in, checked events come out."""

import struct

from botocore.eventstream import EventStreamBuffer, ParserError  # type: ignore[import-untyped]  # botocore has no types

from gateway.errors import InvalidResponse

EVENT_LIMIT = 1 << 20  # bytes of one event
# What botocore raises at a broken message: its own, and what reading its fields by wrong lengths brings about.
BROKEN = (ParserError, struct.error, UnicodeDecodeError, LookupError, ValueError)


class EventSplitter:
    """Collects events: each is its kind (with `!` before it where it is an exception), a newline, and its payload."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.buffer = EventStreamBuffer()
        self.size = 0  # bytes of a message that is not finished
        self.broken: InvalidResponse | None = None  # what is wrong with the bytes after the last event

    def feed(self, part: bytes) -> list[bytes]:
        """The events that this part completes; nothing is read after broken framing."""
        found: list[bytes] = []
        if self.broken is not None:
            return found
        self.buffer.add_data(part)
        self.size += len(part)
        try:
            for message in self.buffer:
                self.size -= message.prelude.total_length
                found.append(event(message.headers, message.payload))
        except BROKEN as exc:
            self.broken = InvalidResponse(f"Backend '{self.backend}' sent an event stream that is damaged.")
            self.broken.__cause__ = exc
        if self.broken is None and self.size > EVENT_LIMIT:
            self.broken = InvalidResponse(f"Backend '{self.backend}' sent an event of more than {EVENT_LIMIT} bytes.")
        return found


def event(headers: dict[str, object], payload: bytes) -> bytes:
    """One message as an event."""
    if headers.get(":message-type") == "event":
        return f"{headers.get(':event-type')}\n".encode() + payload
    return f"!{headers.get(':exception-type') or headers.get(':error-code')}\n".encode() + payload
