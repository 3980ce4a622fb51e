"""The admin plane: metrics, the policy, the backends, the last requests."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI, HTTPException, Query, Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.api.admin_policy import policy_router
from gateway.api.views import attempt_row, backend_rows, record_row, shadow_row
from gateway.config.live import LivePolicy
from gateway.policytools.explain import plan_json
from gateway.policytools.logged import LoggedRequest, line_of
from gateway.routing.stats import StatsBook
from gateway.telemetry.requests import RequestLog
from gateway.types import Json


@dataclass(frozen=True, slots=True)
class Inside:
    """What the admin plane may look into."""

    live: LivePolicy
    book: StatsBook
    requests: RequestLog
    registry: CollectorRegistry
    clock: Callable[[], float]


def admin_app(inside: Inside) -> FastAPI:
    """The FastAPI app of the admin plane; its guard is around it."""
    app = FastAPI(title="Llama Gateway admin", docs_url=None, redoc_url=None)
    app.include_router(policy_router(inside.live))

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        encoder, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(inside.registry), media_type=kind)

    @app.get("/admin/backends")
    async def backends() -> list[Json]:
        return backend_rows(inside.live.current, inside.book, inside.clock())

    @app.get("/admin/requests")
    async def requests(limit: int = Query(100, ge=1, le=1000)) -> list[Json]:
        return [record_row(record) for record in inside.requests.last(limit)]

    @app.get("/admin/requests/export")
    async def export() -> Response:
        oldest_first = reversed(inside.requests.last(inside.requests.kept))
        lines = [line_of(LoggedRequest(record.sketch, record.id)) for record in oldest_first if record.sketch]
        return Response(b"".join(lines), media_type="application/jsonl")

    @app.get("/admin/requests/{id}")
    async def one_request(id: str) -> Json:
        record = inside.requests.get(id)
        if record is None:
            raise HTTPException(404, f"No request '{id[:64]}' among the last {inside.requests.kept}.")
        plan = None if record.plan is None else plan_json(record.plan)
        attempts, told = [attempt_row(outcome) for outcome in record.attempts], inside.requests.shadow(id)
        shadow = None if told is None else shadow_row(told)
        return {**record_row(record), "plan": plan, "attempts": attempts, "shadow": shadow}

    return app
