"""Says in the log what a breaker did, a line for each transition."""

import structlog

from gateway.routing.breaker import Transition
from gateway.types import Deployment

log = structlog.get_logger()


def turned(deployment: Deployment, transition: Transition | None) -> None:
    """A deployment's breaker has changed its state, or has not."""
    if transition is None:
        return
    where = {"deployment": deployment.name, "backend": deployment.backend, "model": deployment.model}
    if transition.state == "open":
        seconds = round(transition.seconds, 1)
        log.warning(
            "breaker.opened", **where, because=transition.because, seconds=seconds, openings=transition.openings
        )
    else:
        log.info(f"breaker.{transition.state}", **where)
