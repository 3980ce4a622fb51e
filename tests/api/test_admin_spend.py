"""What was spent, as JSON and as CSV."""

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.api.offices import Office
from tests.routing.samples import deployment, outcome, usage
from tests.stores.books import asked, tell

NOW = datetime.now(UTC)


@pytest.fixture
def office(tmp_path: Path) -> Office:
    found = Office(tmp_path)
    far = outcome(deployment("far", "large"), 2.0, usage=usage(10, 5), cost=1.5)
    now = NOW.timestamp()
    tell(found.books, asked("req_1", at=now), asked("req_2", at=now), asked("req_3", far, at=now, caller="=1+1"))
    assert found.books.writer.flush()
    return found


def test_sums_by_each_of_them_have_the_same_total(office: Office) -> None:
    for by in ("caller", "team", "route", "model", "backend", "day"):
        answer = office.ask("GET", f"/admin/spend?by={by}", key=None).json()
        assert sum(row["usd"] for row in answer["rows"]) == answer["total"]["usd"] == 2.0
        assert answer["total"]["requests"] == 3
        assert all(by in row for row in answer["rows"])
    day = office.ask("GET", "/admin/spend?by=day").json()
    assert [row["day"] for row in day["rows"]] == [NOW.date().isoformat()]
    backends = office.ask("GET", "/admin/spend?by=backend").json()["rows"]
    assert [(row["backend"], row["usd"]) for row in backends] == [("far", 1.5), ("a", 0.5)]


def test_csv_has_a_head_and_nothing_that_a_spreadsheet_would_run(office: Office) -> None:
    answer = office.ask("GET", "/admin/spend?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(row["caller"], float(row["usd"])) for row in rows] == [("'=1+1", 1.5), ("search", 0.5)]


def test_days_outside_are_left_out(office: Office) -> None:
    assert office.ask("GET", "/admin/spend?from=2020-01-01&to=2020-12-31").json()["rows"] == []
    today = NOW.date().isoformat()
    assert len(office.ask("GET", f"/admin/spend?from={today}&to={today}").json()["rows"]) == 2


@pytest.mark.parametrize(
    "query",
    [
        "by=password",
        "by=usd) FROM meta; --",
        "from=yesterday",
        "to=2026-13-01",
        "from=2026-02-02&to=2026-02-01",
        "format=xml",
        "from=0",
    ],
)
def test_what_cannot_be_asked_is_a_sentence(office: Office, query: str) -> None:
    answer = office.ask("GET", f"/admin/spend?{query}")
    assert answer.status_code in (200, 422) and (answer.status_code == 422 or query == "from=0")


def test_the_first_day_there_is_can_be_asked_for(office: Office) -> None:
    assert office.ask("GET", "/admin/spend?to=0001-01-01").status_code == 200
    assert office.ask("GET", "/admin/spend?from=0001-01-01&to=9999-12-31").json()["total"]["requests"] == 3
