"""The gauges of the gateway's state."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time

from gateway.config.live import LivePolicy
from gateway.routing.forecast import prior
from gateway.routing.stats import StatsBook
from gateway.telemetry.gauges import Reading


def readings(live: LivePolicy, book: StatsBook, clock: Callable[[], float]) -> Iterator[Reading]:
    """Everything that `/metrics` shows of the policy, the backends and the deployments as they are now."""
    yield from policy_readings(live)
    for backend in live.current.backends:
        yield Reading(
            "gateway_inflight_requests", "Requests in flight.", (("backend", backend),), book.in_flight.get(backend, 0)
        )
    yield from deployment_readings(live, book, clock())


def policy_readings(live: LivePolicy) -> Iterator[Reading]:
    """The state of the policy file."""
    yield Reading(
        "gateway_policy_reload_success", "1 unless the last policy file was refused.", (), 0.0 if live.problems else 1.0
    )
    yield Reading(
        "gateway_policy_generation", "1 for the generation in force.", (("generation", live.current.generation),), 1.0
    )
    yield Reading("gateway_policy_reload_timestamp_seconds", "When the policy was last taken over.", (), live.changed)


def deployment_readings(live: LivePolicy, book: StatsBook, now: float) -> Iterator[Reading]:
    """Health and expected latency of each deployment."""
    for deployment in live.current.deployments:
        labels = (("backend", deployment.backend), ("model", deployment.model))
        stats = book.of(deployment)
        up = now >= stats.ejected_until and now >= stats.resting_until
        yield Reading("gateway_backend_up", "1 unless the deployment is ejected or resting.", labels, float(up))
        ttft = prior(deployment).ttft if stats.ttft is None else stats.ttft
        yield Reading("gateway_predicted_ttft_seconds", "Expected time to the first token.", labels, ttft)
        if deployment.retires is not None:
            end = datetime.combine(deployment.retires, time(), UTC).timestamp()
            yield Reading("gateway_model_retires_timestamp_seconds", "When the model is switched off.", labels, end)
