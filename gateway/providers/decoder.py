"""Upstream bytes to canonical chunks, whatever the framing; no sockets."""

from abc import ABC, abstractmethod

from gateway.errors import InvalidResponse, UpstreamError
from gateway.types import Chunk

MALFORMED_ALLOWED = 1  # pieces of one stream that may be nonsense and are skipped


class Decoder(ABC):
    """Decodes one stream: subclasses know the framing and what a piece means."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.done = False  # the upstream said that nothing follows
        self.failure: UpstreamError | None = None  # what ended the stream, after the chunks before it
        self.malformed = 0

    @abstractmethod
    def split(self, part: bytes) -> list[bytes]:
        """The pieces that this part completes."""

    @abstractmethod
    def chunk(self, data: bytes) -> Chunk | None:
        """One piece as a chunk; None when it holds nothing. Raises UpstreamError."""

    def feed(self, part: bytes) -> list[Chunk]:
        """The chunks that this part completes; those before a failure are not lost to it."""
        chunks = []
        try:
            for data in self.split(part):
                chunk = self.chunk(data)
                if chunk is not None:
                    chunks.append(chunk)
                if self.done:
                    break
        except UpstreamError as exc:
            self.failure = exc
        return chunks

    def skip(self) -> None:
        """Pass over a malformed piece; raises InvalidResponse when it is not the first."""
        self.malformed += 1
        if self.malformed > MALFORMED_ALLOWED:
            raise InvalidResponse(f"Backend '{self.backend}' sent a stream with malformed pieces.")
