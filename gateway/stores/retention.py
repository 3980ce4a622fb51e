"""What of the request log and the ledger is old goes, a little at a time.

The age of a row is told by a clock that never runs ahead of the system's, and never more than a day an hour: a system
clock that jumps ahead by a year deletes in an hour what it would have in a day, and whoever sets it right again loses
no more than that.
"""

import sqlite3
import time
from collections.abc import Callable
from typing import NamedTuple

DAY = 86_400.0
CATCH_UP = 24.0  # times the speed of time, at which our clock follows one that has jumped ahead
EVERY_SECONDS = 60.0  # between two looks, unless there was more to delete
BATCH = 500  # rows a transaction
REACH = 5_000  # of the first rows, that are looked at
CLOCK = "clock"  # our clock's last time, in the file


class Bounds(NamedTuple):
    """How much is kept: the days of the request log, its rows, and the same of the ledger's rows."""

    days: float = 7.0
    rows: int = 200_000
    ledger_days: float = 35.0
    ledger_rows: int = 1_000_000


class Retention:
    """A part of what is written: it deletes."""

    def __init__(
        self,
        bounds: Bounds,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.bounds = bounds
        self.clock = clock
        self.wall = wall
        self.due = clock()
        self.looked: float | None = None  # when our clock was last read
        self.more = False

    def gather(self) -> bool:
        """Whether it is time to look."""
        return self.clock() >= self.due

    def write(self, db: sqlite3.Connection) -> None:
        """Delete what is old, in bounds."""
        now = self.now(db)
        bounds = self.bounds
        requests = outdated(db, "requests", now - bounds.days * DAY, bounds.rows)
        attempts = outdated(db, "attempts", now - bounds.ledger_days * DAY, bounds.ledger_rows)
        rows = [(seq,) for seq in requests]
        db.executemany("DELETE FROM shadows WHERE id = (SELECT id FROM requests WHERE seq = ?)", rows)
        db.executemany("DELETE FROM records WHERE seq = ?", rows)
        db.executemany("DELETE FROM requests WHERE seq = ?", rows)
        db.executemany("DELETE FROM attempts WHERE seq = ?", [(seq,) for seq in attempts])
        self.more = BATCH in (len(requests), len(attempts))

    def written(self) -> None:
        """When to look again."""
        self.due = self.clock() + (0.0 if self.more else EVERY_SECONDS)

    def now(self, db: sqlite3.Connection) -> float:
        """Our clock, in Unix time; it is kept in the file, so that it does not jump when a process begins either."""
        wall, clock = self.wall(), self.clock()
        row = db.execute("SELECT value FROM meta WHERE key = ?", (CLOCK,)).fetchone()
        elapsed = 0.0 if self.looked is None else clock - self.looked
        now = wall if row is None else min(wall, float(row[0]) + CATCH_UP * elapsed)
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (CLOCK, now))
        self.looked = clock
        return now


OUTDATED = {
    table: f"""
        SELECT seq FROM (SELECT seq, at FROM {table} ORDER BY seq LIMIT :reach)
        WHERE at < :before OR seq <= (SELECT max(seq) FROM {table}) - :rows LIMIT :batch
    """  # noqa: S608
    for table in ("requests", "attempts")
}


def outdated(db: sqlite3.Connection, table: str, before: float, rows: int) -> list[int]:
    """The rows that are older than a Unix time, or more than so many; the oldest first, and few at once."""
    bounds = {"reach": REACH, "before": before, "rows": rows, "batch": BATCH}
    return [seq for (seq,) in db.execute(OUTDATED[table], bounds)]
