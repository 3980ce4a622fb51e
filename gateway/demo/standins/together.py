"""A stand-in for Together: "eos" for a natural end, an empty prompt in every answer, usage unasked."""

import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp

from gateway.demo.standins.hosted import KEY, Asked, Desk, Refusal, bare_id, hosted
from gateway.demo.standins.llama import Llama, LlamaError, Piece, Pieces
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import Json, Manner, event, is_done

BASE = "/v1"
MODELS = ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo")
CONTEXT = 131_072
REQUESTS_PER_MINUTE = 600

USUAL = {
    400: ("The request is invalid.", "invalid_request_error", None),
    401: (
        "Invalid API key provided. You can find your API key at https://api.together.ai/settings/api-keys.",
        "invalid_request_error",
        "invalid_api_key",
    ),
    404: (
        "Unable to access model unknown. Please visit https://api.together.ai/models to view the list of models.",
        "invalid_request_error",
        "model_not_available",
    ),
    429: (
        "You have reached the rate limit specific to this model. The maximum rate limit for this model is 10 queries "
        "per second. This limit differs from the published general rate limits.",
        "model_rate_limit",
        None,
    ),
    503: ("The server is overloaded or not ready yet.", "service_unavailable", None),
    504: ("The request timed out.", "server_error", None),
}


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status."""
    usual, kind, code = USUAL.get(status, ("Internal server error", "server_error", None))
    return {"error": {"message": message or usual, "type": kind, "param": None, "code": code}}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: an unnamed event that holds an error instead of choices."""
    return event(refuse(status, message))


MANNER = Manner(refuse, interrupt, is_done, frozenset({"usage"}))


class Together:
    """Together's voice."""

    manner = MANNER

    def __init__(self) -> None:
        self._served = itertools.count(1)

    def new_id(self, request: Request) -> str:
        """The id of the next answer."""
        return f"o{bare_id(6)}-{bare_id(6)}-{bare_id(16)}"

    def unauthorized(self) -> Refusal:
        """What a wrong key gets."""
        return Refusal(401, refuse(401, None))

    def unknown_model(self, model: str) -> Refusal:
        """What a model it does not serve gets."""
        where = "Please visit https://api.together.ai/models to view the list of models."
        return Refusal(404, refuse(404, f"Unable to access model {model}. {where}"))

    def too_long(self, error: LlamaError) -> Refusal:
        """What a prompt beyond the context gets."""
        message = (
            f"Input validation error: `inputs` tokens + `max_new_tokens` must be <= {error.context}. "
            f"Given: {error.prompt_tokens} `inputs` tokens and 1 `max_new_tokens`"
        )
        return Refusal(400, refuse(400, message))

    def headers(self, asked: Asked, whole: Piece | None) -> Mapping[str, str]:
        """Requests allowed, left, and the seconds until they are whole again."""
        left = max(0, REQUESTS_PER_MINUTE - next(self._served))
        limits = {"limit": REQUESTS_PER_MINUTE, "remaining": left, "reset": 1}
        return {f"x-ratelimit-{name}": str(value) for name, value in limits.items()} | {"x-request-id": asked.id}

    def answer(self, whole: Piece, asked: Asked) -> Json:
        """The body of a whole answer."""
        choices = [
            {
                **choice,
                "seed": 1,
                "logprobs": None,
                "finish_reason": _finish(whole, asked),
                "message": _message(choice["message"]),
            }
            for choice in whole.body["choices"]
        ]
        own = {"id": asked.id, "model": asked.model, "prompt": [], "choices": choices, "usage": _usage(whole)}
        return {"object": "chat.completion", "created": whole.body["created"], **own}

    async def chunks(self, pieces: Pieces, asked: Asked) -> AsyncGenerator[Json, None]:
        """Every delta repeats the role; the last content chunk has the usage, all others a null one."""
        async for piece in pieces:
            delta = {"role": "assistant", "content": "", **piece.body["choices"][0]["delta"]}
            choice = {
                "index": 0,
                "delta": delta,
                "logprobs": None,
                "finish_reason": _finish(piece, asked),
                "seed": None,
            }
            body = {
                "id": asked.id,
                "object": "chat.completion.chunk",
                "created": piece.body["created"],
                "model": asked.model,
            }
            yield {**body, "choices": [choice], "usage": _usage(piece)}

    def models(self, ids: Sequence[str]) -> object:
        """The model list: bare, not under "data"."""
        known = {"object": "model", "created": 1733466629, "type": "chat", "running": False, "organization": "Meta"}
        price = {"hourly": 0, "input": 0.88, "output": 0.88, "base": 0, "finetune": 0}
        return [
            {"id": name, **known, "display_name": name, "context_length": CONTEXT, "pricing": price} for name in ids
        ]


def _finish(piece: Piece, asked: Asked) -> str | None:
    """The reason in Together's words: "stop" only where a stop sequence may have been met."""
    return "eos" if piece.finish == "stop" and not asked.body.get("stop") else piece.finish


def _message(message: Json) -> Json:
    return {"role": "assistant", "content": message.get("content") or "", "tool_calls": message.get("tool_calls") or []}


def _usage(piece: Piece) -> Json | None:
    if piece.usage is None:
        return None
    return {name: piece.usage[name] for name in ("prompt_tokens", "completion_tokens", "total_tokens")} | {
        "cached_tokens": 0
    }


def app(llama_url: str, *, key: str = KEY, models: Sequence[str] = MODELS, script: Script | None = None) -> ASGIApp:
    """A Together in front of the llama.cpp server at a URL."""
    llama = Llama(llama_url)
    return hosted(llama, Desk(Together(), llama, key, models), MANNER, BASE, script)
