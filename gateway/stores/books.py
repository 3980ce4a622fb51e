"""The gateway's books: all that is kept in the state file, and the one thread that writes it."""

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple

from gateway.outcomes import Shadowed
from gateway.stores.journal import Journal
from gateway.stores.ledger import Hourly, TeamOf
from gateway.stores.news import News
from gateway.stores.reservations import Reservations, Spent, charge, spent
from gateway.stores.retention import Bounds, Retention
from gateway.stores.state import StateAway, StateFile, StateRefused
from gateway.stores.writer import Writer
from gateway.types import Json

FOLLOW_SECONDS = 1.0
SHARED = "give each gateway a GATEWAY_STATE_DIR of its own, or all a GATEWAY_STORE_URL: each counts budgets by itself"


class Wants(NamedTuple):
    """What the books need to know of the rest: costs of own hardware, teams, and how a copy is shown."""

    hourly: Hourly
    team_of: TeamOf
    shown: Callable[[Shadowed], Json]


class Books:
    """Opened before the first request, closed after the last."""

    def __init__(self, state: StateFile, wants: Wants, bounds: Bounds = Bounds()) -> None:  # noqa: B008 - frozen
        self.state = state
        self.news = News()
        self.owner = secrets.token_hex(8)
        self.journal = Journal(wants.hourly, wants.team_of, wants.shown, self.news, keeps=bounds.days > 0)
        self.reservations = Reservations(self.owner)
        self.writer = Writer(state, (self.journal, self.reservations, Retention(bounds)), self.news)
        self.alone: bool | None = None  # whether no other gateway uses the directory; None: not known yet
        self.charged = False  # whether what others had reserved was looked for

    def open(self) -> None:
        """Begin to write."""
        self.claim()
        self.writer.start()

    def close(self) -> None:
        """Write the rest; blocks for as long as that takes."""
        self.writer.close()
        self.state.release()
        self.news.pour()

    def claim(self) -> None:
        """Try to have the directory for ourselves: then what others had reserved is theirs no more, and is charged."""
        before, self.alone = self.alone, self.state.claim()
        if not self.alone:
            if before is None:
                self.news.tell("error", "state.shared", directory=str(self.state.path.parent), do=SHARED)
            return
        try:
            count = 0 if self.state.empty else self.state.transact(lambda db: charge(db, self.owner))
        except (StateAway, StateRefused):
            return  # the writer says so, and this is tried again
        self.charged = True
        if count:
            self.news.tell("warning", "reservations.charged", count=count)

    async def follow(self) -> None:
        """Say what the writer has to say, and try to have the directory, for as long as this is awaited."""
        while True:
            self.news.pour()
            if not self.charged:
                await asyncio.to_thread(self.claim)
            await asyncio.sleep(FOLLOW_SECONDS)

    def spent(self, today: int, first: int) -> list[Spent]:
        """What everybody has spent; days since 1970: today, and the first of the month. Nothing where it is unknown."""
        try:
            return [] if self.state.empty else self.state.read(lambda db: spent(db, today, first))
        except (StateAway, StateRefused):
            return []
