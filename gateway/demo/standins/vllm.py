"""A stand-in for vLLM's OpenAI server: integer error codes, a bare string for a wrong key, open health and metrics."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.demo.standins.hosted import Asked, Desk, Refusal, as_json, bare_id, hosted
from gateway.demo.standins.llama import Llama, LlamaError, Piece, Pieces
from gateway.demo.standins.script import Script
from gateway.demo.standins.vllm_metrics import Tally
from gateway.demo.standins.wire import DONE, Json, Manner, event, is_done

BASE = "/v1"
VERSION = "0.32.0"
MODELS = ("meta-llama/Llama-3.1-8B-Instruct",)
CONTEXT = 8192

USUAL = {
    400: ("The request is invalid.", "BadRequestError"),
    404: ("The model `unknown` does not exist.", "NotFoundError"),
    503: (
        "The engine is currently busy and cannot accept new requests. Please try again later.",
        "Service Unavailable",
    ),
}


def refuse(status: int, message: str | None, param: str | None = None) -> Json:
    """The error body of a status; a wrong key gets a string where all else gets an object."""
    if status == 401:
        return {"error": "Unauthorized"}
    usual, kind = USUAL.get(status, ("Internal server error", "InternalServerError"))
    return {"error": {"message": message or usual, "type": kind, "param": param, "code": status}}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: an error event, and then the usual end all the same."""
    return event(refuse(status, message)) + DONE


MANNER = Manner(refuse, interrupt, is_done, frozenset({"usage"}))


class Vllm:
    """vLLM's voice; the first model id is the one it calls itself, the others are aliases."""

    manner = MANNER

    def __init__(self, ids: Sequence[str], context: int, tally: Tally) -> None:
        self._ids = ids
        self._context = context
        self._tally = tally

    def new_id(self, request: Request) -> str:
        """The id of the next answer, from the caller's request id if there is one."""
        return f"chatcmpl-{request.headers.get('x-request-id') or bare_id(32)}"

    def unauthorized(self) -> Refusal:
        """What a wrong key gets."""
        return Refusal(401, refuse(401, None))

    def unknown_model(self, model: str) -> Refusal:
        """What a model it does not serve gets."""
        return Refusal(
            404, refuse(404, f"The model `{model}` does not exist. Valid aliases: {', '.join(self._ids)}", "model")
        )

    def too_long(self, error: LlamaError) -> Refusal:
        """What a prompt beyond the context gets."""
        message = (
            f"This model's maximum context length is {error.context} tokens. However, your request has "
            f"{error.prompt_tokens} input tokens. Please reduce the length of the input messages."
        )
        return Refusal(400, refuse(400, message, "input_tokens"))

    def headers(self, asked: Asked, whole: Piece | None) -> Mapping[str, str]:
        """None of its own."""
        return {}

    def answer(self, whole: Piece, asked: Asked) -> Json:
        """The body of a whole answer."""
        self._tally.finished(whole)
        choices = [{**choice, **_extra(whole, asked)} for choice in whole.body["choices"]]
        body = {"id": asked.id, "object": "chat.completion", "created": whole.body["created"], "model": self._ids[0]}
        return {**body, "choices": choices, "usage": _usage(whole), "prompt_logprobs": None, "kv_transfer_params": None}

    async def chunks(self, pieces: Pieces, asked: Asked) -> AsyncGenerator[Json, None]:
        """Usage comes in a chunk of its own, and only if asked for."""
        async for piece in pieces:
            body = {
                "id": asked.id,
                "object": "chat.completion.chunk",
                "created": piece.body["created"],
                "model": self._ids[0],
            }
            choice = {"index": 0, "delta": piece.body["choices"][0]["delta"], "logprobs": None, **_extra(piece, asked)}
            yield {**body, "choices": [choice]}
            if piece.finish is not None:
                self._tally.finished(piece)
            if piece.usage is not None and asked.wants_usage:
                yield {**body, "choices": [], "usage": _usage(piece)}

    def models(self, ids: Sequence[str]) -> object:
        """The body of the model list."""
        known = {"object": "model", "created": 1760000000, "owned_by": "vllm", "root": ids[0], "parent": None}
        return {"object": "list", "data": [{"id": name, **known, "max_model_len": self._context} for name in ids]}


def _extra(piece: Piece, asked: Asked) -> Json:
    """Finish reason and stop reason; a forced tool call ends with "stop", not with "tool_calls"."""
    forced = asked.body.get("tool_choice") not in (None, "auto", "none")
    reason = "stop" if forced and piece.finish == "tool_calls" else piece.finish
    return {"finish_reason": reason, "stop_reason": None}


def _usage(piece: Piece) -> Json:
    usage = {name: count for name, count in (piece.usage or {}).items() if name != "prompt_tokens_details"}
    return {**usage, "prompt_tokens_details": None}


class Engine:
    """What vLLM tells of itself, from the llama.cpp server's own numbers."""

    def __init__(self, llama: Llama, name: str, context: int, tally: Tally) -> None:
        self._llama = llama
        self._name = name
        self._context = context
        self._tally = tally

    async def health(self, request: Request) -> Response:
        """200 and nothing."""
        return Response()

    async def version(self, request: Request) -> Response:
        """The version number."""
        return as_json({"version": VERSION})

    async def load(self, request: Request) -> Response:
        """Requests in flight."""
        gauges = await self._llama.metrics()
        return as_json({"server_load": int(gauges["requests_processing"] + gauges["requests_deferred"])})

    async def metrics(self, request: Request) -> Response:
        """The Prometheus samples that routing and dashboards read."""
        gauges = await self._llama.metrics()
        samples = {
            "vllm:num_requests_running": ("gauge", gauges["requests_processing"]),
            "vllm:num_requests_waiting": ("gauge", gauges["requests_deferred"]),
            "vllm:kv_cache_usage_perc": ("gauge", gauges.get("kv_cache_usage_ratio", 0.0)),
            "vllm:prompt_tokens_total": ("counter", gauges["prompt_tokens_total"]),
            "vllm:generation_tokens_total": ("counter", gauges["tokens_predicted_total"]),
        }
        labels = f'{{engine="0",model_name="{self._name}"}}'
        rows = [f"# TYPE {name} {kind}\n{name}{labels} {value}\n" for name, (kind, value) in samples.items()]
        return PlainTextResponse("".join(rows) + self._tally.text())

    async def tokenize(self, request: Request) -> Response:
        """The tokens of a prompt or of messages."""
        asked = await request.json()
        text = asked.get("prompt") or "".join(str(message.get("content")) for message in asked.get("messages", []))
        answer = await self._llama.post(
            "/tokenize", {"content": text, "add_special": asked.get("add_special_tokens", True)}
        )
        tokens: list[Any] = answer["tokens"]
        return as_json({"count": len(tokens), "max_model_len": self._context, "tokens": tokens, "token_strs": None})


def app(
    llama_url: str,
    *,
    key: str | None = None,
    models: Sequence[str] = MODELS,
    context: int = CONTEXT,
    script: Script | None = None,
) -> ASGIApp:
    """A vLLM in front of the llama.cpp server at a URL; without a key it is open, as a vLLM usually is."""
    llama = Llama(llama_url)
    tally = Tally(models[0])
    engine = Engine(llama, models[0], context, tally)
    more = [
        Route("/health", engine.health),
        Route("/ping", engine.health, methods=["GET", "POST"]),
        Route("/version", engine.version),
        Route("/load", engine.load),
        Route("/metrics", engine.metrics),
        Route("/tokenize", engine.tokenize, methods=["POST"]),
    ]
    return hosted(llama, Desk(Vllm(models, context, tally), llama, key, models), MANNER, BASE, script, more)
