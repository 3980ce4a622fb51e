"""A breaker's transitions are lines of the log."""

import structlog

from gateway.engine.transitions import turned
from gateway.routing.book import StatsBook
from gateway.routing.breaker import CLOSED, HALF_OPEN, Transition
from tests.routing.samples import deployment, outcome

GPU = deployment("gpu-a")
WHERE = {"deployment": GPU.name, "backend": "gpu-a", "model": GPU.model}


def test_opening_is_a_warning_that_says_why_and_for_how_long() -> None:
    with structlog.testing.capture_logs() as logs:
        turned(GPU, Transition("open", "5 faults in a row", 5.123, 1))
    told = {"because": "5 faults in a row", "seconds": 5.1, "openings": 1}
    assert logs == [{"event": "breaker.opened", "log_level": "warning", **WHERE, **told}]


def test_coming_back_is_told_and_nothing_is_told_of_nothing() -> None:
    with structlog.testing.capture_logs() as logs:
        for transition in (HALF_OPEN, None, CLOSED):
            turned(GPU, transition)
    assert [(line["event"], line["log_level"]) for line in logs] == [
        ("breaker.half_open", "info"),
        ("breaker.closed", "info"),
    ]


def test_outage_is_three_lines_however_many_requests_fail() -> None:
    book = StatsBook()
    with structlog.testing.capture_logs() as logs:
        for started, verdict in [*[(0.0, "fault")] * 50, (8.0, "ok"), (9.0, "ok"), (10.0, "ok")]:
            turned(GPU, book.started(GPU, started))
            turned(GPU, book.ended(outcome(GPU, started + 0.5, started=started, verdict=verdict)))
    assert [line["event"] for line in logs] == ["breaker.opened", "breaker.half_open", "breaker.closed"]
