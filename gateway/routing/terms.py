"""What scores are made of: each term is a cost in natural units, to be kept small."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.routing.forecast import UNKNOWN_SIZE
from gateway.types import Deployment, Forecast


class Term(NamedTuple):
    """One thing to minimise; `scale` is the smallest difference worth acting on, in its unit."""

    name: str
    unit: str
    scale: float
    value: Callable[[Deployment, Forecast], float]


def cost(deployment: Deployment, forecast: Forecast) -> float:
    """Expected price of the request, in US dollars."""
    return forecast.usd


def latency(deployment: Deployment, forecast: Forecast) -> float:
    """Expected time to the last token, in seconds."""
    return forecast.seconds


def size(deployment: Deployment, forecast: Forecast) -> float:
    """Parameters of the model, in billions."""
    return UNKNOWN_SIZE if deployment.size is None else deployment.size


TERMS = (
    Term("cost", "USD", 1e-4, cost),
    Term("latency", "s", 0.05, latency),
    Term("size", "B", 0.5, size),
)


def to_best(values: Sequence[float], scale: float) -> list[float]:
    """Each value as a ratio to the smallest; differences far below the scale vanish."""
    best = min(values) + scale
    return [(value + scale) / best for value in values]
