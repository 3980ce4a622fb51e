"""Errors of the admin plane: problem documents (RFC 9457), whatever has raised them."""

from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from gateway.errors import GatewayError
from gateway.types import Json

KIND = "application/problem+json"


def problem(status: int, detail: str, **more: object) -> bytes:
    """A problem document: what kind of error by its status, what happened in a sentence, and what else is known."""
    body: Json = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return orjson.dumps({**body, **more})


def refusal(status: int, detail: str, **more: object) -> Response:
    """The same as an answer."""
    return Response(problem(status, detail, **more), status, media_type=KIND)


def speak_problems(app: FastAPI) -> None:
    """Let every error of an app be a problem document."""
    app.add_exception_handler(HTTPException, on_http)
    app.add_exception_handler(RequestValidationError, on_invalid)
    app.add_exception_handler(GatewayError, on_ours)
    app.add_exception_handler(Exception, on_defect)


async def on_http(request: Request, error: Exception) -> Response:
    """What the framework or a handler refuses."""
    assert isinstance(error, HTTPException)
    unsaid = error.detail == HTTPStatus(error.status_code).phrase
    said = f"{request.method} {request.url.path[:100]} is not served here; see GET /admin/openapi.json."
    answer = refusal(error.status_code, said if unsaid else error.detail)
    answer.headers.update(error.headers or {})
    return answer


async def on_invalid(request: Request, error: Exception) -> Response:
    """A parameter or a body that does not fit."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()[:5]]
    return refusal(422, f"The request does not fit: {'; '.join(found)}. See GET /admin/openapi.json.")


async def on_ours(request: Request, error: Exception) -> Response:
    """One of our own errors."""
    assert isinstance(error, GatewayError)
    return refusal(error.status, error.message, code=error.code)


async def on_defect(request: Request, error: Exception) -> Response:
    """Whatever should not have happened; the server logs it after this."""
    return refusal(500, "The gateway has a defect here. Its log has the reason; please report it.")
