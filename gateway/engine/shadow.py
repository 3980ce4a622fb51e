"""Shadows: a share of a route's answered requests is asked again of others, to compare; nobody gets those answers."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing, suppress
from dataclasses import replace

import structlog

from gateway.engine.answer import JUDGED, Answer
from gateway.engine.attempt import Attempt, Manner, patience_of
from gateway.engine.judge import BROKEN_TOOL_CALL, INVALID_JSON, Said, add_body, wrong
from gateway.engine.observers import tell_shadowed
from gateway.engine.tally import Tally
from gateway.engine.tools import Tools
from gateway.engine.transitions import turned
from gateway.errors import GatewayError, NoCandidate, PolicyError
from gateway.outcomes import Measured, Outcome, Record, Shadowed
from gateway.routing.planner import plan
from gateway.routing.policy import Policy, Route, Shadow
from gateway.types import ChatRequest, Choice, Chunk, Preferences

AT_ONCE = 8  # mirrored requests in the whole gateway
MOST_CHARACTERS = 1 << 20  # of an answer that is put together
CLOSING = 5.0  # seconds for running ones to end at shutdown
FLAWS = frozenset({BROKEN_TOOL_CALL, INVALID_JSON})
FINISHES = frozenset({"stop", "length", "tool_calls", "content_filter"})  # an upstream's own words are not kept

log = structlog.get_logger()


class Seen:
    """An answer as it passes, until it is compared."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.said: dict[int, Said] = {}

    def add(self, chunks: Iterable[Chunk]) -> None:
        """The next of it."""
        for chunk in chunks:
            self.tally.add(chunk.body)
            if self.whole:
                add_body(self.said, chunk.body)

    @property
    def whole(self) -> bool:
        """Whether all of it is there; of an answer without end only the beginning is."""
        return self.tally.characters <= MOST_CHARACTERS

    @property
    def calls(self) -> list[str]:
        """The names of the tools that it calls, in alphabetical order."""
        return sorted(call.name for said in self.said.values() for call in said.calls.values())


class Sampled(Answer):
    """An answer that is looked at while it passes, because its request may be mirrored."""

    def __init__(self, request: ChatRequest, policy: Policy, route: Route, tools: Tools) -> None:
        super().__init__(request, policy, route, tools)
        self.seen = Seen()

    async def chunks(self) -> AsyncGenerator[list[Chunk], None]:
        """The answer as it comes. Raises GatewayError."""
        async with aclosing(super().chunks()) as batches:
            async for batch in batches:
                self.seen.add(batch)
                yield batch


class Shadows:
    """Mirrors requests in the background, a few at a time."""

    def __init__(self, tools: Tools, most: int = AT_ONCE) -> None:
        self.tools = tools
        self.most = most
        self.running: set[asyncio.Task[None]] = set()

    def opened(self, request: ChatRequest, policy: Policy, route: Route) -> Answer:
        """The answer to a request: for the share of them that its route mirrors, one that can be compared."""
        shadow = route.shadow
        sampled = shadow is not None and self.tools.chance() < shadow.share
        return (Sampled if sampled else Answer)(request, policy, route, self.tools)

    def over(self, answer: Answer, record: Record) -> None:
        """A request is over: mirror it if it was sampled and one deployment has answered it."""
        won = winner(record)
        if won is None or answer.route.shadow is None or not isinstance(answer, Sampled):
            return
        if len(self.running) >= self.most:
            tell_shadowed(self.tools.observers, Shadowed(record.id, record.route, "dropped"))
            return
        task = asyncio.get_running_loop().create_task(Mirror(answer, answer.route.shadow, won).run())
        self.running.add(task)
        task.add_done_callback(self.ended)

    def ended(self, task: asyncio.Task[None]) -> None:
        """A mirrored request has ended; a defect of ours is logged."""
        self.running.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("shadow.failed", exc_info=error)

    async def close(self) -> None:
        """End all that still run."""
        running = tuple(self.running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=CLOSING)


class Mirror:
    """One request asked again, once, and how that answer compares with the caller's."""

    def __init__(self, answer: Sampled, shadow: Shadow, won: Outcome) -> None:
        self.route = answer.route
        self.aside = aside(answer.route, shadow)
        self.limit = shadow.usd_per_hour
        self.request = unseen(answer.request)
        self.policy = answer.policy
        self.tools = answer.tools
        self.won = won
        self.first, self.second = answer.seen, Seen()

    async def run(self) -> None:
        """Ask, and tell what came of it."""
        choice = self.choice()
        if choice is None:
            return
        with suppress(GatewayError):  # the outcome has it
            async with self.attempt(choice) as attempt:
                while (batch := await attempt.batch()) is not None:
                    self.second.add(batch)

    def choice(self) -> Choice | None:
        """The best of the shadow lane; None when nobody may be asked now, which is told."""
        book, now = self.tools.book, self.tools.clock()
        if self.limit is not None and book.spent(self.aside.name, now) >= self.limit:
            self.tell(Shadowed(self.request.id, self.route.name, "budget"))
            return None
        try:
            found = plan(self.request, self.aside, book, now, self.tools.chance())
            if found.full:
                raise NoCandidate("Whoever could answer is full, and a mirrored request waits for nobody.")
            return found.choices[0]
        except PolicyError as exc:
            told = Shadowed(self.request.id, self.route.name, "no_candidate", None, None, exc.error_type, exc.logged)
            self.tell(told)
            return None

    def attempt(self, choice: Choice) -> Attempt:
        """The only attempt, within the route's limits and handled as the caller's was."""
        deployment, request, book = choice.deployment, self.request, self.tools.book
        provider = self.tools.provider(self.policy.backends[deployment.backend])
        limits = deployment.timeouts
        whole = request.stream and provider.kind.whole(request, deployment)
        patience = patience_of(request, choice, limits, True, False, whole)
        manner = Manner(buffered=self.buffered, repair=self.route.repair, lump=whole)

        def ended(outcome: Outcome) -> None:
            self.learn(choice, outcome)
            self.tell(self.compared(outcome))

        attempt = Attempt(request, deployment, provider, limits, patience, self.tools.clock, ended, manner)
        turned(deployment, book.started(deployment, attempt.started))
        return attempt

    def learn(self, choice: Choice, outcome: Outcome) -> None:
        """It is true of its deployment whoever asked; the route's habits are its callers' alone."""
        book, name = self.tools.book, self.aside.name
        turned(outcome.deployment, book.ended(outcome))
        self.tools.queues.freed(outcome.deployment.backend)
        book.habits(name, outcome.deployment.model, self.request.prompt_tokens, outcome)
        if outcome.usage is not None:
            book.spend(name, choice.forecast.usd if outcome.cost is None else outcome.cost, outcome.ended)

    def tell(self, told: Shadowed) -> None:
        """Tell the observers."""
        tell_shadowed(self.tools.observers, told)

    @property
    def buffered(self) -> bool:
        """Whether the route gives this answer when it is whole, or may: its first token cannot be compared."""
        judged = bool(self.route.escalate) and not self.request.needs.isdisjoint(JUDGED)
        return self.route.mid_stream == "buffer" or judged

    def compared(self, outcome: Outcome) -> Shadowed:
        """What came of it, side by side with the caller's answer when it is whole."""
        if outcome.outcome == "client_cancelled":  # no caller waits for it: only our end ends it
            return Shadowed(self.request.id, self.route.name, "shutdown", outcome.deployment, outcome.cost)
        told = Shadowed(
            self.request.id,
            self.route.name,
            outcome.outcome,
            outcome.deployment,
            outcome.cost,
            outcome.error_type,
            outcome.message,
        )
        if outcome.outcome != "success":
            return told
        answer, shadow = self.measured(self.won, self.first), self.measured(outcome, self.second)
        return replace(
            told,
            answer=answer,
            shadow=shadow,
            ratios=tuple(ratios(answer, shadow)),
            same_calls=same_calls(self.first, self.second),
        )

    def measured(self, outcome: Outcome, seen: Seen) -> Measured:
        """What is kept of an answer."""
        usage = outcome.usage
        first = (outcome.ended if outcome.first is None else outcome.first) - outcome.started
        choices = [said for _, said in sorted(seen.said.items())]
        judged = seen.whole and not self.request.needs.isdisjoint(JUDGED)
        return Measured(
            deployment=outcome.deployment,
            tokens=None if usage is None or usage.estimated else usage.completion,
            characters=seen.tally.characters,
            seconds=first + outcome.rest,
            ttft=first if self.request.stream and not self.buffered else None,
            cost=outcome.cost,
            finish=tuple(said.reason if said.reason in FINISHES else "other" for said in choices),
            flaw=wrong(self.request.body, choices, FLAWS) if judged else None,
        )


def winner(record: Record) -> Outcome | None:
    """The attempt that has answered a request all by itself; None when it failed, was joined or came from the cache."""
    if record.outcome != "success" or record.cache in ("hit", "coalesced"):
        return None
    gave = [outcome for outcome in record.attempts if outcome.first is not None]
    return gave[0] if len(gave) == 1 and gave[0].outcome == "success" else None


def aside(route: Route, shadow: Shadow) -> Route:
    """The route as its shadow has it: other candidates, the same constraints, and a budget and habits of its own."""
    return replace(
        route, name=f"shadow {route.name}", candidates=shadow.lane.candidates, excluded=(), arms=(), burst=None
    )


def unseen(request: ChatRequest) -> ChatRequest:
    """The request as it is mirrored: nobody waits for it, and its own wishes hold as to who may see it."""
    wishes = None if request.preferences is None else discreet(request.preferences)
    return replace(request, deadline=None, include_usage=False, preferences=wishes)


def discreet(wishes: Preferences) -> Preferences:
    """What a caller says of who may see a request; price, precision and model of an answer they do not get are not."""
    return wishes._replace(sort=None, max_prompt_price=None, max_completion_price=None, quantizations=None, models=())


def ratios(answer: Measured, shadow: Measured) -> Iterable[tuple[str, float]]:
    """Each quantity of the shadow by the answer's; length is in characters, as tokens differ from model to model."""
    pairs: tuple[tuple[str, float | None, float | None], ...] = (
        ("length", answer.characters, shadow.characters),
        ("ttft", answer.ttft, shadow.ttft),
        ("seconds", answer.seconds, shadow.seconds),
        ("cost", answer.cost, shadow.cost),
    )
    for quantity, usual, other in pairs:
        if usual and other is not None:
            yield quantity, other / usual


def same_calls(answer: Seen, shadow: Seen) -> bool | None:
    """Whether both call the same tools, by name; None when neither calls any."""
    calls = answer.calls, shadow.calls
    return None if calls == ([], []) else calls[0] == calls[1]
