"""AWS's event streams without a socket: bytes in any split go in, checked events come out."""

import struct
from zlib import crc32

from botocore.eventstream import EventStreamBuffer, ParserError  # type: ignore[import-untyped]  # botocore has no types

from gateway.errors import InvalidResponse

EVENT_LIMIT = 1 << 20  # bytes of one event
PRELUDE = 12  # bytes: the length of all, the length of the headers, the checksum of both
KINDS = 32  # that are remembered of one stream
SMALLEST = 16  # bytes of an event with nothing in it
# What botocore raises at a broken message: its own, and what reading its fields by wrong lengths brings about.
BROKEN = (ParserError, struct.error, UnicodeDecodeError, LookupError, ValueError)


class EventSplitter:
    """Collects events: each is its kind (with `!` before it where it is an exception), a newline, and its payload.

    Time is linear in the input: botocore, which copies all it holds whenever a part comes, is given whole events only.
    It reads headers once for each kind of event; most of a stream is of one kind.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.held = bytearray()  # an event that is not finished
        self.size = 0  # bytes of it in all, once its prelude is here
        self.kinds: dict[bytes, bytes] = {}  # the headers of events so far -> their kind and a newline
        self.broken: InvalidResponse | None = None  # what is wrong with the bytes after the last event

    def feed(self, part: bytes) -> list[bytes]:
        """The events that this part completes; nothing is read after broken framing."""
        found: list[bytes] = []
        if self.broken is not None:
            return found
        self.held += part
        try:
            while (message := self.message()) is not None:
                found.append(self.event(message))
        except InvalidResponse as exc:
            self.broken = exc
        except BROKEN as exc:
            self.broken = InvalidResponse(f"Backend '{self.backend}' sent an event stream that is damaged.")
            self.broken.__cause__ = exc
        return found

    def message(self) -> bytes | None:
        """The next whole event; None when there is none yet. Raises ValueError and InvalidResponse."""
        if not self.size and len(self.held) >= PRELUDE:
            self.size = self.announced()
        if not self.size or len(self.held) < self.size:
            return None
        whole = bytes(self.held[: self.size])
        del self.held[: self.size]
        self.size = 0
        return whole

    def announced(self) -> int:
        """The size of the event that has begun, by its prelude. Raises ValueError and InvalidResponse."""
        size, _, checksum = struct.unpack("!III", self.held[:PRELUDE])
        if crc32(self.held[: PRELUDE - 4]) != checksum or size < SMALLEST:
            raise ValueError("a prelude that is damaged")
        if size > EVENT_LIMIT:
            raise InvalidResponse(f"Backend '{self.backend}' sent an event of more than {EVENT_LIMIT} bytes.")
        return int(size)

    def event(self, message: bytes) -> bytes:
        """One message as an event. Raises what is in BROKEN."""
        if crc32(message[:-4]) != int.from_bytes(message[-4:]):
            raise ValueError("an event that is damaged")
        start = PRELUDE + int.from_bytes(message[4:8])
        headers = message[PRELUDE:start]
        kind = self.kinds.get(headers)
        if kind is None:
            kind = kind_of(message)
            if len(self.kinds) < KINDS:
                self.kinds[headers] = kind
        return kind + message[start:-4]


def kind_of(message: bytes) -> bytes:
    """The kind of an event and a newline, by its headers. Raises what is in BROKEN."""
    buffer = EventStreamBuffer()
    buffer.add_data(message)
    (said,) = buffer
    if said.headers.get(":message-type") == "event":
        return f"{said.headers.get(':event-type')}\n".encode()
    return f"!{said.headers.get(':exception-type') or said.headers.get(':error-code')}\n".encode()
