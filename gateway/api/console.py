"""The web console: a few static files, read once. They hold nothing of this gateway; what they show they ask for."""

from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import NamedTuple

from fastapi import FastAPI, Request, Response

FOLDER = "console"
KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
    "cache-control": "no-cache",
}


class Page(NamedTuple):
    """One file, ready to be sent."""

    body: bytes
    kind: str
    tag: str


def pages() -> dict[str, Page]:
    """The console's files by their path."""
    return dict(found(files("gateway").joinpath(FOLDER), "/console/"))


def found(folder: Traversable, path: str) -> list[tuple[str, Page]]:
    """The files of a folder and those below it."""
    pairs = []
    for one in folder.iterdir():
        kind = KINDS.get(one.name[one.name.rfind(".") :])
        if one.is_dir():
            pairs += found(one, f"{path}{one.name}/")
        elif kind is not None:
            body = one.read_bytes()
            pairs.append((path + one.name, Page(body, kind, f'"{sha256(body).hexdigest()[:20]}"')))
    return pairs


def serve_console(app: FastAPI) -> None:
    """Serve the console at `/`, its files below `/console/`; a browser asks each time and gets what has changed."""
    kept = pages()

    def page(request: Request, path: str) -> Response:
        one = kept.get(path)
        if one is None:
            return Response("There is no such file of the console.\n", 404, HEADERS, media_type="text/plain")
        headers = {**HEADERS, "etag": one.tag}
        if request.headers.get("if-none-match") == one.tag:
            return Response(status_code=304, headers=headers)
        return Response(one.body, headers={**headers, "content-type": one.kind})

    @app.get("/", include_in_schema=False)
    async def index(request: Request) -> Response:
        return page(request, "/console/index.html")

    @app.get("/console/{path:path}", include_in_schema=False)
    async def file(path: str, request: Request) -> Response:
        return page(request, f"/console/{path}")
