"""The dashboards as they are committed."""

import re
from typing import Any

import pytest

from deploy.grafana.source.__main__ import BOARDS, stale
from tests.deploy.queries import DASHBOARDS, dashboard, panels


def test_committed_dashboards_are_what_the_code_makes() -> None:
    assert [path.name for path in stale()] == []
    assert {path.stem for path in DASHBOARDS.glob("*.json")} == {board.file for board in BOARDS}


@pytest.mark.parametrize("path", sorted(DASHBOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_every_panel_says_what_to_do_and_lies_within_the_grid(path: Any) -> None:
    board = dashboard(path)
    taken: set[tuple[int, int]] = set()
    for panel in panels(board):
        where = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(where["x"], where["x"] + where["w"])
            for y in range(where["y"], where["y"] + where["h"])
        }
        assert len(panel["description"]) > 20
        assert panel["datasource"]["uid"] == "${datasource}"
        assert where["x"] + where["w"] <= 24
        assert not cells & taken
        taken |= cells
    assert board["templating"]["list"][0]["type"] == "datasource"


@pytest.mark.parametrize("path", sorted(DASHBOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_rates_fit_every_scrape_interval(path: Any) -> None:
    for target in (target for panel in panels(dashboard(path)) for target in panel["targets"]):
        assert re.findall(r"\[(.*?)\]", target["expr"]) == ["$__rate_interval"] * target["expr"].count("[")
