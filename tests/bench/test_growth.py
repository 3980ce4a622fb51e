"""How growth is told, and that the cache's figures are of what they say."""

from pathlib import Path

import pytest

from . import chart
from .growth_cache import cache_cost
from .growth_report import Curve, Point, exponents, markdown, surprises, write

LINEAR = Curve(
    "bodies", "bytes", "CPU.", [Point(10, {"us": 2.0}), Point(100, {"us": 20.0}), Point(1000, {"us": 200.0})]
)
SQUARE = Curve(
    "streams", "streams", "KB.", [Point(10, {"KB": 1.0, "lost": 0.0}), Point(100, {"KB": 100.0, "lost": 0.0})]
)


def test_the_power_is_one_where_growth_is_linear_and_nought_where_there_is_none() -> None:
    assert exponents(LINEAR.line("us")) == pytest.approx([1, 1])
    assert exponents([(10, 5.0), (100, 5.0)]) == [0]
    assert exponents([(10, 0.0), (100, 5.0)]) == []


def test_what_grows_faster_than_its_size_is_named() -> None:
    assert surprises([LINEAR]) == []
    assert surprises([LINEAR, SQUARE]) == ["KB over streams grows with the power 2.00"]


def test_the_report_has_a_table_and_a_picture_of_each_curve(tmp_path: Path) -> None:
    text = markdown([LINEAR, SQUARE])
    assert "| us | 2.00 | 20.0 | 200 | 1.00 |" in text
    write([LINEAR, SQUARE], tmp_path / "growth")
    assert (tmp_path / "growth.svg").read_text().count("<polyline") == 3
    assert '"power 2.00' not in text and "power 2.00" in (tmp_path / "growth.json").read_text()


def test_a_tenfold_figure_is_as_much_longer_everywhere_in_a_chart() -> None:
    found = chart.block({"a": 10.0, "b": 100.0, "c": 1000.0}, 0, "red")
    a, b, c = (float(part.split('width="')[1].split('"')[0]) for part in found if part.startswith("<rect"))
    assert b - a == pytest.approx(c - b, abs=0.2)


def test_a_cache_is_measured_full() -> None:
    found = cache_cost(2_000)
    assert set(found) >= {"CPU us per hit", "CPU us per miss", "CPU us per new entry"}
    assert min(found.values()) >= 0
