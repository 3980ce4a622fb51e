"""Few numbers about few rounds: the median, and how far apart the rounds were."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

Round = Mapping[str, float]  # metric -> value, of one target in one round


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some rounds with the lowest and the highest."""

    median: float
    low: float
    high: float
    rounds: tuple[float, ...]


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the range of at least one value."""
    return Spread(median(values), min(values), max(values), tuple(values))


def spreads(rounds: Iterable[Round]) -> dict[str, Spread]:
    """Return the spread of every metric over the rounds that have it."""
    columns: dict[str, list[float]] = {}
    for measured in rounds:
        for metric, value in measured.items():
            columns.setdefault(metric, []).append(value)
    return {metric: spread(values) for metric, values in columns.items()}


def ratios(rounds: Sequence[Round | None], base: Sequence[Round | None]) -> dict[str, Spread]:
    """Return the spread of each metric divided by the base's in the same round, where both have it."""
    pairs = [(ours, theirs) for ours, theirs in zip(rounds, base, strict=True) if ours and theirs]
    return spreads({m: ours[m] / theirs[m] for m in ours if theirs.get(m)} for ours, theirs in pairs)


def added(measured: Round, direct: Round, metrics: Iterable[str]) -> dict[str, float]:
    """Return what a target adds to going without one, in the same round."""
    return {f"added_{m}": measured[m] - direct[m] for m in metrics if m in measured and m in direct}


def number(value: float) -> str:
    """Return a figure with about three digits that mean something."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def cell(found: Spread | None) -> str:
    """Return median (lowest-highest), or a dash where there is no figure."""
    if found is None:
        return "-"
    middle = number(found.median)
    return middle if len(found.rounds) == 1 else f"{middle} ({number(found.low)} to {number(found.high)})"
