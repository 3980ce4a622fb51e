"""The ledger and the request log: each attempt once, whatever comes when; nothing lost while the disk is away."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outcomes import Record
from gateway.stores import journal
from gateway.stores.books import Books
from gateway.stores.journal import UNCLAIMED
from gateway.stores.ledger import MOST_TOKENS, rows_of
from gateway.stores.request_file import Wanted, one, page
from gateway.stores.spend import by_day_of, spend
from gateway.types import Price, Usage
from tests.routing.samples import deployment, outcome, usage
from tests.stores.books import HOURLY, asked, books, count, rows, tell, usd, won
from tests.telemetry.records import LOST, WON, shadowed

OWN = deployment("own", slots=4)
HOSTED = deployment("far", location="hosted", price=Price(1.0, 2.0), price_source="policy")
UNKNOWN = deployment("dark", location="hosted")
DAY = 1_800_000_000 // 86_400


def test_a_row_says_what_an_attempt_has_used_and_at_which_price(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tried = outcome(HOSTED, 3.0, first=1.0, usage=usage(100, 20, cached=40), cost=0.25)
    tell(kept, asked("req_1", LOST, tried, caller="search"))
    assert kept.writer.flush()
    first, second = rows(kept)
    assert (first.request, first.n, first.outcome, first.error_type) == ("req_1", 0, "upstream_error", LOST.error_type)
    assert (first.prompt, first.completion, first.estimated, first.usd) == (None, None, True, 0.0)
    assert (second.n, second.caller, second.team, second.route) == (1, "search", "research", "chat")
    assert (second.model, second.backend, second.day) == (HOSTED.model, "far", DAY)
    assert (second.prompt, second.completion, second.cached, second.estimated) == (100, 20, 40, False)
    assert (second.price_input, second.price_output, second.price_source) == (1.0, 2.0, "policy")
    assert (second.usd, second.own_usd) == (0.25, 0.0)


def test_own_hardware_is_charged_by_its_share_of_the_hour_beside_the_bill(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1", outcome(OWN, 1000.0, started=900.0, usage=usage(), cost=0.0)))
    kept.writer.flush()
    (row,) = rows(kept)
    assert (row.usd, row.price_source) == (0.0, "own_hardware")
    assert row.own_usd == pytest.approx(HOURLY * 100 / 3600 / OWN.slots)


def test_an_unknown_price_is_no_price_and_is_told_once(tmp_path: Path) -> None:
    kept = books(tmp_path)
    for number in range(3):
        tell(kept, asked(f"req_{number}", outcome(UNKNOWN, usage=usage(), cost=None)))
    kept.writer.flush()
    assert [(row.usd, row.price_source) for row in rows(kept)] == [(None, "unknown")] * 3
    assert [(event.name, event.facts["backend"]) for event in kept.news.held] == [("price.unknown", "dark")]
    assert kept.journal.unpriced == {("dark", UNKNOWN.model): 3}
    (total,) = kept.state.read(lambda db: spend(db, "backend", DAY, DAY))
    assert (total.unpriced, total.usd) == (3, 0.0)


def test_the_same_request_told_twice_is_written_once(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1", LOST, WON), asked("req_1", LOST, WON))
    kept.writer.flush()
    tell(kept, asked("req_1", LOST, WON))
    kept.writer.flush()
    again = books(tmp_path)
    tell(again, asked("req_1", LOST, WON))
    again.writer.flush()
    assert (count(again, "attempts"), count(again, "requests"), count(again, "records")) == (2, 1, 1)
    assert usd(again) == (WON.cost, WON.cost)


def test_an_attempt_that_ends_after_its_request_is_its_own_all_the_same(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1", WON, caller="search"))
    kept.journal.attempted(won(deployment=HOSTED, ended=9.0, started=8.0, cost=0.5))  # in the same batch
    kept.writer.flush()
    kept.journal.attempted(won(deployment=HOSTED, ended=19.0, started=18.0, cost=0.125))  # and long after
    kept.writer.flush()
    assert [(row.n, row.usd, row.caller, row.team, row.route) for row in rows(kept)] == [
        (0, 0.25, "search", "research", "chat"),
        (1, 0.5, "search", "research", "chat"),
        (2, 0.125, "search", "research", "chat"),
    ]
    assert kept.journal.open == {} and kept.journal.since == {}
    assert not kept.journal.gather()


def test_an_attempt_waits_for_its_request_and_not_for_ever(tmp_path: Path) -> None:
    kept = books(tmp_path)
    now = [100.0]
    kept.journal.clock = lambda: now[0]
    kept.journal.attempted(won("req_9"))
    kept.writer.flush()
    assert rows(kept) == []
    tell(kept, asked("req_9", WON))
    kept.writer.flush()
    assert len(rows(kept)) == 1
    kept.journal.attempted(won("req_lost"))
    kept.writer.flush()
    now[0] += UNCLAIMED + 1
    kept.writer.flush()
    assert [(row.request, row.caller) for row in rows(kept)] == [("req_9", "search"), ("req_lost", "")]
    assert kept.journal.open == {}


def test_a_request_of_which_one_attempt_drains_still_gets_its_row(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1", caller="search")._replace(attempts=()))
    kept.journal.attempted(won("req_1"))
    kept.writer.flush()
    (row,) = rows(kept)
    assert (row.n, row.caller, row.route, row.usd) == (0, "search", "chat", 0.25)


def test_a_copy_is_paid_for_by_the_gateway_itself(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1"))
    kept.journal.shadowed(shadowed(deployment=HOSTED))
    kept.journal.shadowed(shadowed(id="req_2", deployment=None, outcome="dropped"))
    kept.writer.flush()
    first, second = rows(kept)
    assert (first.caller, second.caller, second.n, second.usd) == ("search", "", 1000, 0.5)
    found = kept.state.read(lambda db: one(db, "req_1"))
    assert found is not None and found[1] == {"outcome": "success"}


def test_a_cache_hit_costs_nothing_and_is_in_the_log(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1", cache="hit", cost=0.0)._replace(attempts=()))
    kept.writer.flush()
    assert (count(kept, "attempts"), count(kept, "requests")) == (0, 1)


def test_numbers_of_an_upstream_that_no_column_holds_spoil_nothing(tmp_path: Path) -> None:
    kept = books(tmp_path)
    huge = Usage(10**30, 2**64 - 1, 10**30)
    tell(kept, asked("req_1", won(usage=huge, cost=float("inf")), usage=huge), asked("req_2"))
    assert kept.writer.flush()
    assert [(row.request, row.prompt) for row in rows(kept)] == [("req_1", MOST_TOKENS), ("req_2", 100)]
    assert [record.id for record in kept.state.read(lambda db: page(db, Wanted(), "", 9))] == ["req_2"]
    assert [event.name for event in kept.news.held] == ["request.not_kept"]


ATTEMPTS = st.lists(
    st.tuples(st.sampled_from([OWN, HOSTED, UNKNOWN]), st.none() | st.floats(0, 10), st.booleans()), max_size=4
)


@given(st.lists(ATTEMPTS, max_size=8), st.lists(st.integers(0, 7), max_size=5))
def test_the_sums_are_those_of_the_rows_whatever_comes_twice(
    tmp_path_factory: pytest.TempPathFactory, requests: list[list[tuple[object, float | None, bool]]], again: list[int]
) -> None:
    kept = books(tmp_path_factory.mktemp("ledger"))
    told: list[Record] = []
    for number, tried in enumerate(requests):
        attempts = [
            outcome(one, n + 1.0, usage=usage(10, 5, estimated=guess), cost=cost)  # type: ignore[arg-type]
            for n, (one, cost, guess) in enumerate(tried)
        ]
        told.append(asked(f"req_{number}")._replace(attempts=tuple(attempts)))
    tell(kept, *told)
    kept.writer.flush()
    tell(kept, *[told[index] for index in again if index < len(told)])
    kept.writer.flush()
    wanted = [row for record in told for row in rows_of(record, "research", lambda backend: None)]
    (rows_usd, sums_usd), known = usd(kept), sum(row.usd or 0.0 for row in wanted)
    assert count(kept, "attempts") == len(wanted)
    assert rows_usd == pytest.approx(known) and sums_usd == pytest.approx(known)
    total = kept.state.read(lambda db: spend(db, "team", DAY, DAY))
    assert sum(one.attempts for one in total) == len(wanted)
    assert sum(one.prompt_tokens for one in total) == 10 * len(wanted)
    assert sum(one.estimated_usd for one in total) == pytest.approx(
        sum(row.usd or 0.0 for row in wanted if row.estimated)
    )
    assert sum(one.unpriced for one in total) == sum(row.usd is None for row in wanted)


def away(kept: Books) -> Path:
    """Put a file in the place of the directory: nothing can be written, and no connection made."""
    directory = kept.state.path.parent
    aside = directory.with_name("aside")
    kept.writer.disconnect()
    directory.rename(aside)
    directory.write_text("in the way")
    return aside


def back(kept: Books, aside: Path) -> None:
    """The directory is there again."""
    directory = kept.state.path.parent
    directory.unlink()
    aside.rename(directory)


def test_what_cannot_be_written_waits_and_is_written_once_it_can(tmp_path: Path) -> None:
    kept = books(tmp_path / "state")
    tell(kept, asked("req_0"))
    assert kept.writer.flush()
    aside = away(kept)
    for number in range(1, 5):
        tell(kept, asked(f"req_{number}"))
        assert not kept.writer.flush()
    assert (kept.writer.up, kept.writer.failures, kept.journal.full) == (False, 4, False)
    back(kept, aside)
    assert kept.writer.flush() and kept.writer.up
    assert [row.request for row in rows(kept)] == [f"req_{number}" for number in range(5)]
    assert count(kept, "requests") == 5
    assert [event.name for event in kept.news.held] == ["state.down", "state.up"]  # once for each change


def test_when_memory_is_full_those_with_a_budget_are_to_be_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "SPOOL", 10)
    monkeypatch.setattr(journal, "HELD", 5)
    kept = books(tmp_path / "state")
    aside = away(kept)
    tell(kept, *[asked(f"req_{number}") for number in range(9)])
    kept.writer.flush()
    assert not kept.journal.full
    tell(kept, *[asked(f"req_{number}") for number in range(9, 20)])
    kept.writer.flush()
    assert (kept.journal.full, kept.journal.lost, len(kept.journal.rows), len(kept.journal.lines)) == (True, 10, 10, 5)
    assert [event.name for event in kept.news.held] == ["state.down", "ledger.full"]
    back(kept, aside)
    kept.writer.flush()
    assert not kept.journal.full
    assert [row.request for row in rows(kept)] == [f"req_{number}" for number in range(10)]
    assert [one.id for one in kept.state.read(lambda db: page(db, Wanted(), "", 9))] == [
        f"req_{number}" for number in range(19, 14, -1)
    ]


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1"))
    kept.writer.flush()
    assert kept.writer.db is not None
    kept.writer.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    pages = kept.writer.db.execute("PRAGMA page_count").fetchone()[0]
    kept.writer.db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own full disk
    tell(kept, *[asked(f"req_{number}") for number in range(2, 500)])
    assert not kept.writer.flush()
    assert "full" in str(kept.news.held[-1].facts["reason"])
    assert kept.writer.flush()  # the next connection has room
    assert count(kept, "attempts") == 499


def test_a_file_that_is_taken_away_is_made_again(tmp_path: Path) -> None:
    kept = books(tmp_path / "state")
    tell(kept, asked("req_1"))
    kept.writer.flush()
    kept.writer.disconnect()
    shutil.rmtree(tmp_path / "state")
    tell(kept, asked("req_2"))
    while not kept.writer.flush():
        assert kept.writer.failures < 5
    assert [row.request for row in rows(kept)] == ["req_2"]


def test_a_row_that_can_never_be_written_does_not_keep_others_from_it(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1"))
    kept.journal.gather()
    kept.journal.rows.append(kept.journal.rows[0]._replace(request=None))  # type: ignore[arg-type]
    kept.writer.flush()
    assert [event.name for event in kept.news.held] == ["state.rows_lost"]
    tell(kept, asked("req_2"))
    assert kept.writer.flush()
    assert [row.request for row in rows(kept)] == ["req_2"]


def test_the_writer_writes_by_itself_and_the_rest_at_its_end(tmp_path: Path) -> None:
    kept = books(tmp_path)
    kept.open()
    for number in range(50):
        tell(kept, asked(f"req_{number}"))
    kept.close()
    assert count(kept, "attempts") == 50
    assert not kept.writer.thread.is_alive()
    assert kept.writer.commits <= 3


def test_two_gateways_may_write_one_file_and_each_is_told(tmp_path: Path) -> None:
    first, second = books(tmp_path), books(tmp_path)
    first.claim()
    second.claim()
    assert [event.name for event in second.news.held] == ["state.shared"] and not first.news.held
    for number in range(0, 20, 2):
        tell(first, asked(f"req_{number}"))
        tell(second, asked(f"req_{number + 1}"))
        assert first.writer.flush() and second.writer.flush()
    assert count(first, "attempts") == 20
    assert usd(second)[1] == pytest.approx(20 * 0.25)
    first.close()
    second.claim()
    assert second.alone
    second.close()


def test_a_caller_is_summed_up_day_by_day(tmp_path: Path) -> None:
    kept = books(tmp_path)
    for number, at in enumerate((1_800_000_000.0, 1_800_000_000.0 + 86_400, 1_800_000_000.0)):
        tell(kept, asked(f"req_{number}", at=at, caller="search"))
    tell(kept, asked("req_9", caller="x' OR '1'='1"))
    kept.writer.flush()
    found = kept.state.read(lambda db: by_day_of(db, "search", DAY, DAY + 9))
    assert [(one.name, one.requests, one.usd) for one in found] == [(DAY, 2, 0.5), (DAY + 1, 1, 0.25)]
    assert kept.state.read(lambda db: by_day_of(db, "' OR 1=1 --", 0, DAY + 9)) == []
    sums = kept.state.read(lambda db: spend(db, "caller", DAY, DAY + 9))
    assert [(one.name, one.requests) for one in sums] == [("search", 3), ("x' OR '1'='1", 1)]


def test_nobody_reads_half_a_request(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, asked("req_1", LOST, WON))
    kept.journal.gather()

    def write(db: sqlite3.Connection) -> None:
        kept.journal.write(db)
        assert (count(kept, "attempts"), count(kept, "requests")) == (0, 0)

    kept.state.transact(write)
    assert (count(kept, "attempts"), count(kept, "requests")) == (2, 1)
