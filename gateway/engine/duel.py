"""Two attempts beside one another, the second where the first is slow: to whoever reads the answer, one attempt."""

from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Protocol

from gateway.engine.attempt import BEATEN, Attempt, Manner
from gateway.engine.hedge import scarce
from gateway.engine.race import race
from gateway.engine.seam import Seam
from gateway.engine.tools import Tools
from gateway.engine.turns import Turn, Turns
from gateway.errors import GatewayError
from gateway.outcomes import Outcome
from gateway.routing.policy import Hedge, Route
from gateway.types import Chunk, Deployment

Tried = tuple[Turn, Attempt]


class Duel:
    """The attempt of one turn, and of a second turn where the first is slow: to whoever reads it, one attempt."""

    def __init__(self, first: Tried, second: Callable[[], Tried | None], after: float) -> None:
        self.tried = [first]
        self.second = second
        self.leader = first  # who answers, or whose error counts
        self.errors: list[tuple[Tried, GatewayError]] = []
        self.running = race(self.run(first), self.other, after)

    async def __aenter__(self) -> "Duel":
        """It begins."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """It is over: both attempts are."""
        await self.running.aclose()

    async def batch(self) -> list[Chunk] | None:
        """The next of the answer, None at its end. Raises UpstreamError."""
        try:
            found = await anext(self.running, None)
        except GatewayError as exc:
            self.leader = next((tried for tried, error in self.errors if error is exc), self.leader)
            raise
        if found is None:
            return None
        self.leader, batch = found
        for _, attempt in self.tried:
            attempt.beaten = attempt is not self.leader[1]  # before its task hears of it
        return batch

    def other(self) -> AsyncGenerator[tuple[Tried, list[Chunk]], None] | None:
        """The second attempt, if there may be one."""
        second = self.second()
        if second is None:
            return None
        self.tried.append(second)
        return self.run(second)

    async def run(self, tried: Tried) -> AsyncGenerator[tuple[Tried, list[Chunk]], None]:
        """One attempt, from its beginning to its end."""
        try:
            async with tried[1] as attempt:
                while (batch := await attempt.batch()) is not None:
                    yield tried, batch
        except GatewayError as exc:
            self.errors.append((tried, exc))
            raise

    def failed(self) -> list[tuple[Turn, GatewayError]]:
        """The turn that has failed besides the one whose error counts, and its error."""
        return [(tried[0], error) for tried, error in self.errors if tried is not self.leader]


class Hedging(Protocol):
    """What is looked at of an answer, and asked of it."""

    route: Route
    seam: Seam | None

    @property
    def tools(self) -> Tools:
        """What it is made with."""
        ...

    def manner(self, turns: Turns, turn: Turn) -> Manner:
        """How the answer of a turn is handled."""
        ...

    def begin(self, turn: Turn, manner: Manner, seam: Seam | None) -> Attempt:
        """The attempt of a turn."""
        ...


def duel(answer: Hedging, rule: Hedge, turns: Turns, first: Tried) -> Duel | None:
    """The first attempt with a second one beside it where it is slow; None where that cannot be."""
    (turn, attempt), tools = first, answer.tools
    budget = tools.hedges.budget(answer.route.name, rule.budget)
    budget.request()
    whole, stats = attempt.whole or attempt.manner.lump, tools.book.of(attempt.deployment)
    after = tools.hedges.after(rule, turn.choice, stats, whole)
    if after is None:
        return None

    def second() -> Tried | None:
        choice = turns.beside()
        if choice is None or scarce(tools.book, (attempt.deployment, choice.deployment)) or not budget.take():
            return None
        other = turns.first_time()
        return None if other is None else (other, answer.begin(other, answer.manner(turns, other), answer.seam))

    return Duel(first, second, after)


def place(outcomes: list[Outcome], outcome: Outcome, leader: Deployment | None) -> None:
    """Put an outcome among those before it: one that was beaten comes before the one that has answered."""
    answered = bool(outcomes) and outcomes[-1].deployment is leader
    outcomes.insert(len(outcomes) - (answered and outcome.error_type == BEATEN), outcome)
