"""The way of one attempt over HTTP; what is sent and what comes back is translated by the provider's own file."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping

import orjson

from gateway.errors import InvalidResponse, UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.failures import SAID, failure
from gateway.providers.kind import Kind
from gateway.providers.port import HttpCall, Response, ServedModel, Transport
from gateway.types import Backend, ChatRequest, Chunk, Deployment, Json

ERROR_LIMIT = 64 << 10  # bytes of an error body
ANSWER_LIMIT = 16 << 20  # bytes of an answer in one piece
JSON = "application/json"  # where a stream was asked for: an error, most likely
PAGES = ("text/html", "application/xhtml+xml")
SECRET_LENGTH = 8  # characters below which a header's value is no secret
LONG_SECRET = 16  # characters from which a value cannot be in a name by chance


class HttpProvider(ABC):
    """A provider over HTTP: subclasses translate, in pure functions of bytes and values."""

    kind: Kind

    def __init__(self, backend: Backend, transport: Transport) -> None:
        self.backend = backend
        self.transport = transport
        self.secrets = secrets_of(backend)

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
        for secret in self.secrets:
            body = body.replace(secret.encode(), b"[redacted]")
        return body

    def cleaned(self, error: UpstreamError) -> UpstreamError:
        """An error that names the backend, without our credentials, wherever they came from, and not too long.

        A transport and a framing know no backend: they say `the upstream`.
        """
        if "ackend '" not in error.message:
            error.message = error.logged = named(error.message, self.backend.name)
        for secret in self.secrets:
            error.message = error.message.replace(secret, "[redacted]")
            error.logged = error.logged.replace(secret, "[redacted]")
            error.param = error.param and error.param.replace(secret, "[redacted]")
        error.args = (error.message,)
        error.message = error.message[: SAID + len(self.backend.name) + 100]
        return error

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
        try:
            call = self.call(request, deployment)
            response = await self.transport.send(traced(call, request.trace) if request.trace else call)
            try:
                if response.status != 200:
                    body = await beginning(response)
                    raise self.error(deployment, response.status, response.headers, body)
                kind = content_type(response)
                if not request.stream or kind == JSON:
                    whole = self.completion(await response.read(ANSWER_LIMIT), request)  # raises what it complains of
                    if request.stream:
                        raise not_promised(self.backend.name, "a whole answer where a stream was asked for")
                    self.check_names(whole, deployment)
                    yield [whole]
                    return
                if kind in PAGES:
                    raise not_promised(self.backend.name, "a page where a stream was asked for")
                decoder, begun = self.decoder(request, deployment), False
                async for part in response.parts():
                    chunks = decoder.feed(part)
                    if chunks:
                        if not begun:
                            self.check_names(chunks[0], deployment)
                            begun = True
                        yield chunks
                    if decoder.failure is not None:
                        raise decoder.failure
                    if decoder.done:
                        await response.end()
                        return
            finally:
                response.close()
        except UpstreamError as exc:
            raise self.cleaned(exc) from exc.__cause__

    def check_names(self, chunk: Chunk, deployment: Deployment) -> None:
        """Raises InvalidResponse where an answer is named by our credentials: its model, say, by what echoes a header.

        Names go to the caller and into records. Only the first piece is looked at: later ones have the same.
        """
        names = "\n".join([value for value in chunk.body.values() if type(value) is str])
        for secret in self.secrets:
            if len(secret) >= LONG_SECRET and secret in names and secret not in deployment.id:
                raise not_promised(self.backend.name, "an answer that quotes the gateway's credentials")

    async def models(self) -> list[ServedModel]:
        """What the upstream says it serves."""
        try:
            response = await self.transport.send(self.models_call())
            try:
                if response.status != 200:
                    body = self.redacted(await beginning(response))
                    raise failure(self.backend.name, "", response.status, response.headers, body)
                return self.models_listed(await response.read(ANSWER_LIMIT))
            finally:
                response.close()
        except UpstreamError as exc:
            raise self.cleaned(exc) from exc.__cause__


def secrets_of(backend: Backend) -> tuple[str, ...]:
    """What must never be seen of a backend: its key, its headers' values, and what follows a scheme in one."""
    values = [backend.api_key or "", *backend.headers.values()]
    words = [word for value in values for word in (value, value.partition(" ")[2].strip())]
    return tuple(dict.fromkeys(word for word in words if len(word) >= SECRET_LENGTH))


def named(sentence: str, backend: str) -> str:
    """A sentence about `the upstream` as one about a backend."""
    said = sentence.replace("The upstream", f"Backend '{backend}'", 1)
    return said.replace("the upstream", f"backend '{backend}'", 1)


async def beginning(response: Response) -> bytes:
    """The beginning of an error's body: what comes before the limit, or before it breaks off, says enough."""
    held = bytearray()
    try:
        async for part in response.parts():
            held += part
            if len(held) >= ERROR_LIMIT:
                break
    except UpstreamError:
        return bytes(held)  # the status alone tells what it was
    return bytes(held[:ERROR_LIMIT])


def traced(call: HttpCall, traceparent: str) -> HttpCall:
    """The call with the trace it belongs to (W3C Trace Context); it is signed, where it is, without that."""
    return call._replace(headers={**call.headers, "traceparent": traceparent})


def content_type(response: Response) -> str:
    """What an answer says it is, in lower case and without parameters."""
    return response.headers.get("content-type", "").partition(";")[0].strip().lower()


def loaded(text: bytes | str) -> Json | None:
    """A JSON object; None for anything else."""
    try:
        parsed = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def not_promised(backend: str, what: str) -> InvalidResponse:
    """The error of an answer that is not what the API promises."""
    return InvalidResponse(f"Backend '{backend}' sent {what}.")
