"""A dashboard as a picture: its panels, drawn as plain SVG from what Prometheus answered."""

import re
from collections.abc import Callable, Iterator, Sequence
from html import escape
from math import isfinite
from typing import Any, NamedTuple

from deploy.grafana.source.amounts import amount

CELL, LINE, GAP = 48, 34, 8  # pixels of a grid's column and line, and between panels
HEAD, FOOT, SIDE = 30, 36, 60  # of a panel: title, legend, axis
COLOURS = ("#5794f2", "#73bf69", "#ff9830", "#b877d9", "#f2495c", "#fade2a", "#37872d", "#8ab8ff", "#ffa6b0", "#9fa7b3")
STATES = {"green": "#73bf69", "yellow": "#fade2a", "red": "#f2495c"}
PAPER, CARD, INK, PALE = "#f4f5f5", "#ffffff", "#24292e", "#6e7681"
LETTER = 6.3  # pixels of one in a legend

Points = list[tuple[float, float]]  # Unix seconds, value


class Series(NamedTuple):
    """A line of a chart."""

    name: str
    points: Points


class Box(NamedTuple):
    """Where to draw, in pixels."""

    x: float
    y: float
    width: float
    height: float


Draw = Callable[[dict[str, Any], Sequence[Series], Box], Iterator[str]]


def picture(board: dict[str, Any], series: Callable[[dict[str, Any]], list[Series]]) -> str:
    """The SVG of a dashboard's JSON; `series` has the data of a panel."""
    panels = board["panels"]
    height = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in panels) * LINE + GAP
    width = 24 * CELL + GAP
    drawn = [part for panel in panels for part in shown(panel, series)]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    style = 'font-family="Inter, Helvetica, Arial, sans-serif" font-size="11"'
    return "\n".join([f"{head} {style}>", f'<rect width="100%" height="100%" fill="{PAPER}"/>', *drawn, "</svg>", ""])


def shown(panel: dict[str, Any], series: Callable[[dict[str, Any]], list[Series]]) -> Iterator[str]:
    """A panel, or the heading of a row."""
    where = panel["gridPos"]
    x, y = where["x"] * CELL + GAP, where["y"] * LINE + GAP
    if panel["type"] == "row":
        yield text(x, y + 20, panel["title"], INK, size=14, bold=True)
        return
    box = Box(x, y, where["w"] * CELL - GAP, where["h"] * LINE - GAP)
    yield f'<rect x="{x}" y="{y}" width="{box.width}" height="{box.height}" rx="3" fill="{CARD}" stroke="#d8d9da"/>'
    yield text(x + 10, y + 19, panel["title"], INK, size=12, bold=True)
    yield from DRAW[panel["type"]](panel, series(panel), box)


def text(x: float, y: float, words: str, colour: str, size: int = 11, bold: bool = False, anchor: str = "start") -> str:
    """A line of text."""
    weight = ' font-weight="600"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" text-anchor="{anchor}"{weight}>'
        f"{escape(words)}</text>"
    )


def colour_of(panel: dict[str, Any], value: float) -> str:
    """The colour of a value by the panel's limits."""
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    reached = [step for step in steps if step.get("value") is None or value >= step["value"]]
    return STATES[reached[-1]["color"]]


def unit_of(panel: dict[str, Any]) -> str:
    """The unit of a panel's values."""
    unit: str = panel["fieldConfig"]["defaults"]["unit"]
    return unit


def number(panel: dict[str, Any], series: Sequence[Series], box: Box) -> Iterator[str]:
    """The newest value, large."""
    last = [points[-1][1] for _, points in series if points]
    if last:
        words, colour = amount(last[0], unit_of(panel)), colour_of(panel, last[0])
        yield text(box.x + box.width / 2, box.y + box.height - 32, words, colour, size=30, bold=True, anchor="middle")


def bars(panel: dict[str, Any], series: Sequence[Series], box: Box) -> Iterator[str]:
    """The newest values, as bars."""
    share = unit_of(panel) == "percentunit"
    most = 1.0 if share else max([points[-1][1] for _, points in series if points], default=1.0) or 1.0
    for place, (name, points) in enumerate(one for one in series if one.points):
        y, value = box.y + HEAD + 10 + place * 40, points[-1][1]
        room = box.width - 100
        yield text(box.x + 10, y + 10, name, PALE)
        colour, width = colour_of(panel, value), room * value / most
        yield f'<rect x="{box.x + 10}" y="{y + 15}" width="{width:.1f}" height="14" fill="{colour}"/>'
        yield text(box.x + box.width - 10, y + 27, amount(value, unit_of(panel)), INK, anchor="end")


def states(panel: dict[str, Any], series: Sequence[Series], box: Box) -> Iterator[str]:
    """A coloured strip a series."""
    options = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    room = (box.height - HEAD - 10) / max(1, len(series))
    start, end = span(series)
    left = box.x + 10 + min(box.width / 2, LETTER * max([len(name) for name, _ in series], default=0))
    for place, (name, points) in enumerate(series):
        y = box.y + HEAD + place * room
        yield text(left - 6, y + room / 2 + 4, name, PALE, anchor="end")
        scale = (box.x + box.width - 10 - left) / (end - start)
        changes = [point for point, before in zip(points, [None, *points], strict=False) if not same(point, before)]
        for (at, value), (until, _) in zip(changes, [*changes[1:], (end, 0.0)], strict=True):
            colour = STATES[options[str(int(value))]["color"]]
            width = max(0.5, (until - at) * scale + 0.5)
            yield (
                f'<rect x="{left + (at - start) * scale:.1f}" y="{y + 2:.1f}" width="{width:.1f}" '
                f'height="{room - 4:.1f}" fill="{colour}"/>'
            )


def same(point: tuple[float, float], before: tuple[float, float] | None) -> bool:
    """Whether a value has not changed."""
    return before is not None and before[1] == point[1]


def curves(panel: dict[str, Any], series: Sequence[Series], box: Box) -> Iterator[str]:
    """Lines over time, or areas on top of one another."""
    custom = panel["fieldConfig"]["defaults"]["custom"]
    stacked = custom.get("stacking", {}).get("mode") == "normal"
    plot = Box(box.x + SIDE, box.y + HEAD, box.width - SIDE - 10, box.height - HEAD - FOOT)
    lines = piled(series) if stacked else list(series)
    most = max([value for _, points in lines for _, value in points], default=1.0) or 1.0
    start, end = span(lines)
    yield from axis(plot, most, unit_of(panel))
    colours = coloured(panel, series)
    for place in reversed(range(len(lines))):
        colour = colours[place]
        path = [
            f"{plot.x + (at - start) / (end - start) * plot.width:.1f},{plot.y + (1 - value / most) * plot.height:.1f}"
            for at, value in lines[place].points
        ]
        if stacked and path:
            floor = plot.y + plot.height
            first, last = path[0].split(",")[0], path[-1].split(",")[0]
            points = " ".join([f"{first},{floor}", *path, f"{last},{floor}"])
            yield f'<polygon points="{points}" fill="{colour}" fill-opacity="0.75"/>'
        yield f'<polyline points="{" ".join(path)}" fill="none" stroke="{colour}" stroke-width="1.4"/>'
    yield from legend([name for name, _ in series], colours, box)


def piled(series: Sequence[Series]) -> list[Series]:
    """Each line on top of those before it."""
    sums: dict[float, float] = {}
    lines = []
    for name, points in series:
        for at, value in points:
            sums[at] = sums.get(at, 0.0) + value
        lines.append(Series(name, [(at, sums[at]) for at, _ in points]))
    return lines


def axis(plot: Box, most: float, unit: str) -> Iterator[str]:
    """Three lines across, and their values."""
    for share in (0.0, 0.5, 1.0):
        y = plot.y + (1 - share) * plot.height
        yield f'<line x1="{plot.x}" y1="{y:.1f}" x2="{plot.x + plot.width}" y2="{y:.1f}" stroke="#e6e7e8"/>'
        yield text(plot.x - 5, y + 4, amount(most * share, unit), PALE, size=10, anchor="end")


def coloured(panel: dict[str, Any], series: Sequence[Series]) -> list[str]:
    """The colour of each series: the panel's own for its name, else one after the other."""
    own = {one["matcher"]["options"]: one["properties"][0] for one in panel["fieldConfig"]["overrides"]}
    return [
        own[name]["value"]["fixedColor"] if name in own else COLOURS[place % len(COLOURS)]
        for place, (name, _) in enumerate(series)
    ]


def legend(names: Sequence[str], colours: Sequence[str], box: Box) -> Iterator[str]:
    """The names of the lines, as many as have room in two lines."""
    x, y = box.x + 10, box.y + box.height - 20
    for place, name in enumerate(names):
        width = LETTER * len(name) + 24
        if x + width > box.x + box.width and x > box.x + 10:
            x, y = box.x + 10, y + 14
        if y > box.y + box.height:
            return
        yield f'<rect x="{x}" y="{y - 3}" width="10" height="3" fill="{colours[place]}"/>'
        yield text(x + 14, y + 1, name, PALE, size=10)
        x += width


def span(series: Sequence[Series]) -> tuple[float, float]:
    """The first and the last second of all the points; never the same."""
    times = [at for _, points in series for at, _ in points] or [0.0]
    return min(times), max(max(times), min(times) + 1.0)


def read(rows: Sequence[dict[str, Any]], legend_format: str) -> list[Series]:
    """The series of Prometheus's rows, named as Grafana would."""
    return [Series(named(row["metric"], legend_format), finite(row["values"])) for row in rows]


def named(labels: dict[str, str], legend_format: str) -> str:
    """A legend with its labels filled in."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1]) or "(none)", legend_format) or "value"


def finite(values: Sequence[Sequence[Any]]) -> Points:
    """The points that can be drawn."""
    points = [(float(at), float(value)) for at, value in values]
    return [(at, value) for at, value in points if isfinite(value)]


DRAW: dict[str, Draw] = {"timeseries": curves, "stat": number, "bargauge": bars, "state-timeline": states}
