"""What the OpenAI-compatible stand-ins share: key, model, chat whole or streamed; a provider's voice does the rest."""

import json
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, ExceptionHandler, Send

from gateway.demo.standins.llama import Llama, LlamaError, Piece, Pieces
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import DONE, Json, Manner, dump, event

KEY = "standin-key"


@dataclass(frozen=True, slots=True)
class Asked:
    """A chat request as its provider sees it: the body and an id for the answer."""

    body: Json
    id: str

    @property
    def model(self) -> str:
        """The model asked for."""
        return str(self.body.get("model", ""))

    @property
    def wants_usage(self) -> bool:
        """Whether the caller opted into a usage chunk."""
        return bool((self.body.get("stream_options") or {}).get("include_usage"))


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error answer."""

    status: int
    body: Json


class Voice(Protocol):
    """What one provider says in its own way."""

    @property
    def manner(self) -> Manner:
        """How it words a failure."""

    def new_id(self, request: Request) -> str:
        """The id of the next answer."""

    def unauthorized(self) -> Refusal:
        """What a wrong key gets."""

    def unknown_model(self, model: str) -> Refusal:
        """What a model it does not serve gets."""

    def too_long(self, error: LlamaError) -> Refusal:
        """What a prompt beyond the context gets."""

    def headers(self, asked: Asked, whole: Piece | None) -> Mapping[str, str]:
        """The provider's own response headers; whole: the answer, unless it is streamed."""

    def answer(self, whole: Piece, asked: Asked) -> Json:
        """The body of a whole answer."""

    def chunks(self, pieces: Pieces, asked: Asked) -> AsyncGenerator[Json, None]:
        """The events of a streamed answer."""

    def models(self, ids: Sequence[str]) -> object:
        """The body of the model list."""


class Desk:
    """Answers one provider's requests: who asks, for which model, then llama.cpp's answer in the provider's voice."""

    def __init__(self, voice: Voice, llama: Llama, key: str | None, ids: Sequence[str]) -> None:
        self._voice = voice
        self._llama = llama
        self._key = key
        self._ids = ids

    async def models(self, request: Request) -> Response:
        """GET the model list."""
        if self._stranger(request):
            return respond(self._voice.unauthorized())
        return as_json(self._voice.models(self._ids))

    async def chat(self, request: Request) -> Response:
        """POST a chat completion."""
        if self._stranger(request):
            return respond(self._voice.unauthorized())
        try:
            asked = Asked(_object(await request.body()), self._voice.new_id(request))
        except ValueError:
            return respond(Refusal(400, self._voice.manner.refuse(400, "The request body is not valid JSON.")))
        if asked.model not in self._ids:
            return respond(self._voice.unknown_model(asked.model))
        try:
            return await self._answer(asked)
        except LlamaError as error:
            return respond(self._refusal(error))

    async def _answer(self, asked: Asked) -> Response:
        if not asked.body.get("stream"):
            whole = await self._llama.complete(asked.body)
            return as_json(self._voice.answer(whole, asked), headers=self._voice.headers(asked, whole))
        pieces = await self._llama.stream(asked.body)
        frames = self._frames(self._voice.chunks(pieces, asked))
        return Streamed(frames, "text/event-stream", self._voice.headers(asked, None))

    async def _frames(self, chunks: AsyncGenerator[Json, None]) -> AsyncGenerator[bytes, None]:
        async with aclosing(chunks):
            try:
                async for chunk in chunks:
                    yield event(chunk)
            except LlamaError as error:
                yield self._voice.manner.interrupt(error.status, str(error))
                return
        yield DONE

    def _refusal(self, error: LlamaError) -> Refusal:
        if error.too_long:
            return self._voice.too_long(error)
        return Refusal(error.status, self._voice.manner.refuse(error.status, str(error)))

    def _stranger(self, request: Request) -> bool:
        return self._key is not None and request.headers.get("authorization") != f"Bearer {self._key}"


def _object(content: bytes) -> Json:
    body = json.loads(content)
    if not isinstance(body, dict):
        raise ValueError("not an object")
    return body


class Streamed(StreamingResponse):
    """A stream whose source is closed when the client leaves; Starlette would leave that to the garbage collector."""

    def __init__(self, frames: AsyncGenerator[bytes, None], media_type: str, headers: Mapping[str, str] | None = None):
        super().__init__(frames, headers=headers, media_type=media_type)
        self._frames = frames

    async def stream_response(self, send: Send) -> None:
        async with aclosing(self._frames):
            await super().stream_response(send)


def as_json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON response."""
    return Response(dump(body), status, headers, "application/json")


def respond(refusal: Refusal) -> Response:
    """A refusal as a response."""
    return as_json(refusal.body, refusal.status)


def opened(
    llama: Llama, routes: Sequence[BaseRoute], handlers: Mapping[Any, ExceptionHandler] | None = None
) -> Starlette:
    """An app that keeps its connection to llama.cpp open while it is served."""

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with llama:
            yield

    return Starlette(routes=list(routes), exception_handlers=handlers, lifespan=lifespan)


def hosted(
    llama: Llama, desk: Desk, manner: Manner, base: str, script: Script | None, more: Sequence[BaseRoute] = ()
) -> ASGIApp:
    """A provider's chat completions and model list under a base path, playing a script."""
    chat = f"{base}/chat/completions"
    routes = [Route(chat, desk.chat, methods=["POST"]), Route(f"{base}/models", desk.models), *more]
    return (script or Script()).around(opened(llama, routes), {chat: manner, "": manner})


def bare_id(length: int) -> str:
    """A random lower-case identifier."""
    return secrets.token_hex(length)[:length]
