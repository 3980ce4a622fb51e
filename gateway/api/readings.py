"""The gauges of the gateway's state."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time

from gateway.config.live import LivePolicy
from gateway.routing.book import StatsBook
from gateway.routing.breaker import State, state
from gateway.routing.forecast import prior
from gateway.telemetry.gauges import Reading

BREAKER_STATES: tuple[State, ...] = ("closed", "half_open", "open")  # by their number in the gauge


def readings(live: LivePolicy, book: StatsBook, clock: Callable[[], float]) -> Iterator[Reading]:
    """Everything that `/metrics` shows of the policy, the backends and the deployments as they are now."""
    yield from policy_readings(live)
    for backend in live.current.backends:
        yield Reading(
            "gateway_inflight_requests", "Requests in flight.", (("backend", backend),), book.in_flight.get(backend, 0)
        )
        drained = float(backend in book.drained)
        yield Reading("gateway_backend_drained", "1 while an operator drains it.", (("backend", backend),), drained)
    yield from load_readings(live, book)
    yield from route_readings(live, book)
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


def load_readings(live: LivePolicy, book: StatsBook) -> Iterator[Reading]:
    """What self-hosted servers say of their own work, where their kind tells and it is not old."""
    for deployment in live.current.deployments:
        load = book.loads.get(deployment.backend)
        if load is None:
            continue
        for signal, value in (("running", load.running), ("waiting", load.waiting), ("kv_usage", load.kv_usage)):
            labels = (("backend", deployment.backend), ("model", deployment.model), ("signal", signal))
            told = "Requests, and share of the cache in use, by the server."
            yield Reading("gateway_backend_load", told, labels, value)


def route_readings(live: LivePolicy, book: StatsBook) -> Iterator[Reading]:
    """What the routes' rules do."""
    errors = "Expressions of `when` that failed, so that the route did not match."
    for route in live.current.routes:
        labels = (("route", route.name),)
        count = book.expression_errors.get(route.name, 0)
        yield Reading("gateway_policy_expression_errors_total", errors, labels, count)
        if route.burst is not None:
            active = float(route.name in book.bursts)
            yield Reading("gateway_burst_active", "1 while the burst rule calls others.", labels, active)


def deployment_readings(live: LivePolicy, book: StatsBook, now: float) -> Iterator[Reading]:
    """Health and expected latency of each deployment."""
    for deployment in live.current.deployments:
        labels = (("backend", deployment.backend), ("model", deployment.model))
        stats = book.of(deployment)
        up = float(stats.up(now))
        yield Reading("gateway_backend_up", "1 unless the deployment is ejected or resting.", labels, up)
        number = BREAKER_STATES.index(state(stats.breaker, now))
        yield Reading("gateway_breaker_state", "0 closed, 1 half-open, 2 open.", labels, float(number))
        ttft = prior(deployment).ttft if stats.ttft is None else stats.ttft
        yield Reading("gateway_predicted_ttft_seconds", "Expected time to the first token.", labels, ttft)
        if deployment.retires is not None:
            end = datetime.combine(deployment.retires, time(), UTC).timestamp()
            yield Reading("gateway_model_retires_timestamp_seconds", "When the model is switched off.", labels, end)
