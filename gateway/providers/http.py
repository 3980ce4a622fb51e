"""The way of one attempt over HTTP; what is sent and what comes back is translated by the provider's own file."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping

from gateway.errors import InvalidResponse, UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.failures import failure
from gateway.providers.kind import Kind
from gateway.providers.port import HttpCall, Transport
from gateway.types import Backend, ChatRequest, Chunk, Deployment, ServedModel

ERROR_LIMIT = 64 << 10  # bytes of an error body
ANSWER_LIMIT = 16 << 20  # bytes of an answer in one piece
SECRET_LENGTH = 8  # characters below which a header's value is no secret


class HttpProvider(ABC):
    """A provider over HTTP: subclasses translate, in pure functions of bytes and values."""

    kind: Kind

    def __init__(self, backend: Backend, transport: Transport) -> None:
        self.backend = backend
        self.transport = transport

    @abstractmethod
    def call(self, request: ChatRequest, deployment: Deployment) -> HttpCall:
        """The HTTP request for a chat request."""
        ...

    @abstractmethod
    def completion(self, body: bytes, request: ChatRequest) -> Chunk:
        """The canonical answer in a whole body; raises InvalidResponse."""
        ...

    @abstractmethod
    def decoder(self, request: ChatRequest, deployment: Deployment) -> Decoder:
        """A decoder for one stream."""
        ...

    def error(self, deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """The error that an answer other than 200 stands for."""
        return failure(self.backend.name, deployment.id, status, headers, self.redacted(body))

    def redacted(self, body: bytes) -> bytes:
        """An error's body without our own credentials, which an upstream may quote to us."""
        for secret in (self.backend.api_key or "", *self.backend.headers.values()):
            if len(secret) >= SECRET_LENGTH:
                body = body.replace(secret.encode(), b"[redacted]")
        return body

    @abstractmethod
    def models_call(self) -> HttpCall:
        """The HTTP request that lists the models."""
        ...

    @abstractmethod
    def models_listed(self, body: bytes) -> list[ServedModel]:
        """The models in the answer to that."""
        ...

    async def answer(self, request: ChatRequest, deployment: Deployment) -> AsyncIterator[list[Chunk]]:
        """The answer in canonical chunks as they arrive, or one chunk when the request does not stream."""
        response = await self.transport.send(self.call(request, deployment))
        try:
            if response.status != 200:
                body = await response.read(ERROR_LIMIT)
                raise self.error(deployment, response.status, response.headers, body)
            if not request.stream:
                yield [self.completion(await response.read(ANSWER_LIMIT), request)]
                return
            decoder = self.decoder(request, deployment)
            async for part in response.parts():
                chunks = decoder.feed(part)
                if chunks:
                    yield chunks
                if decoder.failure is not None:
                    raise decoder.failure
                if decoder.done:
                    await response.end()
                    return
        finally:
            response.close()

    async def models(self) -> list[ServedModel]:
        """What the upstream says it serves."""
        response = await self.transport.send(self.models_call())
        try:
            body = await response.read(ANSWER_LIMIT)
            if response.status != 200:
                raise failure(self.backend.name, "", response.status, response.headers, self.redacted(body))
            return self.models_listed(body)
        finally:
            response.close()


def not_promised(backend: str, what: str) -> InvalidResponse:
    """The error of an answer that is not what the API promises."""
    return InvalidResponse(f"Backend '{backend}' sent {what}.")
