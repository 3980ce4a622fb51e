"""Requests of the past, from memory and from the file as if they were one."""

from pathlib import Path

import orjson
import pytest

from gateway.api.past import counterfactual
from gateway.outcomes import Record, Sketch
from gateway.policytools.logged import read_line
from gateway.routing.book import StatsBook
from gateway.routing.planner import plan
from gateway.types import Price
from tests.api.offices import Office
from tests.routing.samples import deployment, request, route, usage
from tests.stores.books import asked, tell
from tests.telemetry.records import record

START = 1_800_000_000.0
SKETCH = Sketch("auto", START, True, 120, caller="search")


def told(number: int, **facts: object) -> Record:
    return asked(f"req_{number}", at=START + number, sketch=SKETCH, **facts)


def office(directory: Path, *records: Record, memory: int = 1000) -> Office:
    """An admin plane whose memory holds so many of these requests; all of them are in the file."""
    found = Office(directory)
    found.gateway.requests.kept = memory
    tell(found.books, *records)
    for one in records:
        found.gateway.requests.answered(one)
    assert found.books.writer.flush()
    return found


def ids(found: Office, query: str = "") -> list[str]:
    answer = found.ask("GET", f"/admin/requests?{query}", key=None)
    assert answer.status_code == 200, answer.text
    return [row["id"] for row in answer.json()]


@pytest.mark.parametrize("memory", [0, 1, 7, 100])
def test_pages_are_the_same_wherever_the_requests_are(tmp_path: Path, memory: int) -> None:
    found = office(tmp_path, *[told(number) for number in range(20)], memory=memory)
    seen: list[str] = []
    for _ in range(5):
        seen += ids(found, f"limit=4{f'&before={seen[-1]}' if seen else ''}")
    assert seen == [f"req_{number}" for number in range(19, -1, -1)]
    assert ids(found, "limit=4&before=req_0") == []


def test_filters_go_through_both(tmp_path: Path) -> None:
    records = [
        told(number, caller="anna" if number % 3 else "search", route="a" if number % 2 else "b")
        for number in range(12)
    ]
    found = office(tmp_path, *records, memory=4)
    assert ids(found, "caller=search") == ["req_9", "req_6", "req_3", "req_0"]
    assert ids(found, "caller=search&route=a") == ["req_9", "req_3"]
    assert ids(found, f"since={START + 10}") == ["req_11", "req_10"]
    assert ids(found, "outcome=timeout") == []


def test_a_request_is_told_after_a_restart_as_it_was_before(tmp_path: Path) -> None:
    made = plan(request(), route(deployment("a", price=Price(1.0, 2.0)), deployment("b")), StatsBook(), 1000.0, 0.5)
    before = office(tmp_path, told(1, plan=made, reason=made.reason))
    first = before.ask("GET", "/admin/requests/req_1").json()
    second = Office(tmp_path).ask("GET", "/admin/requests/req_1").json()
    assert second["plan"]["choices"][0]["deployment"] == first["plan"]["choices"][0]["deployment"]
    assert second["attempts"] == first["attempts"]
    assert {name: second[name] for name in first if name not in ("plan", "counterfactual")} == {
        name: first[name] for name in first if name not in ("plan", "counterfactual")
    }
    missing = before.ask("GET", "/admin/requests/req_9")
    assert (missing.status_code, "nor in the log" in missing.text) == (404, True)


def test_the_export_has_each_request_once_oldest_first(tmp_path: Path) -> None:
    found = office(tmp_path, *[told(number) for number in range(10)], memory=3)
    answer = found.ask("GET", "/admin/requests/export")
    lines = [read_line(line) for line in answer.content.splitlines()]
    assert [line.id for line in lines] == [f"req_{number}" for number in range(10)]
    assert lines[0].sketch.prompt_tokens == 120
    assert all(orjson.loads(line)["model"] for line in answer.content.splitlines())


def test_a_file_that_cannot_be_read_hides_nothing_of_memory(tmp_path: Path) -> None:
    found = office(tmp_path / "state", *[told(number) for number in range(5)], memory=3)
    (tmp_path / "state" / "gateway.db").rename(tmp_path / "gone")
    (tmp_path / "state" / "gateway.db").write_bytes(b"nonsense")
    assert ids(found) == ["req_4", "req_3", "req_2"]
    assert found.ask("GET", "/admin/requests/req_0").status_code == 404
    assert len(found.ask("GET", "/admin/requests/export").content.splitlines()) == 3
    assert found.ask("GET", "/admin/spend").status_code == 503
    assert found.ask("GET", "/admin/callers").status_code == 200


def test_a_counterfactual_is_what_others_would_have_taken_for_the_same_tokens() -> None:
    own, near, far = (
        deployment("own"),
        deployment("near", price=Price(1.0, 1.0)),
        deployment("far", price=Price(10.0, 10.0)),
    )
    made = plan(request(), route(own, near, far), StatsBook(), 1000.0, 0.5)
    one = record(plan=made, deployment=own, usage=usage(500_000, 500_000), cost=0.0)
    found = counterfactual(one)
    assert found is not None
    assert found["dearest"] == {"deployment": far.name, "usd": 10.0}
    assert found["runner_up"]["deployment"] in (near.name, far.name)
    assert found["saved_usd"] == 10.0
    assert counterfactual(record(plan=None)) is None
    alone = plan(request(), route(own), StatsBook(), 1000.0, 0.5)
    assert counterfactual(record(plan=alone, deployment=own)) is None
