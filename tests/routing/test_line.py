"""A line through samples."""

import pytest

from gateway.routing.line import SLOPE_SPREAD, Line


def through(*points: tuple[float, float]) -> Line:
    line = Line()
    for x, y in points:
        line = line.and_one(x, y)
    return line


def test_slope_is_that_of_the_line_the_samples_lie_on() -> None:
    assert through(*[(x * 1000.0, 0.2 + x * 0.5) for x in range(5)]).slope() == pytest.approx(0.0005)


@pytest.mark.parametrize(
    "points",
    [(), ((1000.0, 1.0),), ((1000.0, 1.0), (1000.0 + SLOPE_SPREAD, 9.0)), ((0.0, 9.0), (10_000.0, 1.0))],
    ids=["none", "one", "too close to one another", "falling"],
)
def test_there_is_no_slope_where_the_samples_cannot_tell(points: tuple[tuple[float, float], ...]) -> None:
    assert through(*points).slope() == 0.0
