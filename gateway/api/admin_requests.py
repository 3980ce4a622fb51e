"""The requests' part of the admin plane: the last ones, one's whole story, and all of them as a log."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Query, Response
from fastapi.responses import StreamingResponse

from gateway.api.admin_shapes import RequestRow, RequestStory
from gateway.api.answers import problems, told
from gateway.api.past import Past, counterfactual
from gateway.api.views import attempt_rows, record_row
from gateway.outcomes import Record
from gateway.policytools.explain import plan_json
from gateway.stores.request_file import Wanted
from gateway.types import Json

LINES = "application/jsonl"
ID = 64  # characters
Word = Annotated[str, Query(max_length=200, description="Only those; any without it.")]


def requests_router(past: Past) -> APIRouter:
    """The paths under /admin/requests."""
    router = APIRouter(prefix="/admin/requests")

    @router.get("", response_model=list[RequestRow], responses=problems(422))
    async def requests(
        limit: int = Query(100, ge=1, le=1000),
        before: str = Query("", max_length=64, description="The id of a request: only older ones."),
        since: float = Query(0.0, ge=0, allow_inf_nan=False, description="Unix time: none older than that."),
        route: Word = "",
        model: Word = "",
        backend: Word = "",
        caller: Word = "",
        outcome: Word = "",
    ) -> Response:
        """Requests, newest first: those in memory, then those of the days that the log is kept."""
        wanted = Wanted(route, model, backend, caller, outcome, since)
        return told([record_row(record) for record in await past.page(wanted, before, limit)])

    @router.get("/export", response_class=Response, responses={200: {"content": {LINES: {}}}})
    async def export() -> Response:
        """All requests that are kept, oldest first, as the JSON Lines that `llama-gateway diff --requests` reads."""
        return StreamingResponse(past.lines(), media_type=LINES)

    @router.get("/{id}", response_model=RequestStory, responses=problems(404))
    async def one_request(id: str) -> Response:
        """One request: its plan with every term and whoever is out, its attempts, what came of its copy."""
        found = await past.one(id[:ID])
        if found is None:
            raise HTTPException(404, f"No request '{id[:ID]}' among the last {past.log.kept}, nor in the log's file.")
        return told(story(*found))

    return router


def story(record: Record, shadow: Json | None) -> Json:
    """All that is known of a request; not a word of its prompt."""
    return {
        **record_row(record),
        "generation": record.generation,
        "overhead": dict(record.overhead),
        "plan": None if record.plan is None else plan_json(record.plan),
        "attempts": attempt_rows(record),
        "counterfactual": counterfactual(record),
        "shadow": shadow,
    }
