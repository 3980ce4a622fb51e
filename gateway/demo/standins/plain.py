"""The voice of servers that answer as OpenAI does and differ in their errors: a base, and llama.cpp's answers."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Protocol

from starlette.requests import Request
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from gateway.demo.standins.hosted import Asked, Desk, Refusal, bare_id, hosted
from gateway.demo.standins.llama import Llama, LlamaError, Piece, Pieces
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import Json, Manner

BASE = "/v1"


class Plain:
    """OpenAI's shapes; a subclass has the manner, and the sentences that its server says."""

    manner: Manner
    unknown_status = 404
    long_status = 400

    def __init__(self, ids: Sequence[str], context: int) -> None:
        self.ids = ids
        self.context = context

    def new_id(self, request: Request) -> str:
        """The id of the next answer."""
        return f"chatcmpl-{bare_id(32)}"

    def unauthorized(self) -> Refusal:
        """What a wrong key gets."""
        return Refusal(401, self.manner.refuse(401, None))

    def unknown_model(self, model: str) -> Refusal:
        """What a model it does not serve gets."""
        return Refusal(self.unknown_status, self.manner.refuse(self.unknown_status, self.unknown(model)))

    def too_long(self, error: LlamaError) -> Refusal:
        """What a prompt beyond the context gets."""
        return Refusal(self.long_status, self.manner.refuse(self.long_status, self.long(error)))

    def unknown(self, model: str) -> str:
        """How it says that it does not serve a model."""
        return f"Model '{model}' not found."

    def long(self, error: LlamaError) -> str:
        """How it says that a prompt does not fit."""
        return f"This model's maximum context length is {error.context} tokens."

    def headers(self, asked: Asked, whole: Piece | None) -> Mapping[str, str]:
        """None of its own."""
        return {}

    def end(self, piece: Piece, asked: Asked) -> Json:
        """The finish reason, and what else stands beside it."""
        return {"finish_reason": piece.finish}

    def message(self, message: Json) -> Json:
        """A whole answer's message."""
        return message

    def answer(self, whole: Piece, asked: Asked) -> Json:
        """The body of a whole answer."""
        choices = [
            {**choice, "message": self.message(choice["message"]), **self.end(whole, asked)}
            for choice in whole.body["choices"]
        ]
        body = {"id": asked.id, "object": "chat.completion", "created": whole.body["created"], "model": self.ids[0]}
        return {**body, "choices": choices, "usage": whole.usage}

    async def chunks(self, pieces: Pieces, asked: Asked) -> AsyncGenerator[Json, None]:
        """Usage comes in a chunk of its own, and only if asked for."""
        async for piece in pieces:
            body = {"id": asked.id, "object": "chat.completion.chunk", "created": piece.body["created"]}
            body["model"] = self.ids[0]
            choice = {"index": 0, "delta": piece.body["choices"][0]["delta"], "logprobs": None}
            yield {**body, "choices": [{**choice, **self.end(piece, asked)}]}
            if piece.usage is not None and asked.wants_usage:
                yield {**body, "choices": [], "usage": piece.usage}

    def row(self, id: str) -> Json:
        """One row of the model list."""
        return {"id": id, "object": "model", "created": 1760000000, "owned_by": "plain"}

    def models(self, ids: Sequence[str]) -> object:
        """The body of the model list."""
        return {"object": "list", "data": [self.row(id) for id in ids]}

    def routes(self) -> Sequence[BaseRoute]:
        """What it serves besides."""
        return ()


class App(Protocol):
    """Makes a stand-in."""

    def __call__(
        self,
        llama_url: str,
        *,
        key: str | None = None,
        models: Sequence[str] = (),
        context: int = 0,
        script: Script | None = None,
    ) -> ASGIApp:
        """A server in front of the llama.cpp server at a URL, usually with its own models; without a key it is open."""
        ...


def server(voice: type[Plain], usual: Sequence[str], room: int, desk: type[Desk] = Desk) -> App:
    """What makes stand-ins with a voice; `usual` models and `room` of context are theirs unless told otherwise."""

    def app(
        llama_url: str,
        *,
        key: str | None = None,
        models: Sequence[str] = (),
        context: int = 0,
        script: Script | None = None,
    ) -> ASGIApp:
        llama = Llama(llama_url)
        own = voice(models or usual, context or room)
        return hosted(llama, desk(own, llama, key, own.ids), own.manner, BASE, script, own.routes())

    return app
