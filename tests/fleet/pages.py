"""A server that says what it is told to say, by path."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.demo.standins.serve import Served


def page(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Text or bytes as they are, anything else as JSON."""
    body = content if isinstance(content, str | bytes) else orjson.dumps(content)
    return Response(body, status, dict(headers or {}))


def pages(answers: Mapping[str, Any]) -> Served:
    """A server of these paths; 404 for the others."""

    async def answer(request: Request) -> Response:
        found = answers.get(request.url.path)
        if isinstance(found, Response):
            return page(found.body, found.status_code, found.headers)
        return page(found) if found is not None else page("Not Found", 404)

    return Served(Starlette(routes=[Route("/{path:path}", answer)]))


def models(*ids: str, owner: str = "openai", **more: Any) -> dict[str, Any]:
    """A list of models as OpenAI's API has it."""
    return {"object": "list", "data": [{"id": id, "object": "model", "owned_by": owner, **more} for id in ids]}
