"""The backends' part of the admin plane: how they are, and an operator's drain."""

from collections.abc import Callable

import structlog
from fastapi import APIRouter, HTTPException, Response

from gateway.api.admin_shapes import DeploymentRow, Drained
from gateway.api.answers import problems, told
from gateway.api.views import backend_rows
from gateway.config.live import LivePolicy
from gateway.routing.book import StatsBook
from gateway.telemetry.pulse import Pulse

log = structlog.get_logger()


class Drains:
    """Takes backends out of planning for an operator, and back in; a reload of the policy changes nothing of it."""

    def __init__(self, live: LivePolicy, book: StatsBook) -> None:
        self.live = live
        self.book = book

    def tell(self, backend: str, drained: bool) -> None:
        """Drain a backend, or enable it; raises LookupError for one that is not there."""
        before = self.book.drained
        if backend not in self.live.current.backends and backend not in before:
            raise LookupError(f"There is no backend '{backend[:64]}' in the policy; see GET /admin/backends.")
        after = before | {backend} if drained else before - {backend}
        self.book.drain(after, self.live.current.deployments)
        if after != before:
            log.info("backend.drained" if drained else "backend.enabled", backend=backend)


def backends_router(live: LivePolicy, book: StatsBook, pulse: Pulse, clock: Callable[[], float]) -> APIRouter:
    """The paths under /admin/backends."""
    router, drains = APIRouter(prefix="/admin/backends"), Drains(live, book)

    def turned(backend: str, drained: bool) -> Response:
        try:
            drains.tell(backend, drained)
        except LookupError as exc:
            raise HTTPException(404, str(exc)) from exc
        return told({"backend": backend, "drained": drained, "in_flight": book.in_flight.get(backend, 0)})

    @router.get("", response_model=list[DeploymentRow])
    async def backends() -> Response:
        """Every deployment of the policy as it is now."""
        return told(backend_rows(live.current, book, clock(), pulse.ttfts))

    @router.post("/{name}/drain", response_model=Drained, responses=problems(404))
    async def drain(name: str) -> Response:
        """Give a backend no new requests until it is enabled; what it has runs to its end."""
        return turned(name, True)

    @router.post("/{name}/enable", response_model=Drained, responses=problems(404))
    async def enable(name: str) -> Response:
        """Give a drained backend requests again."""
        return turned(name, False)

    return router
