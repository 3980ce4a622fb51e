"""The journal: an observer that takes down what happened; the ledger and the request log are written from it.

On a request's path it appends to a queue and no more. The writer's thread turns what is in it into rows, which wait in
bounds while they cannot be written: those of the ledger longest, since they are money.
"""

import sqlite3
import time
from collections import Counter, deque
from collections.abc import Callable
from typing import NamedTuple

import orjson

from gateway.outcomes import Outcome, Record, Shadowed
from gateway.stores.ledger import INSERT_NEW, Hourly, Row, TeamOf, copied, late, row_of_nobody, rows_of
from gateway.stores.news import News
from gateway.stores.records import Numbers, packed
from gateway.types import Json

SPOOL = 10_000  # rows of the ledger that wait while they cannot be written
HELD = 2_000  # requests of the log that do
QUEUE = 50_000  # of what the writer's thread has not looked at yet
UNCLAIMED = 600.0  # seconds after which an attempt whose request never ended is written by itself


class Line(NamedTuple):
    """A request as the log keeps it."""

    id: str
    at: float
    caller: str
    route: str
    model: str
    backend: str
    outcome: str
    body: bytes


class Mirrored(NamedTuple):
    """What came of a request's copy."""

    id: str
    body: bytes


class Journal:
    """An observer, and a part of what is written."""

    def __init__(
        self,
        hourly: Hourly,
        team_of: TeamOf,
        shown: Callable[[Shadowed], Json],
        news: News,
        keeps: bool = True,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.hourly = hourly
        self.team_of = team_of
        self.shown = shown
        self.news = news
        self.clock = clock
        self.wall = wall
        self.keeps = keeps  # whether the request log is kept
        self.queue: deque[Record | Outcome | Shadowed] = deque(maxlen=QUEUE)
        self.numbers = Numbers()
        self.rows: list[Row] = []
        self.lines: list[Line] = []
        self.mirrored: list[Mirrored] = []
        self.open: dict[str, list[Outcome]] = {}  # attempts whose request is not over, or was before they were
        self.since: dict[str, float] = {}  # when the first of them came, by the monotonic clock
        self.done: list[str] = []  # those of `open` that the transaction settles
        self.lost = 0  # rows of the ledger that could neither be written nor held
        self.unpriced: Counter[tuple[str, str]] = Counter()  # attempts without a known price, by backend and model

    def attempted(self, outcome: Outcome) -> None:
        """An attempt is over."""
        self.queue.append(outcome)

    def answered(self, record: Record) -> None:
        """A request is over."""
        self.queue.append(record)

    def shadowed(self, told: Shadowed) -> None:
        """A request was mirrored."""
        self.queue.append(told)

    @property
    def full(self) -> bool:
        """Whether money can no longer be taken down, so that nobody with a budget may spend any."""
        return len(self.rows) >= SPOOL

    def gather(self) -> bool:
        """Turn what has come into rows; whether there is anything to write."""
        while self.queue:
            told = self.queue.popleft()
            if isinstance(told, Record):
                self.take(told)
            elif isinstance(told, Outcome):
                self.hold(told)
            else:
                self.mirror(told)
        if len(self.rows) > SPOOL:
            self.lose()
        del self.lines[: max(0, len(self.lines) - HELD)]
        del self.mirrored[: max(0, len(self.mirrored) - HELD)]
        return bool(self.rows or self.lines or self.mirrored or self.open)

    def lose(self) -> None:
        """There is no room for the youngest rows."""
        if not self.lost:
            self.news.tell("error", "ledger.full", rows=SPOOL, effect="callers with a budget are refused")
        self.lost += len(self.rows) - SPOOL
        del self.rows[SPOOL:]

    def take(self, record: Record) -> None:
        """A request with all its attempts."""
        if record.attempts:
            self.claim(record)
            self.add(*rows_of(record, self.team_of(record.caller), self.hourly))
        if self.keeps:
            self.keep(record)

    def keep(self, record: Record) -> None:
        """A request for the log; one that JSON cannot hold is left out."""
        deployment = record.deployment
        model, backend = ("", "") if deployment is None else (deployment.model, deployment.backend)
        try:
            body = packed(record, self.numbers.of)
        except (TypeError, ValueError) as exc:
            self.news.tell("warning", "request.not_kept", id=record.id, reason=str(exc)[:200])
            return
        self.lines.append(Line(record.id, record.at, record.caller, record.route, model, backend, record.outcome, body))

    def claim(self, record: Record) -> None:
        """The attempts that a request has among its own wait no longer."""
        own = {(outcome.deployment.name, outcome.started) for outcome in record.attempts}
        told = self.open.pop(record.id, ())
        others = [outcome for outcome in told if (outcome.deployment.name, outcome.started) not in own]
        if others:
            self.open[record.id] = others
        else:
            self.since.pop(record.id, None)

    def hold(self, outcome: Outcome) -> None:
        """An attempt waits for its request, which has it among its own, unless it was over before."""
        self.open.setdefault(outcome.request, []).append(outcome)
        self.since.setdefault(outcome.request, self.clock())

    def mirror(self, told: Shadowed) -> None:
        """What came of a request's copy."""
        row = copied(told, self.wall(), self.hourly)
        if row is not None:
            self.add(row)
        if self.keeps:
            self.mirrored.append(Mirrored(told.id, orjson.dumps(self.shown(told))))

    def add(self, *rows: Row) -> None:
        """Rows of the ledger; one without a price is told of."""
        for one in rows:
            if one.usd is None:
                self.alarm(one.backend, one.model)
        self.rows += rows

    def alarm(self, backend: str, model: str) -> None:
        """Say that nobody knows what an attempt has cost, once a deployment."""
        if not self.unpriced[backend, model]:
            remedy = f"write `models: {{{model}: {{price: {{input: 1, output: 1}}}}}}` at the backend"
            self.news.tell("error", "price.unknown", backend=backend, model=model, do=remedy)
        self.unpriced[backend, model] += 1

    def write(self, db: sqlite3.Connection) -> None:
        """Write everything."""
        if self.lines:
            self.numbers.write(db)
            statement = (
                "INSERT INTO requests (id, at, caller, route, model, backend, outcome) VALUES (?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT DO NOTHING RETURNING seq"
            )
            for line in self.lines:
                if (written := db.execute(statement, line[:-1]).fetchone()) is not None:
                    db.execute("INSERT INTO records VALUES (?, ?)", (written[0], line.body))
        db.executemany(INSERT_NEW, self.rows)
        db.executemany("INSERT INTO shadows VALUES (?, ?) ON CONFLICT DO NOTHING", self.mirrored)
        self.settle_late(db)

    def settle_late(self, db: sqlite3.Connection) -> None:
        """Attempts that ended after their request: its row says whose they are."""
        self.done = []
        for request, outcomes in list(self.open.items()):
            for outcome in outcomes:
                row = late(db, outcome, self.hourly)
                if row is None and (age := self.clock() - self.since[request]) > UNCLAIMED:
                    row = row_of_nobody(outcome, self.wall() - age, self.hourly)
                if row is not None:
                    db.execute(INSERT_NEW, row)
                    self.done.append(request)

    def written(self) -> None:
        """It is on disk: forget it."""
        self.rows, self.lines, self.mirrored = [], [], []
        for request in self.done:
            self.open.pop(request, None)
            self.since.pop(request, None)
        self.done = []
