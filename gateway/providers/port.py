"""The ports of this room: what the engine asks of a provider, and what a provider asks of its transport."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from gateway.providers.kind import Kind
from gateway.types import Backend, ChatRequest, Chunk, Deployment


class ServedModel(NamedTuple):
    """A model that an upstream says it serves; `context` in tokens."""

    id: str
    context: int | None = None


class HttpCall(NamedTuple):
    """One HTTP request to an upstream; header names are lower-case, `connect` is seconds."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    connect: float = 2.0


class Response(Protocol):
    """An answer whose headers are here; its connection is reused only if the body is read to the end."""

    status: int
    headers: Mapping[str, str]

    def parts(self) -> AsyncIterator[bytes]:
        """The body as it arrives; raises Disconnected or InvalidResponse when it breaks off."""
        ...

    async def read(self, limit: int) -> bytes:
        """The whole body; raises InvalidResponse when it is longer than `limit` bytes."""
        ...

    async def end(self) -> None:
        """Wait briefly for the last bytes of a body that is complete, so that its connection can be reused."""
        ...

    def close(self) -> None:
        """Give the connection back if the body was read to its end, else close it; safe to call twice."""
        ...


class Transport(Protocol):
    """Sends HTTP calls over pooled connections."""

    async def send(self, call: HttpCall) -> Response:
        """The answer's head; raises Unreachable, Disconnected or InvalidResponse."""
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class Embedder(Protocol):
    """A provider that makes vectors."""

    async def embed(self, text: str, deployment: Deployment) -> Sequence[float]:
        """The vector of a text; raises UpstreamError."""
        ...


class Provider(Protocol):
    """Speaks one upstream API for one backend."""

    kind: Kind

    def __init__(self, backend: Backend, transport: Transport) -> None: ...

    def answer(self, request: ChatRequest, deployment: Deployment) -> AsyncIterator[list[Chunk]]:
        """The answer in canonical chunks as they arrive, or in a single one when the request does not stream.

        Raises UpstreamError; closing the iterator cancels the upstream's work.
        """
        ...

    async def models(self) -> list[ServedModel]:
        """What the upstream says it serves."""
        ...
