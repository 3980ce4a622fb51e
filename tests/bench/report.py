"""The results as a Markdown table for people and as JSON for programs."""

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from . import chart, planning
from .adapters import section
from .cases import TITLES
from .stats import Round, Spread, cell, ratios, spreads

PREFERRED_BASE = "gateway"
CHARTED = ("cpu_us", "cpu_us_chunk_apart", "memory_mb")

Rounds = Mapping[str, Sequence[Round | None]]  # what was measured -> its rounds, none where one failed


@dataclass(frozen=True, slots=True)
class Report:
    """A finished benchmark: rounds per target (none where a round failed), what was left out, what went wrong."""

    options: Mapping[str, object]
    rounds: Rounds
    left_out: Mapping[str, str]
    problems: Sequence[str]
    adapters: Rounds = field(default_factory=dict)  # rounds per provider kind
    plans: Rounds = field(default_factory=dict)  # rounds per number of deployments
    versions: Mapping[str, str] = field(default_factory=dict)  # of the peers

    @property
    def base(self) -> str | None:
        """Return the target the others are compared with: the gateway, else the first that costs CPU."""
        costing = [name for name, rounds in self.rounds.items() if any("cpu_us" in (r or {}) for r in rounds)]
        return PREFERRED_BASE if PREFERRED_BASE in costing else next(iter(costing), None)

    def spreads(self) -> dict[str, dict[str, Spread]]:
        """Return target -> metric -> median and range."""
        return {name: spreads(r for r in rounds if r) for name, rounds in self.rounds.items()}

    def ratios(self) -> dict[str, dict[str, Spread]]:
        """Return target -> metric -> how many times the base's figure, round by round."""
        if self.base is None:
            return {}
        base = self.rounds[self.base]
        return {name: ratios(rounds, base) for name, rounds in self.rounds.items() if name != self.base}


def machine() -> dict[str, object]:
    """Return what the figures depend on besides the code."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def table(columns: Mapping[str, Mapping[str, Spread]], connections: object) -> str:
    """Return a Markdown table: a row a metric, a column a target."""
    head = f"| | {' | '.join(columns)} |\n|---|{'---|' * len(columns)}"
    rows = []
    for metric, title in TITLES.items():
        cells = [cell(found.get(metric)) for found in columns.values()]
        if any(text != "-" for text in cells):
            rows.append(f"| {title.format(many=connections)} | {' | '.join(cells)} |")
    return "\n".join([head, *rows])


def _notes(report: Report) -> list[str]:
    left = [f"- Left out: {name}: {reason}" for name, reason in report.left_out.items()]
    return left + [f"- **Not to be believed:** {problem}" for problem in report.problems]


def markdown(report: Report) -> str:
    """Return the whole report for people."""
    facts, many = machine(), report.options["connections"]
    asked = {name: value for name, value in report.options.items() if name != "targets"}
    told = ", ".join(
        f"{name.replace('_', ' ')} {value}" for name, value in (facts | asked | dict(report.versions)).items()
    )
    parts = [
        "# Benchmark",
        "Median over the rounds (lowest to highest). CPU is user + system time of the target's own processes.",
        f"{told}.",
    ]
    if report.rounds:
        parts.append(table(report.spreads(), many))
    if compared := report.ratios():
        parts += [f"## Times the figure of {report.base}, round by round", table(compared, many)]
    parts += section(report.adapters)
    parts += planning.section(report.plans)
    if notes := _notes(report):
        parts += ["## Notes", "\n".join(notes)]
    return "\n\n".join(parts) + "\n"


def charted(report: Report) -> dict[str, dict[str, float]]:
    """Return target -> metric -> median, of what the chart shows."""
    rows = {
        name: {metric: found[metric].median for metric in CHARTED if metric in found}
        for name, found in report.spreads().items()
    }
    return {name: row for name, row in rows.items() if row}


def as_json(report: Report) -> str:
    """Return the whole report for programs."""

    def plain(columns: Mapping[str, Mapping[str, Spread]]) -> dict[str, dict[str, object]]:
        return {name: {metric: asdict(found) for metric, found in row.items()} for name, row in columns.items()}

    whole = {
        "machine": machine(),
        "options": dict(report.options),
        "versions": dict(report.versions),
        "targets": plain(report.spreads()),
        "ratio_base": report.base,
        "ratios": plain(report.ratios()),
        "adapters": plain({kind: spreads(r for r in rounds if r) for kind, rounds in report.adapters.items()}),
        "plans": plain({count: spreads(r for r in rounds if r) for count, rounds in report.plans.items()}),
        "left_out": dict(report.left_out),
        "problems": list(report.problems),
    }
    return json.dumps(whole, indent=2) + "\n"


def write(report: Report, stem: Path) -> None:
    """Write STEM.md, STEM.json and STEM.svg."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{stem}.md").write_text(markdown(report))
    Path(f"{stem}.json").write_text(as_json(report))
    if bars := charted(report):
        Path(f"{stem}.svg").write_text(chart.bars(bars, {name: TITLES[name] for name in CHARTED}))
