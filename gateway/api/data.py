"""The data plane: a dispatcher that takes the hot path before the web framework sees it."""

import os

import structlog
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException

from gateway.api.chat import Exchange
from gateway.api.door import Door
from gateway.api.headers import error_headers
from gateway.api.intake import caller_of
from gateway.api.readiness import Readiness
from gateway.api.reply import Receive, Scope, Send
from gateway.api.views import model_rows
from gateway.dialects import openai
from gateway.engine.engine import Engine, not_served
from gateway.errors import GatewayError, UnknownPath

log = structlog.get_logger()
CHAT = frozenset({"/v1/chat/completions", "/chat/completions"})


class DataPlane:
    """The ASGI app of the port that callers use."""

    def __init__(self, engine: Engine, rest: FastAPI, door: Door) -> None:
        self.engine = engine
        self.door = door
        self.rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Chat goes straight to the engine, everything else to the framework."""
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"] in CHAT:
            await Exchange(self.engine, send, self.door).run(scope, receive)
        else:
            await self.rest(scope, receive, send)


def data_plane(engine: Engine, readiness: Readiness, door: Door) -> DataPlane:
    """The data plane of an engine."""
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(GatewayError, on_error)
    app.add_exception_handler(HTTPException, on_unknown_path)

    @app.get("/livez")
    async def livez() -> Response:
        return Response(b'{"status":"ok"}', media_type="application/json")

    @app.get("/readyz")
    async def readyz(request: Request) -> Response:
        return readiness.response("verbose" in request.query_params)

    @app.get("/v1/models")
    @app.get("/models")
    async def models(request: Request) -> dict[str, object]:
        policy = engine.policy()
        caller = caller_of(request.scope, request.headers, policy, door)
        return {"object": "list", "data": model_rows(policy, caller)}

    @app.get("/v1/models/{model:path}")
    @app.get("/models/{model:path}")
    async def model(model: str, request: Request) -> dict[str, object]:
        policy = engine.policy()
        rows = {row["id"]: row for row in model_rows(policy, caller_of(request.scope, request.headers, policy, door))}
        row = rows.get(model) or rows.get(policy.canonical(model) or "")
        if row is None:
            raise not_served(model, rows, {})
        return row

    return DataPlane(engine, app, door)


async def on_error(request: Request, error: Exception) -> Response:
    """One of our errors, in OpenAI's shape."""
    assert isinstance(error, GatewayError)
    return told(request, error, error.status)


async def on_unknown_path(request: Request, error: Exception) -> Response:
    """The framework's 404 and 405, in OpenAI's shape."""
    assert isinstance(error, HTTPException)
    known = UnknownPath(f"{request.method} {request.url.path[:100]} is not served here; see the README for the paths.")
    return told(request, known, error.status_code)


def told(request: Request, error: GatewayError, status: int) -> Response:
    """The answer to a request that failed, under an id by which the log knows it too."""
    id = f"req_{os.urandom(12).hex()}"
    log.info("request.refused", request=id, path=request.url.path[:100], status=status, error=error.error_type)
    headers = {name.decode(): value.decode() for name, value in error_headers(error)}
    headers["x-request-id"] = id
    return Response(openai.error_body(error, id), status, headers, media_type="application/json")
