"""What is reserved of budgets, so that a process which is killed has spent it; and what was spent before."""

import sqlite3
from collections import deque
from typing import NamedTuple, Protocol

from gateway.stores.ledger import INSERT_NEW, UNSETTLED, Row

DAY = 86_400


class Spent(NamedTuple):
    """What a caller, or a team, has spent today and this month (UTC); US dollars."""

    name: str
    team: bool
    day: float
    month: float


class Reserved(Protocol):
    """Wants to know of reservations."""

    def opened(self, id: str, caller: str, team: str, route: str, usd: float, at: float) -> None:
        """So much is reserved for a request; `at` is Unix time."""
        ...

    def closed(self, id: str) -> None:
        """The request has settled."""
        ...


class Reservation(NamedTuple):
    """Money that a request may spend; columns as in the table."""

    id: str
    owner: str
    at: float
    caller: str
    team: str
    route: str
    usd: float


class Reservations:
    """A part of what is written. One that is settled before the next transaction never gets there."""

    def __init__(self, owner: str) -> None:
        self.owner = owner  # this process
        self.queue: deque[Reservation | str] = deque()
        self.opening: dict[str, Reservation] = {}
        self.closing: set[str] = set()
        self.stored: set[str] = set()  # those that are in the file

    def opened(self, id: str, caller: str, team: str, route: str, usd: float, at: float) -> None:
        """So much is reserved for a request; `at` is Unix time."""
        self.queue.append(Reservation(id, self.owner, at, caller, team, route, usd))

    def closed(self, id: str) -> None:
        """The request has settled."""
        self.queue.append(id)

    def gather(self) -> bool:
        """Take over what has come since."""
        while self.queue:
            told = self.queue.popleft()
            if isinstance(told, Reservation):
                self.opening[told.id] = told
                self.closing.discard(told.id)
                continue
            self.opening.pop(told, None)
            if told in self.stored:
                self.closing.add(told)
        return bool(self.opening or self.closing)

    def write(self, db: sqlite3.Connection) -> None:
        """Write what has opened, remove what has closed."""
        opened = "INSERT INTO reservations VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET usd = excluded.usd"
        db.executemany(opened, self.opening.values())
        db.executemany("DELETE FROM reservations WHERE id = ?", [(id,) for id in self.closing])

    def written(self) -> None:
        """It is on disk: forget it."""
        self.stored |= self.opening.keys()
        self.stored -= self.closing
        self.opening, self.closing = {}, set()


def charge(db: sqlite3.Connection, owner: str) -> int:
    """Charge what processes that are gone had reserved, less what their attempts have cost; how many there were.

    Only for whoever has the state directory for itself: others may still be at work.
    """
    known = "SELECT id, owner, at, caller, team, route, usd FROM reservations WHERE owner <> ?"
    found = [Reservation(*row) for row in db.execute(known, (owner,))]
    for left in found:
        (spent,) = db.execute("SELECT total(usd) FROM attempts WHERE request = ?", (left.id,)).fetchone()
        db.execute(INSERT_NEW, charged(left, max(0.0, left.usd - spent)))
        db.execute("DELETE FROM reservations WHERE id = ?", (left.id,))
    return len(found)


def charged(left: Reservation, usd: float) -> Row:
    """The row of a reservation that nobody has settled."""
    return Row(
        request=left.id,
        n=UNSETTLED,
        at=left.at,
        day=int(left.at // DAY),
        caller=left.caller,
        team=left.team,
        route=left.route,
        model="",
        backend="",
        outcome="unsettled",
        error_type="gateway_killed",
        estimated=True,
        price_source="reserved",
        usd=usd,
    )


def spent(db: sqlite3.Connection, today: int, first: int) -> list[Spent]:
    """What everybody has spent; days since 1970: today, and the first of the month."""
    bounds = {"today": today, "first": first}
    callers = """
        SELECT caller, 0, total(iif(day = :today, usd, 0)), total(usd) FROM spend
        WHERE day BETWEEN :first AND :today AND caller <> '' GROUP BY caller
    """
    teams = """
        SELECT team, 1, total(iif(day = :today, usd, 0)), total(usd) FROM spend
        WHERE day BETWEEN :first AND :today AND team <> '' GROUP BY team
    """
    rows = [*db.execute(callers, bounds), *db.execute(teams, bounds)]
    return [Spent(name, bool(team), day, month) for name, team, day, month in rows]
