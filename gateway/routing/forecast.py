"""What one deployment is expected to do for one request: tokens, US dollars, seconds."""

from typing import NamedTuple

from gateway.routing.policy import Route
from gateway.routing.stats import Stats, StatsBook
from gateway.types import ChatRequest, Deployment, Forecast

START_TTFT = 0.3  # seconds, for a deployment never seen
START_PER_TOKEN = 0.005  # seconds a token ...
START_PER_BILLION = 0.0002  # ... and as much more for each billion parameters
UNKNOWN_SIZE = 70.0  # billions of parameters, for a model nobody described
UNKNOWN_PRICE = 10.0  # US dollars per million tokens: dear, so that it is never chosen for being free
HALF_LIFE = 60.0  # seconds after which a measured latency is half forgotten
FRESH = 10.0  # seconds for which it is taken as it is


class Latency(NamedTuple):
    """Seconds to the first token, and per further token."""

    ttft: float
    per_token: float


class Case(NamedTuple):
    """One deployment considered for one request: all that filters and terms may look at."""

    request: ChatRequest
    route: Route
    deployment: Deployment
    stats: Stats
    forecast: Forecast
    in_flight: int
    now: float
    tier: int


def prior(deployment: Deployment) -> Latency:
    """Latency of a deployment never seen, from the size of its model."""
    billions = UNKNOWN_SIZE if deployment.size is None else deployment.size
    return Latency(START_TTFT, START_PER_TOKEN + START_PER_BILLION * billions)


def believed(deployment: Deployment, stats: Stats, best: Latency | None, now: float) -> Latency:
    """The latency to count with: as measured while fresh, then drifting to the `best` of the same model's deployments.

    That drift is what gives a deployment that was slow once another try; an unseen one starts as good as the best.
    """
    if stats.ttft is None:
        return prior(deployment) if best is None else best
    seen = Latency(stats.ttft, prior(deployment).per_token if stats.per_token is None else stats.per_token)
    age = now - stats.seen
    if age < FRESH or best is None:
        return seen
    kept = 0.5 ** (age / HALF_LIFE)
    return Latency(
        kept * seen.ttft + (1 - kept) * min(seen.ttft, best.ttft),
        kept * seen.per_token + (1 - kept) * min(seen.per_token, best.per_token),
    )


def best_by_model(route: Route, book: StatsBook) -> dict[str, Latency]:
    """For each model of a route, the best latency that any of its deployments has shown."""
    best: dict[str, Latency] = {}
    for candidate in route.candidates:
        deployment = candidate.deployment
        stats = book.of(deployment)
        if stats.ttft is not None and (deployment.model not in best or stats.ttft < best[deployment.model].ttft):
            best[deployment.model] = Latency(stats.ttft, stats.per_token or prior(deployment).per_token)
    return best


def forecast(
    request: ChatRequest, deployment: Deployment, latency: Latency, flying: int, correction: float, expected: float
) -> Forecast:
    """Forecast of a request at one deployment.

    `flying` requests are at its backend, `correction` is true prompt tokens by estimated ones, `expected` the
    completion that the route lately had, in tokens. A busy backend answers its first token later, and beyond its
    slots a request waits for one of them.
    """
    prompt = int(request.prompt_tokens * correction)
    output = int(expected if request.max_tokens is None else min(expected, request.max_tokens))
    ttft, rest = latency.ttft, latency.per_token * output
    if flying:
        busy = flying / deployment.slots
        wait = 0.0 if busy < 1.0 else (busy - 1.0 + 1.0 / deployment.slots) * (ttft + rest)
        ttft = ttft * (1.0 + busy) + wait
    return Forecast(prompt, output, dollars(deployment, prompt, output), ttft, ttft + rest)


def dollars(deployment: Deployment, prompt: float, output: float) -> float:
    """Marginal price of a request: own hardware is paid for anyway, an unknown price counts as a dear one."""
    if deployment.price is not None:
        return deployment.price.of(prompt, output)
    return 0.0 if deployment.location == "self_hosted" else (prompt + output) * UNKNOWN_PRICE / 1e6
