"""Dashboards as pictures."""

from typing import Any
from xml.etree import ElementTree

import pytest

from deploy.grafana.source.amounts import amount
from deploy.grafana.source.picture import Series, coloured, finite, named, picture
from tests.deploy.queries import DASHBOARDS, dashboard

BOARDS = sorted(DASHBOARDS.glob("*.json"))
SVG = "{http://www.w3.org/2000/svg}"


def some(panel: dict[str, Any]) -> list[Series]:
    """Two series for whatever panel."""
    return [Series("a <b>", [(0.0, 0.0), (1.0, 1.0)]), Series("c", [(0.0, 1.0), (1.0, 1.0)])]


@pytest.mark.parametrize("series", [some, lambda panel: []], ids=["data", "none"])
@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_every_panel_is_drawn_with_its_title_with_and_without_data(path: Any, series: Any) -> None:
    board = dashboard(path)
    drawn = ElementTree.fromstring(picture(board, series))
    words = {element.text for element in drawn.iter(f"{SVG}text")}
    assert {panel["title"] for panel in board["panels"]} <= words


@pytest.mark.parametrize("path", BOARDS, ids=lambda path: path.stem)
def test_picture_of_each_dashboard_is_committed_and_has_all_its_panels(path: Any) -> None:
    drawn = ElementTree.parse(DASHBOARDS.with_name("pictures") / f"{path.stem}.svg")
    words = {element.text for element in drawn.iter(f"{SVG}text")}
    assert {panel["title"] for panel in dashboard(path)["panels"]} <= words


@pytest.mark.parametrize(
    ("value", "unit", "words"),
    [
        (0.0, "s", "0 s"),
        (0.000_25, "s", "250 us"),
        (0.25, "s", "250 ms"),
        (90.0, "s", "90 s"),
        (600.0, "s", "10 min"),
        (0.125, "percentunit", "12.5 %"),
        (1.5, "currencyUSD", "$1.5"),
        (12_345.0, "currencyUSD", "$12.3k"),
        (2_500_000.0, "short", "2.5M"),
        (8.06, "d", "8.06 days"),
        (27.7, "reqps", "27.7 req/s"),
    ],
)
def test_values_are_written_as_people_read_them(value: float, unit: str, words: str) -> None:
    assert amount(value, unit) == words


def test_legend_fills_in_labels_and_says_where_there_is_none() -> None:
    assert named({"route": "chat"}, "{{route}} at {{backend}}") == "chat at (none)"
    assert named({}, "") == "value"


def test_points_that_are_no_numbers_are_left_out() -> None:
    assert finite([[1, "NaN"], [2, "3"], [3, "+Inf"]]) == [(2.0, 3.0)]


def test_outcomes_keep_their_colours() -> None:
    panel = next(one for one in dashboard(DASHBOARDS / "overview.json")["panels"] if "outcome" in one["title"])
    first, second = (
        coloured(panel, [Series(name, []) for name in names]) for names in (("success",), ("x", "success"))
    )
    assert first[0] == second[1]
