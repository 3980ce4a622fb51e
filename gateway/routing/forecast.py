"""What one deployment is expected to do for one request: tokens, US dollars, seconds."""

from typing import NamedTuple

from gateway.routing.stats import HALF_LIFE, Stats
from gateway.types import Deployment

START_TTFT = 0.3  # seconds, for a deployment never seen
START_PER_TOKEN = 0.005  # seconds a token ...
START_PER_BILLION = 0.0002  # ... and as much more for each billion parameters
UNKNOWN_SIZE = 70.0  # billions of parameters, for a model nobody described
UNKNOWN_PRICE = 10.0  # US dollars per million tokens: dear, so that it is never chosen for being free
FRESH = 10.0  # seconds for which it is taken as it is


class Latency(NamedTuple):
    """Seconds to the first token, and per further token."""

    ttft: float
    per_token: float


class Rate(NamedTuple):
    """US dollars a token: of the prompt, of a prompt in the prefix cache, of the completion."""

    input: float
    cached: float
    output: float


def rate(deployment: Deployment) -> Rate:
    """Marginal price of a token: own hardware is paid for anyway, an unknown price counts as a dear one."""
    price = deployment.price
    if price is not None:
        cached = price.input if price.cached_input is None else price.cached_input
        return Rate(price.input / 1e6, cached / 1e6, price.output / 1e6)
    if deployment.location == "self_hosted":
        return Rate(0.0, 0.0, 0.0)
    return Rate(UNKNOWN_PRICE / 1e6, UNKNOWN_PRICE / 1e6, UNKNOWN_PRICE / 1e6)


def prior(deployment: Deployment) -> Latency:
    """Latency of a deployment never seen, from the size of its model."""
    billions = UNKNOWN_SIZE if deployment.size is None else deployment.size
    return Latency(START_TTFT, START_PER_TOKEN + START_PER_BILLION * billions)


def measured(deployment: Deployment, stats: Stats, prompt: float) -> Latency:
    """What was measured of a deployment that has been seen, for a prompt of so many tokens."""
    per_token = prior(deployment).per_token if stats.per_token is None else stats.per_token
    return Latency(stats.first_token(prompt), per_token)


def believed(seen: Latency, best: Latency | None, age: float) -> Latency:
    """The latency to count with: as measured while fresh, then drifting to the `best` of the same model's deployments.

    That drift is what gives a deployment that was slow once another try.
    """
    if age < FRESH or best is None:
        return seen
    kept = 0.5 ** (age / HALF_LIFE)
    return Latency(
        kept * seen.ttft + (1 - kept) * min(seen.ttft, best.ttft),
        kept * seen.per_token + (1 - kept) * min(seen.per_token, best.per_token),
    )


def queued(ttft: float, rest: float, flying: int, slots: int) -> float:
    """Seconds to the first token at a backend whose slots are all taken by the `flying` requests, of `ttft` when idle.

    A busy backend answers its first token later, and beyond its slots a request waits for one of them; `rest` is
    what follows a first token.
    """
    busy = flying / slots
    return ttft * (1.0 + busy) + (busy - 1.0 + 1.0 / slots) * (ttft + rest)
