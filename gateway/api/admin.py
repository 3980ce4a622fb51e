"""The admin plane: metrics, the policy, the backends, the last requests, and the console."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from fastapi import FastAPI, Request, Response

from gateway.api.admin_backends import backends_router
from gateway.api.admin_cache import cache_router
from gateway.api.admin_callers import Office, callers_router
from gateway.api.admin_drafts import Desk, drafts_router
from gateway.api.admin_overview import overview_router
from gateway.api.admin_policy import policy_router
from gateway.api.admin_requests import requests_router
from gateway.api.admin_shapes import Problem
from gateway.api.admin_spend import spend_router
from gateway.api.answers import GUARDED, problems
from gateway.api.console import serve_console
from gateway.api.events import Broadcast
from gateway.api.past import Past
from gateway.api.problem import speak_problems
from gateway.catalogue import Catalogue
from gateway.config.live import LivePolicy
from gateway.routing.book import StatsBook
from gateway.stores.books import Books
from gateway.stores.cache import Cache
from gateway.stores.keyring import Keyring
from gateway.telemetry.exposition import Exposition
from gateway.telemetry.requests import RequestLog
from gateway.types import Json

ABOUT = (
    "Reads from this machine, `/metrics` and the console's files are free. Everything else needs the admin key as "
    "`Authorization: Bearer KEY`. Errors are problem documents (RFC 9457)."
)


@dataclass(frozen=True, slots=True)
class Inside:
    """What the admin plane may look into."""

    live: LivePolicy
    book: StatsBook
    requests: RequestLog
    metrics: Exposition
    clock: Callable[[], float]
    broadcast: Broadcast
    keyring: Keyring
    books: Books | None
    cache: Cache


def admin_app(inside: Inside) -> FastAPI:
    """The FastAPI app of the admin plane; its guard is around it."""
    app = FastAPI(
        title="Llama Gateway admin",
        description=ABOUT,
        openapi_url="/admin/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=problems(*GUARDED),
    )
    speak_problems(app)
    live, book, clock = inside.live, inside.book, inside.clock
    desk = Desk(live, book, inside.requests, clock, cache(Catalogue.load))
    app.include_router(policy_router(live))
    app.include_router(drafts_router(desk))
    app.include_router(backends_router(live, book, inside.broadcast.pulse, clock))
    app.include_router(requests_router(Past(inside.requests, None if inside.books is None else inside.books.state)))
    app.include_router(callers_router(Office(live, inside.keyring, inside.books)))
    app.include_router(cache_router(inside.cache))
    app.include_router(spend_router(inside.books))
    app.include_router(overview_router(inside.broadcast))

    @app.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def metrics(request: Request) -> Response:
        """Everything that Prometheus scrapes; open to whoever reaches the port."""
        headers = request.headers
        page = await inside.metrics.page(headers.get("accept", ""), headers.get("accept-encoding", ""))
        return Response(page.body, headers=page.headers)

    serve_console(app)
    describe(app)
    return app


def describe(app: FastAPI) -> None:
    """Complete the OpenAPI document: the shape of problems, and the key."""
    made = app.openapi

    def document() -> Json:
        if app.openapi_schema is None:
            schema = made()
            components = schema.setdefault("components", {})
            components.setdefault("schemas", {})[Problem.__name__] = Problem.model_json_schema()
            components["securitySchemes"] = {"admin_key": {"type": "http", "scheme": "bearer"}}
            for path in schema["paths"].values():
                for method, operation in path.items():
                    operation["security"] = [{"admin_key": []}, *([{}] if method == "get" else [])]
        return app.openapi_schema or {}

    app.openapi = document  # type: ignore[method-assign]  # as FastAPI's guide has it
