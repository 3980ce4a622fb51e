"""What the console opens with: the last minutes, what is in force, the models; and what happens from then on."""

import time
from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from gateway.api.admin_drafts import today
from gateway.api.admin_shapes import ModelRow, Overview
from gateway.api.answers import problems, told
from gateway.api.events import TOPICS, Broadcast, TooMany, counts, in_flight, policy_state
from gateway.api.problem import refusal
from gateway.api.views import model_row
from gateway.catalogue.retirement import stage
from gateway.routing.policy import Policy
from gateway.telemetry.pulse import Tick
from gateway.types import Deployment, Json

EVENTS = "text/event-stream"


def overview_router(broadcast: Broadcast) -> APIRouter:
    """The paths /admin/overview, /admin/models and /admin/events."""
    router = APIRouter(prefix="/admin")

    @router.get("/overview", response_model=Overview)
    async def overview() -> Response:
        """The last five minutes by the second, the sums since the start, and what is in force."""
        return told(overview_body(broadcast))

    @router.get("/models", response_model=list[ModelRow])
    async def models() -> Response:
        """The models of the policy: licence, retirement, successor, and where each is served."""
        return told(models_of(broadcast.live.current))

    @router.get(
        "/events", response_class=StreamingResponse, responses={200: {"content": {EVENTS: {}}}, **problems(422, 503)}
    )
    async def events(topics: Annotated[str, Query(max_length=100, pattern=r"^[a-z,]*$")] = "pulse,policy") -> Response:
        """Server-sent events of some topics: `pulse`, `requests`, `backends`, `policy`; a few a second at most."""
        wanted = TOPICS & frozenset(topics.split(","))
        try:
            stream = broadcast.follow(wanted)
        except TooMany as exc:
            return refusal(503, str(exc))
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(stream, headers=headers, media_type=EVENTS)

    return router


def overview_body(broadcast: Broadcast) -> Json:
    """The answer of /admin/overview; ticks are columns, the newest last."""
    live, book, pulse = broadcast.live, broadcast.book, broadcast.pulse
    columns = list(zip(*pulse.ticks, strict=True)) or [()] * len(Tick._fields)
    return {
        "at": time.time(),
        "in_flight": in_flight(book),
        "deployments": counts(live.current, book, broadcast.clock()),
        "totals": pulse.totals._asdict(),
        "ticks": {name: list(column) for name, column in zip(Tick._fields, columns, strict=True)},
        "policy": {**policy_state(live), "file": str(live.path or "")},
    }


def models_of(policy: Policy) -> list[Json]:
    """The models that are served, and what is true of each."""
    by_model: dict[str, list[Deployment]] = {}
    for deployment in policy.deployments:
        by_model.setdefault(deployment.model, []).append(deployment)
    return [
        {**model_row(policy.models[name], found), "served": [served(one) for one in found]}
        for name, found in sorted(by_model.items())
    ]


def served(deployment: Deployment) -> Json:
    """Where a model is served, and until when; prices in US dollars per million tokens."""
    price, retires = deployment.price, deployment.retires
    return {
        "deployment": deployment.name,
        "backend": deployment.backend,
        "id": deployment.id,
        "location": deployment.location,
        "region": deployment.region,
        "precision": deployment.precision,
        "context": deployment.context,
        "price": None if price is None else [price.input, price.output],
        "retires": None if retires is None else retires.isoformat(),
        "stage": None if retires is None else stage(retires, today()),
    }
