"""Charts as SVG, written by hand: bars on a logarithmic scale, and curves on two."""

from collections.abc import Mapping, Sequence
from html import escape
from math import ceil, floor, log10

from .stats import number

WIDTH, LABEL, BAR, GAP, MARGIN = 720, 130, 18, 6, 16
COLOURS = ("#3b6ea8", "#c05a2e", "#4d8c57", "#8a5a9e", "#9a7b1f", "#5d6b78", "#a83b5c")
INK = "#555"
PLOT = (360, 300, 56, 30)  # width, height, space on the left and at the bottom
STYLE = f"<style>text{{font:12px sans-serif;fill:{INK}}}.t{{font-weight:bold}}</style>"


def svg(width: float, height: float, parts: Sequence[str]) -> str:
    """Return a whole picture."""
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:g}" height="{height:g}" role="img">'
    return "\n".join([head, STYLE, *parts, "</svg>"]) + "\n"


def text(x: float, y: float, words: str, more: str = "") -> str:
    """Return some words."""
    return f'<text x="{x:.1f}" y="{y:.1f}" {more}>{escape(words)}</text>'


def bars(rows: Mapping[str, Mapping[str, float]], titles: Mapping[str, str]) -> str:
    """Return a block for each metric with a bar for each target; a tenfold figure is as much longer everywhere."""
    parts: list[str] = []
    y = float(MARGIN)
    for at, (metric, title) in enumerate(titles.items()):
        found = {name: row[metric] for name, row in rows.items() if row.get(metric, 0) > 0}
        if found:
            parts.append(text(MARGIN, y + 12, f"{title} (logarithmic)", 'class="t"'))
            parts += block(found, y + 22, COLOURS[at % len(COLOURS)])
            y += 22 + len(found) * (BAR + GAP) + 2 * MARGIN
    return svg(WIDTH, y, parts)


def block(found: Mapping[str, float], top: float, colour: str) -> list[str]:
    """Return the bars of one metric."""
    low = 10 ** floor(log10(min(found.values())) - 0.3)
    span = log10(max(found.values()) / low)
    room = WIDTH - LABEL - 2 * MARGIN - 70
    parts = []
    for index, (name, value) in enumerate(found.items()):
        y, length = top + index * (BAR + GAP), room * log10(value / low) / span
        parts.append(text(MARGIN, y + 13, name))
        parts.append(f'<rect x="{LABEL}" y="{y:.1f}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>')
        parts.append(text(LABEL + length + 6, y + 13, number(value)))
    return parts


def curves(plots: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]) -> str:
    """Return a plot for each title, two in a row, with a line for each name; both scales are logarithmic."""
    width, height = PLOT[:2]
    parts = [
        f'<g transform="translate({index % 2 * width},{index // 2 * height})">{plot(title, lines)}</g>'
        for index, (title, lines) in enumerate(plots.items())
    ]
    return svg(2 * width, ceil(len(plots) / 2) * height, parts)


def plot(title: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Return one plot."""
    points = [point for line in lines.values() for point in line if min(point) > 0]
    if not points:
        return text(MARGIN, 18, f"{title}: nothing was measured", 'class="t"')
    width, height, left, bottom = PLOT
    across, up = scale([x for x, _ in points], left, width - MARGIN), scale([y for _, y in points], height - bottom, 40)
    parts = [text(left, 18, title, 'class="t"'), *axes(across, up)]
    for index, (name, line) in enumerate(lines.items()):
        colour, good = COLOURS[index % len(COLOURS)], [point for point in line if min(point) > 0]
        path = " ".join(f"{place(x, across):.1f},{place(y, up):.1f}" for x, y in good)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{place(x, across):.1f}" cy="{place(y, up):.1f}" r="3" fill="{colour}"/>' for x, y in good
        ]
        parts.append(text(left + 4, 34 + 14 * index, name, f'style="fill:{colour}"'))
    return "".join(parts)


Scale = tuple[float, float, float, float]  # lowest and highest power of ten, and where they are


def scale(values: Sequence[float], first: float, last: float) -> Scale:
    """Return the whole powers of ten around some values."""
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1), first, last


def place(value: float, on: Scale) -> float:
    """Return where a value is."""
    low, high, first, last = on
    return first + (log10(value) - low) / (high - low) * (last - first)


def axes(across: Scale, up: Scale) -> list[str]:
    """Return a line and a number at each power of ten."""
    _, height, left, bottom = PLOT
    parts = []
    for power in range(int(across[0]), int(across[1]) + 1):
        x = place(10.0**power, across)
        parts.append(f'<line x1="{x:.1f}" x2="{x:.1f}" y1="40" y2="{height - bottom}" stroke="#ddd"/>')
        parts.append(text(x, height - bottom + 16, f"{10.0**power:,g}", 'text-anchor="middle"'))
    for power in range(int(up[0]), int(up[1]) + 1):
        y = place(10.0**power, up)
        parts.append(f'<line x1="{left}" x2="{across[3]}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(text(left - 4, y + 4, f"{10.0**power:,g}", 'text-anchor="end"'))
    return parts
