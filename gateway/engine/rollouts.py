"""Counts outcomes for arms of a split that grow by themselves, and says what that has changed."""

import structlog

from gateway.outcomes import Outcome
from gateway.routing.book import StatsBook
from gateway.routing.policy import Route

log = structlog.get_logger()


def rolled(route: Route, arm: str, book: StatsBook, outcome: Outcome) -> None:
    """An attempt for a request of an arm (of the route's own share when empty) is over.

    Where an arm has fallen back to the route's own deployments, that says nothing of the new model.
    """
    base = outcome.deployment.name in route.lane.names
    for one in route.arms:
        if one.rollout is None or arm not in (one.name, "") or (arm == one.name and base):
            continue
        before = book.share(route.name, one.name, one.rollout)
        progress = book.roll(route.name, one.name, one.rollout, outcome, base)
        share = progress.share(one.rollout)
        if progress.stopped and before:
            log.error("rollout.stopped", route=route.name, arm=one.name, because=progress.stopped, share=before)
        elif share != before:
            log.info("rollout.moved", route=route.name, arm=one.name, share=share, before=before)
