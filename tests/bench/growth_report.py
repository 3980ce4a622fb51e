"""The curves as tables, JSON and a picture, and whether one is steeper than it may be."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import log
from pathlib import Path

from . import chart
from .report import machine
from .stats import number

STEEP = 1.15  # the exponent from which on growth is worse than linear, with room for noise
FLOOR = 0.05  # below this a figure is too small to have a slope


@dataclass(frozen=True, slots=True)
class Point:
    """What was measured at one size."""

    size: int
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Curve:
    """Figures over growing sizes."""

    name: str
    over: str  # what grows
    about: str
    points: Sequence[Point]

    def line(self, figure: str) -> list[tuple[float, float]]:
        """The points of one figure."""
        return [(point.size, point.figures[figure]) for point in self.points if figure in point.figures]

    @property
    def names(self) -> tuple[str, ...]:
        """Its figures."""
        return tuple(self.points[0].figures) if self.points else ()


def exponents(line: Sequence[tuple[float, float]]) -> list[float]:
    """From point to point, the power of the size with which a figure grows: 1 is linear, 0 does not grow."""
    return [log(y2 / y1) / log(x2 / x1) for (x1, y1), (x2, y2) in pairwise(line) if min(y1, y2) > FLOOR]


def surprises(curves: Sequence[Curve]) -> list[str]:
    """Figures that somewhere grow faster than their size."""
    return [
        f"{figure} over {curve.over} grows with the power {worst:.2f}"
        for curve in curves
        for figure in curve.names
        if (worst := max(exponents(curve.line(figure)), default=0.0)) > STEEP
    ]


def table(curve: Curve) -> str:
    """A row a figure, a column a size, and the steepest power between two of them."""
    head = [f"| {curve.over} | {' | '.join(f'{point.size:,}' for point in curve.points)} | steepest power |"]
    rows = ["|---|" + "---|" * (len(curve.points) + 1)]
    for figure in curve.names:
        cells = [number(value) for _, value in curve.line(figure)]
        steepest = max(exponents(curve.line(figure)), default=None)
        rows.append(f"| {figure} | {' | '.join(cells)} | {'-' if steepest is None else f'{steepest:.2f}'} |")
    return "\n".join(head + rows)


def markdown(curves: Sequence[Curve]) -> str:
    """The whole report for people."""
    told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in machine().items())
    parts = ["# How cost grows", f"{told}. A power of 1 is linear, 0 does not grow."]
    for curve in curves:
        parts += [f"## {curve.name.capitalize()}", curve.about, table(curve)]
    found = surprises(curves)
    parts += ["## Worse than linear", "\n".join(f"- {one}" for one in found) or "Nothing."]
    return "\n\n".join(parts) + "\n"


def write(curves: Sequence[Curve], stem: Path) -> None:
    """Write STEM.md, STEM.json and STEM.svg."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}.md").write_text(markdown(curves))
    whole = {"machine": machine(), "curves": [asdict(curve) for curve in curves], "surprises": surprises(curves)}
    Path(f"{stem}.json").write_text(json.dumps(whole, indent=2) + "\n")
    plots = {f"{curve.name} (over {curve.over})": {name: curve.line(name) for name in curve.names} for curve in curves}
    Path(f"{stem}.svg").write_text(chart.curves(plots))
