"""Books to write in: a state file with everything that is written to it, and a clock that tests set."""

import sqlite3
from pathlib import Path
from typing import Any

from gateway.outcomes import Outcome, Record, Shadowed
from gateway.stores.books import Books, Wants
from gateway.stores.ledger import Row
from gateway.stores.retention import Bounds
from gateway.stores.state import StateFile
from gateway.types import Json
from tests.routing.samples import outcome
from tests.telemetry.records import WON, record

HOURLY = 3.6  # US dollars


def shown(told: Shadowed) -> Json:
    """What is shown of a copy."""
    return {"outcome": told.outcome}


def books(directory: Path, **bounds: Any) -> Books:
    """The books of a directory; nothing writes by itself."""
    teams = {"search": "research"}
    wants = Wants(lambda backend: HOURLY if backend == "own" else None, lambda name: teams.get(name, ""), shown)
    return Books(StateFile.open(directory), wants, Bounds(**bounds))


def won(request: str = "req_1", **facts: Any) -> Outcome:
    """An attempt of a request that went well."""
    return WON._replace(request=request, **facts)


def asked(id: str = "req_1", *attempts: Outcome, **facts: Any) -> Record:
    """A request with these attempts, one of its own without any."""
    tried = tuple(one._replace(request=id) for one in (attempts or (WON,)))
    return record(id=id, attempts=tried, **facts)


def tell(kept: Books, *told: Record) -> None:
    """Requests as the engine tells of them: each attempt, then the request."""
    for one in told:
        for attempt in one.attempts:
            kept.journal.attempted(attempt)
        kept.journal.answered(one)


def rows(kept: Books) -> list[Row]:
    """The ledger as it is in the file."""
    statement = f"SELECT {', '.join(Row._fields)} FROM attempts ORDER BY seq"
    return kept.state.read(lambda db: [Row(*row)._replace(estimated=bool(row[14])) for row in db.execute(statement)])


def count(kept: Books, table: str) -> int:
    """How many rows a table has."""
    return kept.state.read(lambda db: int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]))


def usd(kept: Books) -> tuple[float, float]:
    """US dollars of all attempts, and of all sums."""

    def job(db: sqlite3.Connection) -> tuple[float, float]:
        totals = [db.execute(f"SELECT total(usd) FROM {table}").fetchone()[0] for table in ("attempts", "spend")]
        return totals[0], totals[1]

    return kept.state.read(job)


__all__ = ["asked", "books", "count", "outcome", "rows", "shown", "tell", "usd", "won"]
