"""A stand-in for Replicate: predictions that go on whoever watches, held requests, looks, event streams, cancelling."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.demo.standins.hosted import KEY, Refusal, Streamed, as_json, bare_id, respond
from gateway.demo.standins.llama import Llama, LlamaError, Piece
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import Json, Manner

BASE = "/v1"
STREAMS = f"{BASE}/streams/"
MODELS = ("meta/meta-llama-3-8b-instruct", "meta/meta-llama-3-70b-instruct")
VERSION = "5a6809ca6288247d06daf6365557e5e429063f32a21146b2a807c682652136b8"
DEPLOYMENT = "acme/llama"
DEFAULT_TOKENS = 512
HOLD = 60.0  # seconds that a request is held at most
OVER = ("succeeded", "failed", "canceled")

TEMPLATE = re.compile(r"<\|start_header_id\|>(\w+)<\|end_header_id\|>\n\n(.*?)<\|eot_id\|>", re.DOTALL)
OWN_STOPS = ("<|end_of_text|>", "<|eot_id|>")
SAME = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty")

USUAL = {
    400: ("Bad request", "The request is invalid."),
    401: ("Unauthenticated", "You did not pass a valid authentication token"),
    402: (
        "Insufficient credit",
        "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to "
        "purchase credit. Once you purchase credit, please wait a few minutes before trying again.",
    ),
    404: ("Not found", "The requested resource could not be found."),
    422: ("Input validation failed", "- input: prompt is required\n"),
    429: ("Request was throttled", "Request was throttled. Your rate limit resets in ~1s."),
}
NO_VERSION = Refusal(
    422,
    {
        "title": "Invalid version or not permitted",
        "detail": "The specified version does not exist (or perhaps you don't have permission to use it?)",
        "status": 422,
    },
)


def refuse(status: int, message: str | None) -> Json:
    """The problem details of a status."""
    title, usual = USUAL.get(status, ("Internal server error", "An internal error occurred."))
    return {"title": title, "detail": message or usual, "status": status}


def event(name: str, data: str, number: int) -> bytes:
    """A named event; each line of its data has a field of its own."""
    id = f"id: {int(datetime.now(UTC).timestamp() * 1000)}:{number}"
    return "\n".join([f"event: {name}", id, *(f"data: {row}" for row in data.split("\n")), "", ""]).encode()


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: what was wrong, and that this is why it is done."""
    words = message or "Prediction interrupted; please retry (code: PA)"
    return event("error", words, 0) + event("done", '{"reason":"error"}', 0)


MANNER = Manner(
    refuse,
    interrupt,
    lambda frame: frame.startswith(b"event: done\n"),
    frozenset({"input_token_count", "output_token_count"}),
)


class Carriers(dict[str, Manner]):
    """The paths at which an answer may be carried: those that make predictions, and the streams."""

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and (path.endswith("/predictions") or path.startswith(STREAMS))

    def __missing__(self, path: str) -> Manner:
        return MANNER


@dataclass(slots=True)
class Prediction:
    """One prediction: it changes while it runs, and tells whoever waits for that."""

    id: str
    model: str
    version: str
    input: Json
    urls: Json
    created_at: str
    status: str = "starting"
    output: list[str] = field(default_factory=list)
    error: str | None = None
    metrics: Json = field(default_factory=dict)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    task: asyncio.Task[None] | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self.status in OVER

    async def tell(self, **changes: Any) -> None:
        """Change, and wake who waits; what is over stays as it is."""
        if self.over:
            return
        async with self.changed:
            for name, value in changes.items():
                setattr(self, name, value)
            self.changed.notify_all()

    async def finished(self) -> None:
        """Returns when it is over."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.over)

    async def longer(self, told: int) -> list[str]:
        """The output after the pieces that were told, as soon as there is any; nothing at its end."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.over or len(self.output) > told)
        return self.output[told:]

    def shown(self, status: str | None = None) -> Json:
        """Its JSON; only what is over has metrics, and only what was not cancelled early an output."""
        names = ("id", "model", "version", "input", "urls", "created_at", "error")
        body = {name: getattr(self, name) for name in names}
        over = status is None and self.over
        more = {"metrics": self.metrics, "completed_at": _now()} if over else {}
        return {**body, "logs": "", "data_removed": False, "output": self.output or None, **more} | {
            "status": status or self.status
        }


class Desk:
    """Takes orders for predictions, runs them and shows how far they are."""

    def __init__(
        self, llama: Llama, key: str | None, models: Sequence[str], hold: float, boot: asyncio.Event | None
    ) -> None:
        self._llama = llama
        self._key = key
        self._models = models
        self._hold = hold
        self._boot = boot
        self.predictions: dict[str, Prediction] = {}

    async def of_model(self, request: Request) -> Response:
        """POST to an official model."""
        model = "{owner}/{name}".format(**request.path_params)
        return await self._make(request, model if model in self._models else None)

    async def of_deployment(self, request: Request) -> Response:
        """POST to a deployment."""
        known = "{owner}/{name}".format(**request.path_params) == DEPLOYMENT
        return await self._make(request, self._models[0] if known else None)

    async def of_version(self, request: Request) -> Response:
        """POST to a version."""
        return await self._make(request, self._models[0], VERSION)

    async def _make(self, request: Request, model: str | None, version: str | None = None) -> Response:
        if model is None:
            return respond(Refusal(404, refuse(404, None)))
        try:
            body = json.loads(await request.body())
            given = body["input"]
            if version is not None and body.get("version") != version:
                return respond(NO_VERSION)
        except (ValueError, KeyError, TypeError):
            return respond(Refusal(422, refuse(422, "- input is required\n")))
        if not isinstance(given, dict) or not isinstance(given.get("prompt"), str):
            return respond(Refusal(422, refuse(422, None)))
        made = self._started(request, model, version or f"dp-{bare_id(32)}", given, bool(body.get("stream")))
        return await self._held(request, made)

    def _started(self, request: Request, model: str, version: str, given: Json, stream: bool) -> Prediction:
        id, base = bare_id(26), str(request.base_url).rstrip("/")
        here = f"{base}{BASE}/predictions/{id}"
        urls = {"get": here, "cancel": f"{here}/cancel", "web": f"https://replicate.com/p/{id}"}
        if stream:  # another host, as in the real one
            urls["stream"] = f"{base.replace('127.0.0.1', 'localhost')}{STREAMS}{id}"
        made = self.predictions[id] = Prediction(id, model, version, given, urls, _now())
        made.task = asyncio.create_task(self._run(made))
        return made

    async def _held(self, request: Request, made: Prediction) -> Response:
        """At once, or after as long as the caller prefers to wait.

        What is done in that time is shown as `processing`, without metrics, and what is not as `starting`.
        """
        preferred = re.fullmatch(r"wait(?:=(\d+))?", request.headers.get("prefer", ""))
        if preferred is None:
            return as_json(made.shown("starting"), 201, _limits())
        try:
            async with asyncio.timeout(min(float(preferred[1] or HOLD), self._hold)):
                await made.finished()
        except TimeoutError:
            pass
        status = "failed" if made.status == "failed" else "processing" if made.over else "starting"
        return as_json(made.shown(status), 201, {**_limits(), "preference-applied": preferred[0]})

    async def _run(self, made: Prediction) -> None:
        """Speak, until done, refused or cancelled."""
        if self._boot is not None:
            await self._boot.wait()
        await made.tell(status="processing")
        try:
            async with aclosing(await self._llama.stream(chat(made.input))) as pieces:
                async for piece in pieces:
                    await self._said(made, piece)
        except LlamaError as error:
            words = f"This model's maximum context length is {error.context} tokens." if error.too_long else str(error)
            await made.tell(status="failed", error=words)
        await made.tell(status="succeeded")

    async def _said(self, made: Prediction, piece: Piece) -> None:
        if text := piece.body["choices"][0]["delta"].get("content"):
            made.output.append(text)
            await made.tell()
        if piece.usage is not None:
            counts = {"input_token_count": "prompt_tokens", "output_token_count": "completion_tokens"}
            tokens = {name: piece.usage[theirs] for name, theirs in counts.items()}
            await made.tell(metrics={**tokens, "predict_time": piece.timings.get("predicted_ms", 0.0) / 1000})

    async def look(self, request: Request) -> Response:
        """GET a prediction."""
        found = self.predictions.get(request.path_params["id"])
        return respond(Refusal(404, refuse(404, None))) if found is None else as_json(found.shown(), 200, _limits())

    async def cancel(self, request: Request) -> Response:
        """POST to end a prediction; one that is over stays as it is."""
        found = self.predictions.get(request.path_params["id"])
        if found is None:
            return respond(Refusal(404, refuse(404, None)))
        if found.task is not None:
            found.task.cancel()
        await found.tell(status="canceled")
        return as_json(found.shown(), 200, _limits())

    async def stream(self, request: Request) -> Response:
        """GET the output as it comes."""
        found = self.predictions.get(request.path_params["id"])
        if found is None:
            return respond(Refusal(404, refuse(404, None)))
        return Streamed(self._frames(found), "text/event-stream")

    async def _frames(self, made: Prediction) -> AsyncGenerator[bytes, None]:
        yield b": hi\n\n"
        told = 0
        while texts := await made.longer(told):
            for text in texts:
                yield event("output", text, told)
                told += 1
        if made.error is not None:
            yield event("error", made.error, told)
        reason = {"failed": '{"reason":"error"}', "canceled": '{"reason":"canceled"}'}
        yield event("done", reason.get(made.status, "{}"), told)

    async def collection(self, request: Request) -> Response:
        """GET the models that write."""
        rows = [{"owner": name.partition("/")[0], "name": name.partition("/")[2]} for name in self._models]
        return as_json({"name": "Language models", "slug": "language-models", "description": "", "models": rows})

    async def version(self, request: Request) -> Response:
        """GET a version, whose schema says that the output comes in pieces."""
        output = {"type": "array", "items": {"type": "string"}, "x-cog-array-type": "iterator"}
        schema = {"components": {"schemas": {"Output": {**output, "x-cog-array-display": "concatenate"}}}}
        facts = {"id": VERSION, "created_at": "2024-04-17T21:44:58.480057Z", "cog_version": "0.9.4"}
        return as_json({**facts, "openapi_schema": schema})

    def guarded(self, app: ASGIApp) -> ASGIApp:
        """The same for those with the right token only."""

        async def checked(scope: Scope, receive: Receive, send: Send) -> None:
            stranger = scope["type"] == "http" and self._key is not None
            if stranger and Request(scope).headers.get("authorization") != f"Bearer {self._key}":
                return await respond(Refusal(401, refuse(401, None)))(scope, receive, send)
            return await app(scope, receive, send)

        return checked

    async def close(self) -> None:
        """End all that still runs."""
        tasks = [made.task for made in self.predictions.values() if made.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _limits() -> dict[str, str]:
    return {"ratelimit-remaining": "599", "ratelimit-reset": "1"}


def chat(given: Json) -> Json:
    """The prompt as the chat it was made of, if it is Llama 3's template; else as a question."""
    prompt, system = given["prompt"], given.get("system_prompt")
    messages = [{"role": role.replace("ipython", "user"), "content": text} for role, text in TEMPLATE.findall(prompt)]
    if not messages:
        opening = [{"role": "system", "content": system}] if system else []
        messages = [*opening, {"role": "user", "content": prompt}]
    stops = [stop for stop in (given.get("stop_sequences") or "").split(",") if stop and stop not in OWN_STOPS]
    limit = given.get("max_tokens") or given.get("max_new_tokens") or DEFAULT_TOKENS
    same = {name: given[name] for name in SAME if name in given}
    return {"messages": messages, "max_tokens": limit, **same, **({"stop": stops} if stops else {})}


def app(
    llama_url: str,
    *,
    key: str | None = KEY,
    models: Sequence[str] = MODELS,
    script: Script | None = None,
    makings: Script | None = None,
    hold: float = HOLD,
    boot: asyncio.Event | None = None,
) -> ASGIApp:
    """A Replicate in front of the llama.cpp server at a URL.

    `script` meets what carries an answer: the making of a prediction that does not stream, else its stream; `makings`
    meets the making of those that do. Nothing is held for longer than `hold` seconds, and models start with `boot`.
    """
    llama = Llama(llama_url)
    desk = Desk(llama, key, models, hold, boot)
    inner = desk.guarded(_routed(desk, llama))
    carrying = (script or Script()).around(inner, Carriers({"": MANNER}))
    making = (makings or Script()).around(inner, Carriers({"": MANNER}))

    async def either(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].endswith("/predictions"):
            return await carrying(scope, receive, send)
        body = await Request(scope, receive).body()
        streams = b'"stream":true' in body.replace(b" ", b"")
        return await (making if streams else carrying)(scope, _again(body, receive), send)

    return either


def _again(body: bytes, receive: Receive) -> Receive:
    """The body once more, then whatever comes."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return left.pop() if left else await receive()

    return replayed


def _routed(desk: Desk, llama: Llama) -> Starlette:
    one = f"{BASE}/models/{{owner}}/{{name}}"
    routes = [
        Route(f"{one}/predictions", desk.of_model, methods=["POST"]),
        Route(f"{one}/versions/{VERSION}", desk.version),
        Route(f"{BASE}/deployments/{{owner}}/{{name}}/predictions", desk.of_deployment, methods=["POST"]),
        Route(f"{BASE}/predictions", desk.of_version, methods=["POST"]),
        Route(f"{BASE}/predictions/{{id}}", desk.look),
        Route(f"{BASE}/predictions/{{id}}/cancel", desk.cancel, methods=["POST"]),
        Route(f"{STREAMS}{{id}}", desk.stream),
        Route(f"{BASE}/collections/language-models", desk.collection),
    ]

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with llama:
            try:
                yield
            finally:
                await desk.close()

    return Starlette(routes=routes, lifespan=lifespan)
