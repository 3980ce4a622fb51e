"""A stand-in for LM Studio's local server: errors as bare strings, refusals inside streams, few forms of wishes."""

from collections.abc import AsyncGenerator, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.demo.standins.hosted import Asked, Desk, Refusal, Streamed, as_json, respond
from gateway.demo.standins.llama import LlamaError
from gateway.demo.standins.plain import Plain, server
from gateway.demo.standins.wire import Json, Manner, dump, is_done

MODELS = ("llama-3.1-8b-instruct",)
CONTEXT = 8192


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status: a string, but an object for a key or a model that is wrong."""
    if status == 401:
        return {"error": {"message": "Invalid LM Studio API token", "type": "invalid_request_error", "code": None}}
    if status == 404:
        said = message or "Model not found"
        return {
            "error": {"message": said, "type": "invalid_request_error", "param": "model", "code": "model_not_found"}
        }
    return {"error": message or "The model has crashed without additional information."}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: a named event without a status, after which nothing follows."""
    said = message or "The model has crashed without additional information."
    return b"event: error\ndata: " + dump({"error": {"message": said}, "message": said}) + b"\n\n"


class LmStudio(Plain):
    """LM Studio's voice."""

    manner = Manner(refuse, interrupt, is_done, frozenset({"usage"}))

    def unknown(self, model: str) -> str:
        """How it says that it does not have a model."""
        return f'Failed to load model "{model}". Error: Model not found'

    def long(self, error: LlamaError) -> str:
        """How it says that a prompt does not fit."""
        return (
            "The number of tokens to keep from the initial prompt is greater than the context length"
            f" (n_keep: {error.prompt_tokens}>= n_ctx: {error.context}). Try to load the model with a larger context"
            " length, or provide a shorter input."
        )

    def row(self, id: str) -> Json:
        """One row of the model list."""
        return {"id": id, "object": "model", "owned_by": "organization_owner"}

    def routes(self) -> Sequence[BaseRoute]:
        """Its own list, which says more of a model."""
        return [Route("/api/v0/models", self.listed)]

    async def listed(self, request: Request) -> Response:
        """GET that list."""
        row = {"type": "llm", "compatibility_type": "gguf", "state": "loaded", "loaded_context_length": self.context}
        return as_json({"object": "list", "data": [{"id": id, "object": "model", **row} for id in self.ids]})


class Window(Desk):
    """Refuses what LM Studio does not know, and refuses streams inside of them."""

    async def _answer(self, asked: Asked) -> Response:
        choice, wanted = asked.body.get("tool_choice"), asked.body.get("response_format") or {}
        if isinstance(choice, dict):
            said = "Invalid tool_choice type: 'object'. Supported string values: none, auto, required"
            return respond(Refusal(400, refuse(400, said)))
        if wanted.get("type") == "json_object":
            said = "'response_format.type' must be 'json_schema' or 'text'"
            return respond(Refusal(400, refuse(400, said)))
        try:
            return await super()._answer(asked)
        except LlamaError as error:
            if not asked.body.get("stream") or not error.too_long:
                raise
            return Streamed(only(interrupt(400, self._voice.too_long(error).body["error"])), "text/event-stream")


async def only(frame: bytes) -> AsyncGenerator[bytes, None]:
    """A stream of one frame."""
    yield frame


app = server(LmStudio, MODELS, CONTEXT, Window)
