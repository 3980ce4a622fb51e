"""A stand-in for Fireworks: performance in headers, or asked for in a stream's last chunk, which has the usage."""

from collections.abc import AsyncGenerator, Mapping, Sequence

from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.demo.standins.hosted import KEY, Asked, Desk, Refusal, bare_id, opened
from gateway.demo.standins.llama import Llama, LlamaError, Piece, Pieces
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import Json, Manner, event, is_done

BASE = "/inference/v1"
SDK_BASE = "/v1"  # where Fireworks' own SDK goes when it is given another base URL
MODELS = ("accounts/fireworks/models/llama-v3p1-8b-instruct", "accounts/fireworks/models/llama-v3p3-70b-instruct")
CONTEXT = 131_072

USUAL = {
    400: ("The request is invalid.", "INVALID_ARGUMENT"),
    401: ("The API key you provided is invalid.", "UNAUTHORIZED"),
    404: ("Model not found, inaccessible, and/or not deployed", "NOT_FOUND"),
    429: ("Rate limit exceeded, please try again later.", "RESOURCE_EXHAUSTED"),
    503: ("Service overloaded, please try again later.", "UNAVAILABLE"),
}


def refuse(status: int, message: str | None, param: str | None = None) -> Json:
    """The error body of a status."""
    usual, code = USUAL.get(status, ("Internal server error.", "INTERNAL"))
    return {"error": {"message": message or usual, "param": param, "code": code, "type": "error"}}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: an unnamed event that holds an error instead of choices."""
    return event(refuse(status, message))


MANNER = Manner(refuse, interrupt, is_done, frozenset({"usage"}))


class Fireworks:
    """Fireworks' voice."""

    manner = MANNER

    def new_id(self, request: Request) -> str:
        """The id of the next answer."""
        return bare_id(32)

    def unauthorized(self) -> Refusal:
        """What a wrong key gets."""
        return Refusal(401, refuse(401, None))

    def unknown_model(self, model: str) -> Refusal:
        """What a model it does not serve gets."""
        return Refusal(404, refuse(404, None, "model"))

    def too_long(self, error: LlamaError) -> Refusal:
        """What a prompt beyond the context gets."""
        message = f"The prompt is too long: {error.prompt_tokens}, model maximum context length: {error.context}"
        return Refusal(400, refuse(400, message))

    def headers(self, asked: Asked, whole: Piece | None) -> Mapping[str, str]:
        """Adaptive limits; and how the answer performed, unless it is streamed."""
        limits = {"x-ratelimit-limit-tokens-prompt": "60000", "x-ratelimit-limit-tokens-generated": "6000"}
        if whole is None:
            return limits
        return limits | {f"fireworks-{name}": value for name, value in _performance(whole).items()}

    def answer(self, whole: Piece, asked: Asked) -> Json:
        """The body of a whole answer."""
        body = {"id": asked.id, "object": "chat.completion", "created": whole.body["created"], "model": asked.model}
        return {**body, "choices": whole.body["choices"], "usage": whole.usage, **_asked_performance(whole, asked)}

    async def chunks(self, pieces: Pieces, asked: Asked) -> AsyncGenerator[Json, None]:
        """The last chunk has finish reason, usage and, if asked for, performance."""
        async for piece in pieces:
            body = {
                "id": asked.id,
                "object": "chat.completion.chunk",
                "created": piece.body["created"],
                "model": asked.model,
            }
            last = {} if piece.usage is None else _asked_performance(piece, asked)
            yield {**body, "choices": piece.body["choices"], "usage": piece.usage, **last}

    def models(self, ids: Sequence[str]) -> object:
        """The body of the model list."""
        known = {"object": "model", "owned_by": "fireworks", "created": 1721692808, "kind": "HF_BASE_MODEL"}
        able = {"supports_chat": True, "supports_image_input": False, "supports_tools": True, "context_length": CONTEXT}
        return {"object": "list", "data": [{"id": name, **known, **able} for name in ids]}


def _asked_performance(piece: Piece, asked: Asked) -> Json:
    return {"perf_metrics": _performance(piece)} if asked.body.get("perf_metrics_in_response") else {}


def _performance(piece: Piece) -> dict[str, str]:
    """Tokens, and seconds as text."""
    usage, times = piece.usage or {}, piece.timings
    first, rest = times.get("prompt_ms", 0.0) / 1000, times.get("predicted_ms", 0.0) / 1000
    cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
    return {
        "prompt-tokens": str(usage.get("prompt_tokens", 0)),
        "cached-prompt-tokens": str(cached),
        "server-time-to-first-token": f"{first:.3f}",
        "server-processing-time": f"{first + rest:.3f}",
    }


def app(llama_url: str, *, key: str = KEY, models: Sequence[str] = MODELS, script: Script | None = None) -> ASGIApp:
    """A Fireworks in front of the llama.cpp server at a URL; it answers on the API's path and on its SDK's."""
    llama = Llama(llama_url)
    desk = Desk(Fireworks(), llama, key, models)
    chats = [f"{base}/chat/completions" for base in (BASE, SDK_BASE)]
    lists = [Route(f"{base}/models", desk.models) for base in (BASE, SDK_BASE)]
    routes = [*(Route(path, desk.chat, methods=["POST"]) for path in chats), *lists]
    return (script or Script()).around(opened(llama, routes), dict.fromkeys([*chats, ""], MANNER))
