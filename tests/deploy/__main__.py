"""Draws the dashboards under traffic for the README: `python -m tests.deploy` writes deploy/grafana/pictures/*.svg."""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from deploy.grafana.source.picture import Series, picture, read
from tests.deploy.conftest import RULES
from tests.deploy.fleet import fleet
from tests.deploy.queries import DASHBOARDS, dashboard, filled
from tests.deploy.traffic import Traffic
from tests.prometheus_server import Prometheus, prometheus

SECONDS = 60.0
STEP = 1.0
PICTURES = DASHBOARDS.with_name("pictures")


def draw(asked: Prometheus, start: float, end: float) -> None:
    """Write a picture of each dashboard."""
    PICTURES.mkdir(exist_ok=True)
    for path in sorted(DASHBOARDS.glob("*.json")):
        board = dashboard(path)

        def series(panel: dict[str, Any], board: dict[str, Any] = board) -> list[Series]:
            return [
                one
                for target in panel["targets"]
                for one in read(
                    asked.over(filled(target["expr"], board), start, end, STEP), target.get("legendFormat", "")
                )
            ]

        PICTURES.joinpath(f"{path.stem}.svg").write_text(picture(board, series))


def main() -> int:
    """Traffic for a minute, then the pictures."""
    with (
        tempfile.TemporaryDirectory() as directory,
        fleet(Path(directory)) as running,
        prometheus(Path(directory), running.targets, RULES) as asked,
    ):
        traffic = Traffic(running)
        while asked.now("count(up == 1)") != [float(len(running.targets))]:
            traffic.round()
        start = time.time() + 5
        while time.time() < start + SECONDS:
            traffic.round()
        for _ in range(5):
            traffic.without_store()
        draw(asked, start, time.time())
    return 0


if __name__ == "__main__":
    sys.exit(main())
