"""The request log in the state file: pages of it, newest first, one request by its id, and all of it."""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import orjson

from gateway.outcomes import Record
from gateway.stores.records import deployments_of, unpacked
from gateway.types import Deployment, Json

BATCH = 500  # requests that are read at a time


class Wanted(NamedTuple):
    """Which requests; an empty word is any, `since` is Unix time."""

    route: str = ""
    model: str = ""
    backend: str = ""
    caller: str = ""
    outcome: str = ""
    since: float = 0.0

    def takes(self, record: Record) -> bool:
        """Whether a request is one of them."""
        deployment = record.deployment
        model, backend = ("", "") if deployment is None else (deployment.model, deployment.backend)
        pairs = (
            (self.route, record.route),
            (self.model, model),
            (self.backend, backend),
            (self.caller, record.caller),
            (self.outcome, record.outcome),
        )
        return record.at >= self.since and all(wanted in ("", found) for wanted, found in pairs)


PAGE = """
    SELECT records.body FROM requests JOIN records USING (seq)
    WHERE seq < :below AND at >= :since
    AND :route IN ('', route) AND :model IN ('', model) AND :backend IN ('', backend)
    AND :caller IN ('', caller) AND :outcome IN ('', outcome)
    ORDER BY seq DESC LIMIT :limit
"""
NEWEST = 1 << 62  # above the number of any request


def page(db: sqlite3.Connection, wanted: Wanted, before: str, limit: int) -> list[Record]:
    """Requests, newest first, from the one just older than `before` on; from the newest without it."""
    below = NEWEST if not before else number(db, before)
    rows = db.execute(PAGE, {**wanted._asdict(), "below": below, "limit": limit})
    deployments = deployments_of(db)
    return [unpacked(body, deployments) for (body,) in rows]


def number(db: sqlite3.Connection, id: str) -> int:
    """The number of a request in the file; above all others when it is not there."""
    row = db.execute("SELECT seq FROM requests WHERE id = ?", (id,)).fetchone()
    return NEWEST if row is None else int(row[0])


def one(db: sqlite3.Connection, id: str) -> tuple[Record, Json | None] | None:
    """A request and what came of its copy; None when it is not in the file."""
    row = db.execute("SELECT body FROM records WHERE seq = ?", (number(db, id),)).fetchone()
    if row is None:
        return None
    shadow = db.execute("SELECT body FROM shadows WHERE id = ?", (id,)).fetchone()
    return unpacked(row[0], deployments_of(db)), None if shadow is None else orjson.loads(shadow[0])


def oldest_first(db: sqlite3.Connection) -> Iterator[Record]:
    """All requests, read in batches."""
    deployments: Mapping[int, Deployment] = deployments_of(db)
    last = -1
    while rows := db.execute(
        "SELECT seq, body FROM records WHERE seq > ? ORDER BY seq LIMIT ?", (last, BATCH)
    ).fetchall():
        for seq, body in rows:
            last = seq
            yield unpacked(body, deployments)
