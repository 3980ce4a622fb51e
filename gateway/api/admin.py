"""The admin plane: metrics, the policy, the backends, the last requests."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gateway.api.views import attempt_row, backend_rows, record_row
from gateway.config.live import LivePolicy
from gateway.policytools.explain import plan_json
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

    @app.get("/metrics")
    async def metrics(request: Request) -> Response:
        encoder, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(inside.registry), media_type=kind)

    @app.get("/admin/policy")
    async def policy() -> Json:
        current = inside.live.current
        return {
            "generation": current.generation,
            "file": str(inside.live.path or ""),
            "changed": inside.live.changed,
            "routes": [route.name for route in current.routes],
        }

    @app.post("/admin/policy/reload")
    async def reload() -> JSONResponse:
        if inside.live.path is None:
            raise HTTPException(409, "This gateway was started by `up` and has no policy file; serve one to reload it.")
        problems = inside.live.reload()
        body = {"generation": inside.live.current.generation, "problems": [problem.message for problem in problems]}
        return JSONResponse(body, 422 if problems else 200)

    @app.get("/admin/backends")
    async def backends() -> list[Json]:
        return backend_rows(inside.live.current, inside.book, inside.clock())

    @app.get("/admin/requests")
    async def requests(limit: int = Query(100, ge=1, le=1000)) -> list[Json]:
        return [record_row(record) for record in inside.requests.last(limit)]

    @app.get("/admin/requests/{id}")
    async def one_request(id: str) -> Json:
        record = inside.requests.get(id)
        if record is None:
            raise HTTPException(404, f"No request '{id[:64]}' among the last {inside.requests.kept}.")
        plan = None if record.plan is None else plan_json(record.plan)
        return {**record_row(record), "plan": plan, "attempts": [attempt_row(outcome) for outcome in record.attempts]}

    return app
