"""What scores are made of: each term is a cost in natural units, to be kept small."""

from collections.abc import Callable
from typing import NamedTuple

from gateway.routing.forecast import UNKNOWN_SIZE, Case


class Term(NamedTuple):
    """One thing to minimise; `scale` is the smallest difference worth acting on, in its unit."""

    name: str
    unit: str
    scale: float
    value: Callable[[Case], float]


def cost(case: Case) -> float:
    """Expected price of the request, in US dollars."""
    return case.forecast.usd


def latency(case: Case) -> float:
    """Expected time to the last token, in seconds."""
    return case.forecast.seconds


def size(case: Case) -> float:
    """Parameters of the model, in billions."""
    return UNKNOWN_SIZE if case.deployment.size is None else case.deployment.size


TERMS = (
    Term("cost", "USD", 1e-4, cost),
    Term("latency", "s", 0.05, latency),
    Term("size", "B", 0.5, size),
)
