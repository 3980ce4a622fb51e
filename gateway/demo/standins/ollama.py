"""A stand-in for Ollama: its native API in JSON lines, and its OpenAI mapping, which goes through the native one."""

import json
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.demo.standins import ollama_chat, ollama_models, ollama_v1
from gateway.demo.standins.hosted import Streamed, as_json, opened
from gateway.demo.standins.llama import Llama, LlamaError, Piece, Pieces
from gateway.demo.standins.ollama_models import LocalModel, Shelf, stamp
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import Json, Manner, line, parse

VERSION = "0.33.0"
NO_IMAGES = (
    "Failed to create new sequence: failed to process inputs: this model is missing data required for image input"
)
NOTHING = {"role": "assistant", "content": ""}
T = TypeVar("T")


class Refused(Exception):
    """A request Ollama does not serve: a status and one sentence."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status: one string."""
    return {"error": message or ollama_v1.usual(status)}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: a line with an error, and nothing after it."""
    return line(refuse(status, message))


def is_last(frame: bytes) -> bool:
    """Whether a line is the final object."""
    _, data = parse(frame)
    return bool(data and data.get("done"))


MANNER = Manner(refuse, interrupt, is_last, frozenset({"prompt_eval_count", "eval_count"}))
NATIVE = ("/api/chat", "/api/generate", "/api/embed", "/api/embeddings")
OPENAI = "/v1/chat/completions"
MANNERS = {**dict.fromkeys([*NATIVE, ""], MANNER), OPENAI: ollama_v1.MANNER}


@dataclass(frozen=True, slots=True)
class Job:
    """A checked request: what was asked, what to ask llama.cpp, what loading cost in ns, when it began."""

    asked: Json
    body: Json
    load_ns: int = 0
    began: float = 0.0

    @property
    def prompt(self) -> str | None:
        """The prompt of a generate request, which answers with mere text; None for a chat."""
        return self.asked.get("prompt")

    def object(self, message: Json, **more: object) -> Json:
        """One object of the answer."""
        head = {"model": self.asked["model"], "created_at": stamp(datetime.now(UTC))}
        answer = {"message": message} if self.prompt is None else {"response": message["content"]}
        return {**head, **answer, "done": False, **more}

    def last(self, message: Json, piece: Piece) -> Json:
        """The final object."""
        timed = ollama_chat.Timed(self.load_ns, int((time.monotonic() - self.began) * 1e9) + self.load_ns)
        return self.object(message, **ollama_chat.final(piece, timed))


class Ollama:
    """Answers Ollama's paths with the help of a llama.cpp server."""

    def __init__(self, llama: Llama, shelf: Shelf) -> None:
        self._llama = llama
        self._shelf = shelf

    async def root(self, request: Request) -> Response:
        """The sign of life."""
        return PlainTextResponse("Ollama is running")

    async def version(self, request: Request) -> Response:
        """The version number."""
        return as_json({"version": VERSION})

    async def tags(self, request: Request) -> Response:
        """The models on disk."""
        return as_json(self._shelf.tags())

    async def ps(self, request: Request) -> Response:
        """The models in memory."""
        return as_json(self._shelf.running())

    async def show(self, request: Request) -> Response:
        """One model's facts."""
        asked = await _json(request)
        return as_json(ollama_models.shown(self._model(asked.get("model") or asked.get("name") or "")))

    async def chat(self, request: Request) -> Response:
        """POST /api/chat."""
        asked = await _json(request)
        asked.pop("prompt", None)
        return await self._native(asked, empty=not asked.get("messages"))

    async def generate(self, request: Request) -> Response:
        """POST /api/generate: a chat of one prompt."""
        asked = await _json(request)
        asked["prompt"] = asked.get("prompt") or ""
        system = [{"role": "system", "content": asked["system"]}] if asked.get("system") else []
        asked["messages"] = [*system, {"role": "user", "content": asked["prompt"], "images": asked.get("images")}]
        return await self._native(asked, empty=not asked["prompt"])

    async def openai_chat(self, request: Request) -> Response:
        """POST /v1/chat/completions: through the native chat, like the real one."""
        body = await _json(request)
        asked = _or_400(lambda: ollama_v1.native(body))
        job = await self._job(asked)
        if not asked["stream"]:
            return as_json(ollama_v1.completion(await self._whole(job)))
        usage = bool((body.get("stream_options") or {}).get("include_usage"))
        frames = ollama_v1.frames(await self._objects(job), include_usage=usage)
        return Streamed(frames, "text/event-stream")

    async def openai_models(self, request: Request) -> Response:
        """The models on disk, as OpenAI lists them."""
        return as_json(ollama_v1.listed(self._shelf.tags()))

    async def embed(self, request: Request) -> Response:
        """POST /api/embed: many inputs."""
        asked = await _json(request)
        vectors, tokens = await self._vectors(asked, asked.get("input") or [])
        timing = {"total_duration": 14_143_917, "load_duration": 1_019_500, "prompt_eval_count": tokens}
        return as_json({"model": asked["model"], "embeddings": vectors, **timing})

    async def embeddings(self, request: Request) -> Response:
        """POST /api/embeddings: the older path, one prompt."""
        asked = await _json(request)
        vectors, _ = await self._vectors(asked, [asked.get("prompt") or ""])
        return as_json({"embedding": vectors[0]})

    async def _vectors(self, asked: Json, texts: object) -> tuple[list[object], int]:
        self._model(asked.get("model") or "")
        try:
            answer = await self._llama.post("/v1/embeddings", {"input": texts})
        except LlamaError as error:
            text = "this model does not support embeddings" if error.status == 501 else str(error)
            raise Refused(error.status, text) from error
        return [item["embedding"] for item in answer["data"]], answer.get("usage", {}).get("prompt_tokens", 0)

    def _model(self, name: str) -> LocalModel:
        if not name:
            raise Refused(400, "model is required")
        model = self._shelf.find(name)
        if model is None:
            raise Refused(404, f"model '{name}' not found")
        return model

    async def _native(self, asked: Json, *, empty: bool) -> Response:
        """Answer a native request; an empty one only loads or unloads the model."""
        if empty:
            return await self._load_only(asked)
        job = await self._job(asked)
        if asked.get("stream") is False:
            return as_json(await self._whole(job))
        return Streamed(_lines(await self._objects(job)), "application/x-ndjson")

    async def _load_only(self, asked: Json) -> Response:
        model = self._model(asked.get("model") or "")
        stay = _stay(asked)
        if stay:
            await self._shelf.load(model, ollama_chat.NUM_CTX, stay)
        else:
            self._shelf.unload(model)
        reason = "load" if stay else "unload"
        return as_json(Job(asked, {}).object(dict(NOTHING), done=True, done_reason=reason))

    async def _job(self, asked: Json) -> Job:
        """Check a request against its model, load the model, translate the request."""
        model = self._model(asked.get("model") or "")
        _check(model, asked)
        body = _or_400(lambda: ollama_chat.llama_body(asked))
        num_ctx = (asked.get("options") or {}).get("num_ctx") or ollama_chat.NUM_CTX
        stay = _stay(asked)
        load_ns = await self._shelf.load(model, num_ctx, stay)
        if not stay:
            self._shelf.unload(model)
        return Job(asked, body, load_ns, time.monotonic())

    async def _whole(self, job: Job) -> Json:
        piece = await self._llama.complete(job.body)
        message = ollama_chat.native_message(piece.body["choices"][0]["message"])
        return {**job.last(message, piece), **await self._context(job, message["content"])}

    async def _objects(self, job: Job) -> AsyncGenerator[Json, None]:
        """The objects of a streamed answer; a failure before the first is raised, a later one is an object."""
        return self._told(job, await self._llama.stream(job.body))

    async def _told(self, job: Job, pieces: Pieces) -> AsyncGenerator[Json, None]:
        calls: list[Json] = []
        text = ""
        async with aclosing(pieces):
            try:
                async for piece in pieces:
                    delta = piece.body["choices"][0]["delta"]
                    if piece.finish is not None:
                        if calls:
                            yield job.object(ollama_chat.gathered(calls))
                        yield {**job.last(dict(NOTHING), piece), **await self._context(job, text)}
                    elif "tool_calls" in delta:
                        calls.append(delta)
                    elif delta.get("content"):
                        text += delta["content"]
                        yield job.object({"role": "assistant", "content": delta["content"]})
            except LlamaError as error:
                yield refuse(error.status, str(error))

    async def _context(self, job: Job, text: str) -> Json:
        """The tokens of prompt and answer, which /api/generate gives back for the next call."""
        if job.prompt is None:
            return {}
        answer = await self._llama.post("/tokenize", {"content": job.prompt + text})
        return {"context": answer["tokens"]}


def _check(model: LocalModel, asked: Json) -> None:
    """Refuse what a model cannot do, as Ollama does."""
    if asked.get("think") and "thinking" not in model.capabilities:
        raise Refused(400, f'"{asked["model"]}" does not support thinking')
    if asked.get("tools") and "tools" not in model.capabilities:
        raise Refused(400, f"registry.ollama.ai/library/{model.name} does not support tools")
    if any(message.get("images") for message in asked["messages"]) and "vision" not in model.capabilities:
        raise Refused(500, NO_IMAGES)


def _stay(asked: Json) -> timedelta:
    value = asked.get("keep_alive")
    return _or_400(lambda: ollama_models.keep_alive(ollama_models.KEEP_ALIVE if value is None else value))


def _or_400(work: Callable[[], T]) -> T:
    try:
        return work()
    except ValueError as error:
        raise Refused(400, str(error)) from error


async def _json(request: Request) -> Json:
    content = await request.body()
    if not content:
        raise Refused(400, "missing request body")
    asked = _or_400(lambda: json.loads(content))
    if not isinstance(asked, dict):
        raise Refused(400, "json: cannot unmarshal the request body into an object")
    return asked


async def _lines(objects: AsyncGenerator[Json, None]) -> AsyncGenerator[bytes, None]:
    async with aclosing(objects):
        async for item in objects:
            yield line(item)


async def _refused(request: Request, error: Exception) -> Response:
    """Any refusal, in the shape of the path that was asked."""
    status = error.status if isinstance(error, Refused | LlamaError) else 500
    manner = MANNERS.get(request.url.path, MANNER)
    return as_json(manner.refuse(status, str(error)), status)


def _routes(ollama: Ollama) -> list[Route]:
    return [
        Route("/", ollama.root),
        Route("/api/version", ollama.version),
        Route("/api/tags", ollama.tags),
        Route("/api/ps", ollama.ps),
        Route("/api/show", ollama.show, methods=["POST"]),
        Route("/api/chat", ollama.chat, methods=["POST"]),
        Route("/api/generate", ollama.generate, methods=["POST"]),
        Route("/api/embed", ollama.embed, methods=["POST"]),
        Route("/api/embeddings", ollama.embeddings, methods=["POST"]),
        Route(OPENAI, ollama.openai_chat, methods=["POST"]),
        Route("/v1/models", ollama.openai_models),
    ]


def app(
    llama_url: str,
    *,
    models: Sequence[LocalModel] = ollama_models.MODELS,
    load_seconds: float = 0.0,
    script: Script | None = None,
) -> ASGIApp:
    """An Ollama in front of the llama.cpp server at a URL; bringing a model to memory costs load_seconds."""
    llama = Llama(llama_url)
    ollama = Ollama(llama, Shelf(models, load_seconds))
    inner = opened(llama, _routes(ollama), {Refused: _refused, LlamaError: _refused})
    return (script or Script()).around(inner, MANNERS)
