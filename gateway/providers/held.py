"""An answer whose body is in memory already, for whoever needs it whole before it is passed on."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from gateway.errors import InvalidResponse


@dataclass(slots=True)
class Held:
    """A response that has been read; header names are lower-case, or found in any case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    async def parts(self) -> AsyncIterator[bytes]:
        """The body, in one part."""
        yield self.body

    async def read(self, limit: int) -> bytes:
        """The body; raises InvalidResponse when it is longer than `limit` bytes."""
        if len(self.body) > limit:
            raise InvalidResponse(f"The upstream sent an answer of more than {limit} bytes.")
        return self.body

    async def end(self) -> None:
        """Nothing is left to wait for."""

    def close(self) -> None:
        """Nothing is left to close."""
