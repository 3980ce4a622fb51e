"""The one thread that writes to the state file: everything that waits, in one transaction, twice a second at most."""

import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Protocol

from gateway.stores.news import News
from gateway.stores.state import StateAway, StateFile, StateRefused, committed, translated

BATCH_SECONDS = 0.5  # between two transactions
AGAIN_SECONDS = 1.0  # between two tries while the file cannot be written
CLOSING = 10.0  # seconds for the last transaction
UNWRITABLE = (sqlite3.Error, ArithmeticError, TypeError, ValueError)
REMEDY = "make room or make the state directory writable; rows wait in memory, and when it is full budgets close"


class Part(Protocol):
    """Something that collects rows."""

    def gather(self) -> bool:
        """Take over what has come since, in bounds; whether there is anything to write."""
        ...

    def write(self, db: sqlite3.Connection) -> None:
        """Write all of it, within a transaction."""
        ...

    def written(self) -> None:
        """It is on disk: forget it."""
        ...


class Writer:
    """Writes until it is closed. While the file cannot be written the parts hold their rows, and `up` is false."""

    def __init__(self, state: StateFile, parts: Sequence[Part], news: News) -> None:
        self.state = state
        self.parts = parts
        self.news = news
        self.up = not state.away
        self.failures = 0  # transactions that could not be written
        self.commits = 0
        self.db: sqlite3.Connection | None = None
        self.ending = threading.Event()
        self.turn = threading.Lock()  # one transaction at a time
        self.thread = threading.Thread(target=self.run, name="state", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        if self.state.away:
            self.news.tell("error", "state.down", reason=self.state.away, do=REMEDY)
        self.thread.start()

    def run(self) -> None:
        """Write what waits, again and again."""
        while not self.ending.wait(BATCH_SECONDS if self.up else AGAIN_SECONDS):
            self.flush()

    def close(self) -> None:
        """Write the rest, and end."""
        self.ending.set()
        if self.thread.is_alive():
            self.thread.join(CLOSING)
        self.flush()
        self.disconnect()

    def flush(self) -> bool:
        """Write what waits now; False when that is not possible."""
        with self.turn:
            waiting = [part for part in self.parts if part.gather()]
            if not waiting and self.up:
                return True
            try:
                with translated(self.state.path):
                    committed(self.connected(), lambda db: write(waiting, db))
            except (StateAway, StateRefused) as exc:
                self.failed(str(exc))
                return False
            except UNWRITABLE as exc:  # a row that can never be written must not keep all others from it
                self.disconnect()
                self.news.tell("error", "state.rows_lost", reason=repr(exc)[:200])
            for part in waiting:
                part.written()
            self.commits += 1
            self.turned(True, "")
            return True

    def connected(self) -> sqlite3.Connection:
        """The connection, or a new one; raises StateAway and StateRefused."""
        if self.db is None:
            self.state.prepare()
            self.db = self.state.connect()
        return self.db

    def failed(self, reason: str) -> None:
        """It could not be written: begin anew with the next try."""
        self.failures += 1
        self.disconnect()
        self.turned(False, reason)

    def disconnect(self) -> None:
        """Close the connection."""
        if self.db is not None:
            with suppress(sqlite3.Error):
                self.db.close()
            self.db = None

    def turned(self, up: bool, reason: str) -> None:
        """Say it when the state has changed."""
        if up == self.up:
            return
        self.up = up
        if up:
            self.news.tell("info", "state.up")
        else:
            self.news.tell("error", "state.down", reason=reason, do=REMEDY)


def write(parts: Sequence[Part], db: sqlite3.Connection) -> None:
    """Write what parts have."""
    for part in parts:
        part.write(db)
