"""Server-sent events without a socket: bytes in any split go in, the events' data comes out."""

from gateway.errors import InvalidResponse

EVENT_LIMIT = 1 << 20  # bytes of one event
BOM = b"\xef\xbb\xbf"


class SseParser:
    """Collects the data of events; comments, ids and event names are left out. Time is linear in the input."""

    def __init__(self) -> None:
        self.held = bytearray()  # a line that is not finished, without a line end
        self.data: list[bytes] = []  # lines of an event that is not finished
        self.size = 0
        self.started = False
        self.after_cr = False  # the last part ended with CR: an LF at the start of the next belongs to it

    def feed(self, part: bytes) -> list[bytes]:
        """The data of each event that this part completes; raises InvalidResponse when one is too long."""
        if not self.started and not (part := self.without_bom(part)):
            return []
        if self.after_cr and part:
            self.after_cr = False
            part = part.removeprefix(b"\n")
        if b"\n" not in part and b"\r" not in part:
            self.held += part
            self.check(self.size + len(self.held))
            return []
        if self.held:
            part = bytes(self.held) + part
            self.held.clear()
        if self.data or b"\r" in part or len(part) > EVENT_LIMIT:
            return self.feed_lines(part)
        return self.feed_plain(part)

    def feed_plain(self, text: bytes) -> list[bytes]:
        """The usual case: every event is one `data:` line, ended by an empty one."""
        *events, rest = text.split(b"\n\n")
        found = []
        for event in events:
            if event.startswith(b"data: ") and b"\n" not in event:
                found.append(event[6:])
            else:
                found += self.feed_lines(event + b"\n\n")
        if rest:
            found += self.feed_lines(rest)
        return found

    def feed_lines(self, text: bytes) -> list[bytes]:
        """Any line ends: LF, CRLF or CR, also split between two parts."""
        self.after_cr = text.endswith(b"\r")
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        self.held += rest
        found: list[bytes] = []
        for line in lines:
            self.take(line, found)
        self.check(self.size + len(self.held))
        return found

    def take(self, line: bytes, found: list[bytes]) -> None:
        """One whole line; an empty one ends the event."""
        if not line:
            if self.data:
                found.append(b"\n".join(self.data))
            self.data, self.size = [], 0
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self.size += len(value)
            self.check(self.size)
            self.data.append(value.removeprefix(b" "))

    def without_bom(self, part: bytes) -> bytes:
        """The first bytes without a byte order mark, which may itself come in pieces."""
        start = bytes(self.held) + part
        if len(start) < len(BOM) and BOM.startswith(start):
            self.held[:] = start
            return b""
        self.started = True
        self.held.clear()
        return start.removeprefix(BOM)

    def check(self, size: int) -> None:
        """Refuse an event that grows without end."""
        if size > EVENT_LIMIT:
            raise InvalidResponse(f"The upstream sent an event of more than {EVENT_LIMIT} bytes.")
