"""Old requests go, a little at a time, and never because a clock has jumped."""

from pathlib import Path

import pytest

from gateway.stores import retention
from gateway.stores.books import Books
from gateway.stores.retention import Bounds, Retention
from tests.stores.books import asked, books, count, tell, usd

DAY = 86_400.0
START = 1_800_000_000.0


class Times:
    """A monotonic clock and the system's."""

    def __init__(self, wall: float = START) -> None:
        self.clock, self.wall = 50.0, wall

    def passes(self, seconds: float) -> None:
        self.clock += seconds
        self.wall += seconds


def sweeper(times: Times, **bounds: float) -> Retention:
    return Retention(Bounds(**bounds), lambda: times.clock, lambda: times.wall)  # type: ignore[arg-type]


def look(kept: Books, part: Retention, times: Times, seconds: float = 61.0) -> None:
    """Let time pass, and look until there is nothing more to delete now."""
    times.passes(seconds)
    while part.gather():
        kept.state.transact(part.write)
        part.written()


def filled(directory: Path, *ages: float) -> Books:
    """Books with a request of each age in days."""
    kept = books(directory)
    for number, age in enumerate(sorted(ages, reverse=True)):
        tell(kept, asked(f"req_{number}", at=START - age * DAY))
    kept.journal.gather()
    kept.state.transact(kept.journal.write)
    kept.journal.written()
    return kept


def test_what_is_older_than_the_days_goes_and_the_sums_stay(tmp_path: Path) -> None:
    kept, times = filled(tmp_path, 0.5, 3, 6.9, 7.1, 20, 40), Times()
    before = usd(kept)[1]
    look(kept, sweeper(times, days=7.0, ledger_days=35.0), times)
    assert (count(kept, "requests"), count(kept, "records"), count(kept, "attempts")) == (3, 3, 5)
    assert usd(kept)[1] == before


def test_rows_beyond_the_bound_go_however_young_they_are(tmp_path: Path) -> None:
    kept, times = filled(tmp_path, *[0.001] * 30), Times()
    look(kept, sweeper(times, rows=12, ledger_rows=20), times)
    assert (count(kept, "requests"), count(kept, "attempts")) == (12, 20)


def test_a_transaction_deletes_few_rows_and_the_next_one_follows_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 10)
    kept, times = filled(tmp_path, *[30.0] * 25), Times()
    part = sweeper(times)
    left = []
    while part.gather():
        kept.state.transact(part.write)
        part.written()
        left.append(count(kept, "requests"))
    assert left == [15, 5, 0]


@pytest.mark.parametrize("ahead", [3600.0, 365 * DAY, 10_000 * DAY])
def test_a_clock_that_jumps_ahead_deletes_a_day_an_hour_at_most(tmp_path: Path, ahead: float) -> None:
    kept, times = filled(tmp_path, 0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5), Times()
    part = sweeper(times)
    look(kept, part, times)
    times.wall += ahead
    look(kept, part, times)
    assert count(kept, "requests") == 7
    for _ in range(59):
        look(kept, part, times, 61.0)
    assert count(kept, "requests") >= 6
    times.wall -= ahead  # whoever sets it right keeps the rest
    look(kept, part, times, 24 * 61.0)
    assert count(kept, "requests") >= 6


def test_a_clock_that_was_ahead_already_when_the_process_began_is_not_believed_either(tmp_path: Path) -> None:
    kept, times = filled(tmp_path, 0.5, 1.5, 2.5), Times()
    look(kept, sweeper(times), times)
    later = Times(START + 365 * DAY)
    part = sweeper(later)
    look(kept, part, later)
    look(kept, part, later)
    assert count(kept, "requests") == 3


def test_a_clock_that_jumps_back_deletes_nothing_and_the_log_goes_on(tmp_path: Path) -> None:
    kept, times = filled(tmp_path, 0.5, 6.5), Times()
    part = sweeper(times)
    look(kept, part, times)
    times.wall -= 365 * DAY
    look(kept, part, times)
    assert count(kept, "requests") == 2
    times.wall += 365 * DAY
    look(kept, part, times)
    assert count(kept, "requests") == 2


def test_what_was_away_for_a_month_is_deleted_within_hours(tmp_path: Path) -> None:
    kept, times = filled(tmp_path, 0.5, 1.5), Times()
    look(kept, sweeper(times), times)
    later = Times(START + 30 * DAY)
    part = sweeper(later)
    for _ in range(60 * 30):
        look(kept, part, later)
    assert count(kept, "requests") == 0
