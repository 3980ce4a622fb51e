"""The queries of the committed dashboards, as Grafana would send them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"
INTERVAL = "5s"  # for `$__rate_interval`: Grafana takes four scrapes at the least
BUILT_IN = ("__rate_interval", "__interval", "__range")


class Asked(NamedTuple):
    """A query of a panel."""

    board: str
    panel: str
    unit: str
    expr: str
    legend: str = ""

    @property
    def name(self) -> str:
        """What a test calls it."""
        return f"{self.board}: {self.panel}: {self.legend or 'value'}"


def dashboard(path: Path) -> dict[str, Any]:
    """A dashboard's JSON."""
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def panels(board: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Its panels, without the headings of rows."""
    return (panel for panel in board["panels"] if panel["type"] != "row")


def filled(expression: str, board: dict[str, Any]) -> str:
    """An expression with the variables of its dashboard set to all."""
    every = {one["name"]: one.get("allValue", ".*") for one in board["templating"]["list"]}
    expression = expression.replace("$__rate_interval", INTERVAL)
    return re.sub(r"\$(\w+)", lambda found: every[found[1]], expression)


def queries() -> list[Asked]:
    """Every query of every panel of every dashboard."""
    return [
        Asked(
            path.stem,
            panel["title"],
            panel["fieldConfig"]["defaults"]["unit"],
            filled(target["expr"], board),
            target.get("legendFormat", ""),
        )
        for path in sorted(DASHBOARDS.glob("*.json"))
        for board in [dashboard(path)]
        for panel in panels(board)
        for target in panel["targets"]
    ]
