"""A stand-in for Groq: usage inside x_groq, rate-limit headers on every answer, whole tool calls in one chunk."""

from collections.abc import AsyncGenerator, Mapping, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp

from gateway.demo.standins.hosted import KEY, Asked, Desk, Refusal, bare_id, hosted
from gateway.demo.standins.llama import Llama, LlamaError, Piece, Pieces, tool_calls
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import Json, Manner, dump, is_done

BASE = "/openai/v1"
MODELS = ("llama-3.1-8b-instant", "llama-3.3-70b-versatile")
CONTEXT = 131_072
REQUESTS_PER_DAY = 14_400
TOKENS_PER_MINUTE = 6_000

USUAL = {
    400: ("The request is invalid.", "invalid_request_error", None),
    401: ("Invalid API Key", "invalid_request_error", "invalid_api_key"),
    404: (
        "The model `unknown` does not exist or you do not have access to it.",
        "invalid_request_error",
        "model_not_found",
    ),
    413: (
        "Request too large for model `llama-3.1-8b-instant` in organization `org_standin` service tier `on_demand` "
        "on tokens per minute (TPM): Limit 6000, Requested 9000, please reduce your message size and try again.",
        "tokens",
        "rate_limit_exceeded",
    ),
    429: (
        "Rate limit reached for model `llama-3.1-8b-instant` in organization `org_standin` service tier `on_demand` "
        "on tokens per minute (TPM): Limit 6000, Used 5500, Requested 1029. Please try again in 5.289s.",
        "tokens",
        "rate_limit_exceeded",
    ),
    498: ("Flex tier capacity exceeded. Please try again later.", "internal_server_error", "capacity_exceeded"),
    503: ("Service Unavailable", "internal_server_error", None),
}


def gone(model: str) -> Json:
    """The body of the 400 that a retired model gets."""
    message = (
        f"The model `{model}` has been decommissioned and is no longer supported. Please refer to "
        "https://console.groq.com/docs/deprecations for a recommendation on which model to use instead."
    )
    return _error(message, "invalid_request_error", "model_decommissioned")


def _error(message: str, kind: str, code: str | None, **more: str) -> Json:
    return {"error": {"message": message, "type": kind, **({"code": code} if code else {}), **more}}


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status."""
    usual, kind, code = USUAL.get(status, ("Internal Server Error", "internal_server_error", None))
    return _error(message or usual, kind, code)


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: a named event, with the status that HTTP can no longer carry."""
    error = {**refuse(status, message)["error"], "status_code": status}
    return b"event: error\ndata: " + dump({"error": error}) + b"\n\n"


MANNER = Manner(refuse, interrupt, is_done, frozenset({"usage"}))


class Groq:
    """Groq's voice."""

    manner = MANNER

    def __init__(self) -> None:
        self._requests_left = REQUESTS_PER_DAY

    def new_id(self, request: Request) -> str:
        """The id of the next answer."""
        return f"chatcmpl-{bare_id(36)}"

    def unauthorized(self) -> Refusal:
        """What a wrong key gets."""
        return Refusal(401, refuse(401, None))

    def unknown_model(self, model: str) -> Refusal:
        """What a model it does not serve gets."""
        return Refusal(404, refuse(404, f"The model `{model}` does not exist or you do not have access to it."))

    def too_long(self, error: LlamaError) -> Refusal:
        """What a prompt beyond the context gets."""
        message = "Please reduce the length of the messages or completion."
        return Refusal(400, _error(message, "invalid_request_error", "context_length_exceeded", param="messages"))

    def headers(self, asked: Asked, whole: Piece | None) -> Mapping[str, str]:
        """Limits: requests are counted per day, tokens per minute."""
        self._requests_left -= 1
        tokens = len(dump(asked.body.get("messages"))) // 4 + 1
        return {
            "x-ratelimit-limit-requests": str(REQUESTS_PER_DAY),
            "x-ratelimit-limit-tokens": str(TOKENS_PER_MINUTE),
            "x-ratelimit-remaining-requests": str(self._requests_left),
            "x-ratelimit-remaining-tokens": str(max(0, TOKENS_PER_MINUTE - tokens)),
            "x-ratelimit-reset-requests": f"{(REQUESTS_PER_DAY - self._requests_left) * 6}s",
            "x-ratelimit-reset-tokens": f"{tokens * 10}ms",
            "x-request-id": _request_id(asked),
        }

    def answer(self, whole: Piece, asked: Asked) -> Json:
        """The body of a whole answer."""
        own = {"service_tier": "on_demand", "system_fingerprint": "fp_standin", "x_groq": {"id": _request_id(asked)}}
        return {
            **whole.body,
            "id": asked.id,
            "model": asked.model,
            "usage": _usage(whole),
            "usage_breakdown": None,
            **own,
        }

    async def chunks(self, pieces: Pieces, asked: Asked) -> AsyncGenerator[Json, None]:
        """x_groq has the id in the first chunk and id and usage in the last; top-level usage only if asked for."""
        mark = {"id": _request_id(asked)}
        x_groq: Json | None = mark
        calls: list[Json] = []
        async for piece in pieces:
            chunk = {**piece.body, "id": asked.id, "model": asked.model, "system_fingerprint": "fp_standin"}
            delta = chunk["choices"][0]["delta"]
            if "tool_calls" in delta:
                calls.append(delta)
            elif piece.usage is None:
                yield {**chunk, "x_groq": x_groq} if x_groq else chunk
                x_groq = None
            else:
                if calls:
                    yield _with_calls(chunk, calls)
                yield {**chunk, "x_groq": {**mark, "usage": _usage(piece)}}
                if asked.wants_usage:
                    yield {**chunk, "choices": [], "usage": _usage(piece)}

    def models(self, ids: Sequence[str]) -> object:
        """The body of the model list."""
        known = {"object": "model", "created": 1693721698, "owned_by": "Meta", "active": True, "public_apps": None}
        limits = {"context_window": CONTEXT, "max_completion_tokens": 32_768}
        return {"object": "list", "data": [{"id": name, **known, **limits} for name in ids]}


def _request_id(asked: Asked) -> str:
    return "req_" + asked.id[-26:]


def _with_calls(chunk: Json, deltas: list[Json]) -> Json:
    calls = [{"index": index, **call} for index, call in enumerate(tool_calls(deltas))]
    return {**chunk, "choices": [{"index": 0, "delta": {"tool_calls": calls}, "logprobs": None, "finish_reason": None}]}


def _usage(piece: Piece) -> Json:
    """Tokens and the seconds they took."""
    usage = dict(piece.usage or {})
    usage.pop("prompt_tokens_details", None)
    prompt, completion = (piece.timings.get(name, 0.0) / 1000 for name in ("prompt_ms", "predicted_ms"))
    times = {
        "queue_time": 0.0001,
        "prompt_time": prompt,
        "completion_time": completion,
        "total_time": prompt + completion,
    }
    return {**usage, **times}


def app(llama_url: str, *, key: str = KEY, models: Sequence[str] = MODELS, script: Script | None = None) -> ASGIApp:
    """A Groq in front of the llama.cpp server at a URL."""
    llama = Llama(llama_url)
    return hosted(llama, Desk(Groq(), llama, key, models), MANNER, BASE, script)
