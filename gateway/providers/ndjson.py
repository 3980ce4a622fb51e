"""Newline-delimited JSON without a socket: bytes in any split go in, whole lines come out."""

from gateway.errors import InvalidResponse

LINE_LIMIT = 1 << 20  # bytes of one line


class LineSplitter:
    """Collects lines, without their ends; blank ones are left out. Time is linear in the input."""

    def __init__(self) -> None:
        self.held = bytearray()  # a line that is not finished

    def feed(self, part: bytes) -> list[bytes]:
        """The lines that this part completes; raises InvalidResponse when one is too long."""
        head, newline, tail = part.partition(b"\n")
        self.held += head
        if not newline:
            self.check(len(self.held))
            return []
        *lines, rest = [bytes(self.held), *tail.split(b"\n")]
        self.held[:] = rest
        self.check(max(len(rest), *map(len, lines)))
        return [line for line in lines if line and not line.isspace()]

    def check(self, size: int) -> None:
        """Refuse a line that grows without end."""
        if size > LINE_LIMIT:
            raise InvalidResponse(f"The upstream sent a line of more than {LINE_LIMIT} bytes.")
