"""What scores are made of: each term is a cost in natural units, to be kept small."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway.routing.stats import HALF_LIFE
from gateway.routing.view import View


class Term(NamedTuple):
    """One thing to minimise, as a column; `scale` is the smallest difference worth acting on, in its unit."""

    name: str
    unit: str
    scale: float
    values: Callable[[View], list[float]]


def cost(view: View) -> list[float]:
    """Expected price of the request, in US dollars."""
    return view.usd


def latency(view: View) -> list[float]:
    """Expected time to the last token, in seconds."""
    return view.seconds


def size(view: View) -> list[float]:
    """Parameters of the model, in billions."""
    return view.lane.sizes


def failures(view: View) -> list[float]:
    """Share of attempts that failed lately, half forgotten after HALF_LIFE."""
    now = view.now
    if not any(view.board.failing):
        return [0.0] * len(view.board.stats)
    return [
        share * 0.5 ** ((now - at) / HALF_LIFE) if share else 0.0
        for share, at in zip(view.board.failing, view.board.failed, strict=False)
    ]


TERMS = (
    Term("cost", "USD", 1e-4, cost),
    Term("latency", "s", 0.05, latency),
    Term("size", "B", 0.5, size),
    Term("failures", "share", 0.02, failures),
)


def to_best(values: Sequence[float], scale: float) -> list[float]:
    """Each value as a ratio to the smallest; differences far below the scale vanish."""
    best = min(values) + scale
    return [(value + scale) / best for value in values]
