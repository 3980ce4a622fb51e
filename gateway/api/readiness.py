"""Whether the gateway can take requests; asking never calls a provider."""

from collections.abc import Callable

from fastapi.responses import JSONResponse

from gateway.config.live import LivePolicy
from gateway.routing.book import StatsBook
from gateway.types import Json


class Readiness:
    """Ready while a policy is loaded, a deployment is usable, and the process is not ending."""

    def __init__(self, live: LivePolicy, book: StatsBook, clock: Callable[[], float]) -> None:
        self.live = live
        self.book = book
        self.clock = clock
        self.draining = False

    def response(self, verbose: bool) -> JSONResponse:
        """200 or 503; with reasons when they are asked for."""
        usable = self.usable()
        ready = bool(usable) and not self.draining
        body: Json = {"status": "draining" if self.draining else "ready" if ready else "no usable deployment"}
        if verbose:
            body |= {
                "policy": {
                    "generation": self.live.current.generation,
                    "pinned": self.live.pinned,
                    "last_reload": "refused" if self.live.problems else "ok",
                    "problems": [problem.message for problem in self.live.problems],
                },
                "deployments": {"usable": usable, "all": len(self.live.current.deployments)},
                "drained": sorted(self.book.drained),
            }
        return JSONResponse(body, 200 if ready else 503)

    def usable(self) -> int:
        """Deployments that are neither ejected nor resting."""
        now = self.clock()
        seen = [self.book.of(deployment) for deployment in self.live.current.deployments]
        return sum(stats.up(now) for stats in seen)
