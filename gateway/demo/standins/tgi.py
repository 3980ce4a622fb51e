"""A stand-in for Text Generation Inference: `{error, error_type}`, a 422 for everything wrong, words of its own."""

import json

from starlette.responses import Response

from gateway.demo.standins.hosted import Asked, Desk, Refusal, respond
from gateway.demo.standins.llama import LlamaError, Piece
from gateway.demo.standins.plain import Plain, server
from gateway.demo.standins.wire import Json, Manner, event, is_done

MODELS = ("meta-llama/Llama-3.1-8B-Instruct", "tgi")  # the second is what its users write
CONTEXT = 8192
USUAL = {
    422: ("Input validation error: `temperature` must be strictly positive", "validation"),
    424: ("Request failed during generation: Server error: CUDA out of memory", "generation"),
    429: ("Model is overloaded", "overloaded"),
    500: ("Incomplete generation", "incomplete_generation"),
    503: ("unhealthy", "healthcheck"),
}


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status."""
    usual, kind = USUAL.get(status, ("Bad request", "validation"))
    return {"error": message or usual, "error_type": kind}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure, after which nothing follows."""
    return event(refuse(status, message))


class Tgi(Plain):
    """TGI's voice: one model, whatever is asked for."""

    manner = Manner(refuse, interrupt, is_done, frozenset({"usage"}))
    long_status = 422

    def unauthorized(self) -> Refusal:
        """A wrong key gets a status and nothing that could be read."""
        return Refusal(401, {})

    def long(self, error: LlamaError) -> str:
        """How it says that a prompt does not fit."""
        return (
            f"Input validation error: `inputs` must have less than {error.context} tokens. Given: {error.prompt_tokens}"
        )

    def end(self, piece: Piece, asked: Asked) -> Json:
        """An answer that ended at a stop string does not say `stop`."""
        stopped = piece.finish == "stop" and asked.body.get("stop")
        return {"finish_reason": "stop_sequence" if stopped else piece.finish}

    def message(self, message: Json) -> Json:
        """A tool's arguments are an object, as before version 3.2."""
        calls = [
            {**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
            for call in message.get("tool_calls") or []
        ]
        return {**message, "tool_calls": calls} if calls else message


class Window(Desk):
    """Wants the schema of an answer as `value`; the schema of OpenAI's shape it does not see."""

    async def _answer(self, asked: Asked) -> Response:
        wanted = asked.body.get("response_format")
        if wanted is None:
            return await super()._answer(asked)
        if not isinstance(wanted, dict) or wanted.get("type") not in ("json", "json_object") or "value" not in wanted:
            said = "Failed to deserialize the JSON body into the target type: response_format: missing field `value`"
            return respond(Refusal(422, refuse(422, said)))
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted["value"]}}
        return await super()._answer(Asked({**asked.body, "response_format": form}, asked.id))


app = server(Tgi, MODELS, CONTEXT, Window)
