"""One request's way: cache, plan, attempts until one of them has content, and what is known of it afterwards."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial

import orjson
import structlog

from gateway.engine.attempt import Attempt, Manner, patience_of
from gateway.engine.budget import Budgets
from gateway.engine.observers import tell_attempted
from gateway.engine.rollouts import rolled
from gateway.engine.seam import Seam
from gateway.engine.splice import summed
from gateway.engine.transitions import turned
from gateway.engine.turns import Turn, Turns
from gateway.errors import Inadequate, NoCandidate, NotCached, PolicyError, TotalTimeout, UpstreamError
from gateway.providers.port import Provider
from gateway.routing.causes import BURST, OVERLOADED, cause_of
from gateway.routing.filters import unavailable
from gateway.routing.planner import plan
from gateway.routing.policy import Policy, Route
from gateway.routing.stats import StatsBook
from gateway.stores.cache import ENTRY_BYTES, Cache, Entry, cache_key
from gateway.types import (
    Backend,
    CacheResult,
    ChatRequest,
    Choice,
    Chunk,
    Deployment,
    Observer,
    Outcome,
    Plan,
    Usage,
)

LEAKED = (
    "the server does not parse tool calls: start vLLM with --enable-auto-tool-choice and --tool-call-parser, "
    "or set repair_tool_calls on the route"
)
log = structlog.get_logger()
NO_CAUSES: frozenset[str] = frozenset()
JUDGED = frozenset({"tools", "json_schema", "json_object"})  # needs whose streams are held until they can be judged
EXHAUSTED_RETRY = 2.0  # seconds after which it is worth while to ask again when everybody has failed
REPEATED = "x-stainless-retry-count"  # how often an SDK has sent the request before
WAIT_STEP = 0.05  # seconds between two looks for a candidate


@dataclass(frozen=True, slots=True)
class Tools:
    """What answering needs, built once; time and chance are among it."""

    provider: Callable[[Backend], Provider]
    book: StatsBook
    cache: Cache
    observers: tuple[Observer, ...]
    clock: Callable[[], float]  # monotonic seconds
    wall: Callable[[], float]  # Unix time
    chance: Callable[[], float]  # in [0, 1)
    sleep: Callable[[float], Awaitable[None]]
    budgets: Budgets = field(default_factory=Budgets)  # of retries


class Answer:
    """The answer to one request, and all that is known of it so far."""

    def __init__(self, request: ChatRequest, policy: Policy, route: Route, tools: Tools) -> None:
        self.request = request
        self.policy = policy
        self.route = route
        self.tools = tools
        self.plan: Plan | None = None
        self.answered: Outcome | None = None  # where it is not the last attempt that answered
        self.chance: float | None = None  # that plans are made with
        self.outcomes: list[Outcome] = []
        self.deployment: Deployment | None = None  # who answers, or was asked last
        self.choice: Choice | None = None  # the same, as the plan has it
        self.attempted = 0  # attempts so far, a running one included
        self.seam: Seam | None = None  # of a stream that may be joined to another one
        self.cache: CacheResult = "bypass"
        self.hit: Entry | None = None
        self.whole = False
        self.asked: float | None = None  # when the first attempt began
        self.content: float | None = None  # when the first content came

    def chunks(self) -> AsyncGenerator[list[Chunk], None]:
        """The answer as it comes; its first piece is the commit point. Raises GatewayError."""
        key = self.key()
        return self.asking() if key is None else self.remembering(key)

    async def remembering(self, key: bytes) -> AsyncGenerator[list[Chunk], None]:
        """The answer from the cache, or a new one that is kept if it is whole."""
        if await self.look_up(key):
            yield self.replay()
            return
        keep: list[bytes] = []
        size = 0
        async with aclosing(self.asking()) as batches:
            async for batch in batches:
                size += sum([len(chunk.data) for chunk in batch])
                keep += [chunk.data for chunk in batch] if size <= ENTRY_BYTES else []
                yield batch
        if self.whole and size <= ENTRY_BYTES and not self.request.cache.no_store:
            await self.store(key, keep)

    async def asking(self) -> AsyncGenerator[list[Chunk], None]:
        """The one loop of failover: from deployment to deployment of the plan until one has content."""
        choices = (await self.made()).choices
        turns = Turns(choices, self.route.attempts, self.tools.chance, self.closed, self.budgeted())
        seam = self.seam = Seam(self.request, self.route.mid_stream) if self.request.stream and self.joins else None
        flawed: Attempt | None = None
        turn = turns.next()
        while turn is not None:
            await self.pause(turn.wait)
            attempt = self.begin(turn, self.manner(turns, turn), seam)
            try:
                async with attempt:
                    while (batch := await attempt.batch()) is not None:
                        if not attempt.told:
                            self.begun(attempt)
                        if seam is None:
                            yield batch
                        elif given := seam.given(batch):
                            yield given
                self.whole = attempt.tally.whole and (seam is None or seam.broken is None)  # two made it otherwise
                if attempt.leaks:
                    log.warning("tool_calls.leaked", request=self.request.id, route=self.route.name, hint=LEAKED)
                return
            except UpstreamError as exc:
                error = exc
            if attempt.first is not None:
                if seam is None or not seam.breaks(error, self.outcomes[-1].usage):
                    raise error if seam is None or seam.broken is None else self.exhausted(seam.broken)
                turns.near(turn.choice.deployment.model)
            if isinstance(error, Inadequate):
                flawed = attempt
            turn = turns.next(turn.choice, error, partial(self.reserve, turns, turn.choice, error))
        if flawed is not None:
            yield self.settled_for(flawed)
            return
        raise self.exhausted(error if seam is None or seam.broken is None else seam.broken)

    def begun(self, attempt: Attempt) -> None:
        """An attempt has given its first content: its deployment answers, however long the rest takes."""
        attempt.told, first = True, attempt.first or attempt.started
        self.content = self.content or first
        turned(attempt.deployment, self.tools.book.answering(attempt.deployment, attempt.started, first))

    def settled_for(self, flawed: Attempt) -> list[Chunk]:
        """A whole answer with a flaw, which nobody has done better."""
        outcome = next(one for one in self.outcomes if one.deployment is flawed.deployment)
        self.deployment, self.answered, self.content = flawed.deployment, outcome, outcome.ended
        return flawed.held

    def budgeted(self) -> Callable[[], bool]:
        """What tells whether the route's budget has a retry left; a repetition by the caller's SDK takes one too."""
        budget, clock = self.tools.budgets.of(self.route.name, self.route.retry_budget), self.tools.clock
        count = budget.request if self.request.headers.get(REPEATED, "0") == "0" else budget.retried
        count(clock())
        return lambda: budget.may_retry(clock())

    @property
    def joins(self) -> bool:
        """Whether a stream that breaks may be joined to another one."""
        return self.route.mid_stream in ("splice", "continue")

    async def made(self) -> Plan:
        """The plan of this request, made now, or as soon as there is a candidate if the route waits for one."""
        if self.request.cache.only_if_cached:
            raise NotCached("The request wants a cached answer only, and there is none; ask without only-if-cached.")
        until = self.tools.clock() + self.route.wait
        while True:
            try:
                return self.planned(NO_CAUSES)
            except NoCandidate:
                left = until - self.tools.clock()
                if left <= 0:
                    raise
                await self.pause(min(left, WAIT_STEP))

    def planned(self, causes: frozenset[str]) -> Plan:
        """A plan by what is known now; `causes` call reserves. Raises PolicyError."""
        if self.chance is None:  # one for all plans of a request: it must not change its arm on the way
            self.chance = self.tools.chance()
        self.plan = plan(self.request, self.route, self.tools.book, self.tools.clock(), self.chance, causes)
        self.tools.book.decided(self.plan, self.route.burst is not None)
        return self.plan

    def reserve(self, turns: Turns, failed: Choice, error: UpstreamError) -> Turn | None:
        """The turn of a reserve that waits for what has gone wrong; None when the route holds none for it."""
        assert self.plan is not None
        cause = cause_of(error, failed.deployment.model)
        if not cause or cause in self.plan.causes or cause not in self.route.causes:
            return None
        try:
            called = self.planned(self.plan.causes | {cause}).choices
            return turns.joined([choice for choice in called if choice.when == cause])
        except PolicyError:
            return None

    def begin(self, turn: Turn, manner: Manner, seam: Seam | None) -> Attempt:
        """The attempt of a turn; one that takes up a broken answer asks for what the seam needs."""
        deployment = turn.choice.deployment
        self.deployment, self.choice = deployment, turn.choice
        self.attempted += 1
        provider = self.tools.provider(self.policy.backends[deployment.backend])
        limits = deployment.timeouts
        measured = self.tools.book.of(deployment).per_token is not None
        whole = self.request.stream and provider.kind.whole(self.request, deployment)
        last = turn.last and not self.held_back
        patience = patience_of(self.request, turn.choice, limits, last, measured, whole)
        manner = manner._replace(lump=True) if whole else manner
        request = self.request
        if seam is not None and seam.broken is not None:
            request = seam.resume(provider.kind)
        clock, spent = self.tools.clock, self.spent if self.outcomes else 0.0
        attempt = Attempt(request, deployment, provider, limits, patience, clock, self.ended, manner, spent)
        self.asked = self.asked or attempt.started
        turned(deployment, self.tools.book.started(deployment, attempt.started))
        return attempt

    @property
    def spent(self) -> float | None:
        """US dollars of all attempts that are over; None where any is not known."""
        costs = [outcome.cost for outcome in self.outcomes if outcome.usage is not None]
        return None if None in costs else sum(cost for cost in costs if cost is not None)

    @property
    def usage(self) -> Usage | None:
        """What the caller is told of tokens: those of the attempt that answered, or of the two that did together."""
        outcome = self.answered or (self.outcomes[-1] if self.outcomes else None)
        last = None if outcome is None else outcome.usage
        return last if last is None or self.seam is None else summed(self.seam.used, last)

    @property
    def held_back(self) -> bool:
        """Whether the route has reserves that are still to be asked where this attempt is silent."""
        assert self.plan is not None
        waiting = self.route.causes - self.plan.causes
        return OVERLOADED in waiting and self.attempted < self.route.attempts

    def manner(self, turns: Turns, turn: Turn) -> Manner:
        """How the answer of a turn is handled: it is judged only while a larger model is left to do better."""
        flaws = self.route.escalate if self.route.escalate and turns.larger_left(turn.choice) else NO_CAUSES
        judged = bool(flaws) and not self.request.needs.isdisjoint(JUDGED)
        return Manner(self.route.mid_stream == "buffer" or judged, flaws, self.route.repair)

    @property
    def alone(self) -> bool:
        """Whether the request wants one provider or none, whichever that is."""
        wishes = self.request.preferences
        return wishes is not None and not wishes.allow_fallbacks and not wishes.order

    @property
    def first(self) -> Deployment:
        """Who was asked first, or will be."""
        assert self.plan is not None
        return self.outcomes[0].deployment if self.outcomes else self.plan.choices[0].deployment

    def closed(self, choice: Choice) -> str | None:
        """Why a choice of the plan cannot be asked any more."""
        if self.alone and choice.deployment.backend != self.first.backend:
            return "the request allows no fallbacks"
        return unavailable(choice.deployment, self.tools.book, self.tools.clock())

    def ended(self, outcome: Outcome) -> None:
        """An attempt is over: learn from it and tell the observers."""
        self.outcomes.append(outcome)
        book = self.tools.book
        turned(outcome.deployment, book.ended(outcome))
        book.habits(self.route.name, outcome.deployment.model, self.request.prompt_tokens, outcome)
        if self.choice is not None and self.choice.when == BURST and outcome.cost:
            book.spend(self.route.name, outcome.cost, outcome.ended)
        if self.route.arms and self.plan is not None:
            rolled(self.route, self.plan.arm, book, outcome)
        tell_attempted(self.tools.observers, outcome)

    async def pause(self, seconds: float) -> None:
        """Wait before the next attempt; raises TotalTimeout when the request's time would run out."""
        deadline = self.request.deadline
        if deadline is not None and self.tools.clock() + seconds >= deadline:
            raise self.exhausted(TotalTimeout("The time for this request is used up; ask for less, or allow more."))
        if seconds:
            await self.tools.sleep(seconds)

    def exhausted(self, error: UpstreamError) -> UpstreamError:
        """The last error, with all of them told, and the SDK asked not to repeat what was repeated already."""
        before = self.before(error)
        error.message, error.logged = before + error.message, before + error.logged
        error.details = {
            "attempts": [
                {"deployment": outcome.deployment.name, "error": outcome.error_type} for outcome in self.outcomes
            ]
        }
        error.headers = (("x-should-retry", "false"),)
        if error.elsewhere and error.status != 400 and error.retry_after is None:
            error.retry_after = EXHAUSTED_RETRY
        return error

    def before(self, error: UpstreamError) -> str:
        """What to say before the last error: how the other attempts ended, and whose it is if it is one of theirs."""
        mine = next((one for one in reversed(self.outcomes) if one.message == error.logged), None)
        others = "".join(f"{one.deployment.name}: {one.message} " for one in self.outcomes if one is not mine)
        if len(self.outcomes) < 2:
            return others
        name = "" if mine is None else f"{mine.deployment.name}: "
        return f"All {len(self.outcomes)} attempts failed. {others}{name}"

    def key(self) -> bytes | None:
        """The cache key, when the route caches and the caller does not forbid it."""
        if self.route.cache is None or (self.request.cache.no_store and self.request.cache.no_cache):
            return None
        return cache_key(self.request.caller.name, self.route.name, self.request)

    async def look_up(self, key: bytes) -> bool:
        """Whether there is a cached answer that caller and route accept today."""
        control, rules = self.request.cache, self.route.cache
        if rules is None or control.no_cache:
            return False
        self.cache = "miss"
        age = rules.ttl if control.max_age is None else min(rules.ttl, control.max_age)
        entry = await self.tools.cache.get(key, self.tools.clock() - age)
        if entry is None or not self.route.serves(entry.deployment):
            return False
        self.cache, self.hit, self.deployment = "hit", entry, entry.deployment
        return True

    def replay(self) -> list[Chunk]:
        """The cached answer; it costs nothing now."""
        assert self.hit is not None
        self.content = self.tools.clock()
        return [free(Chunk(data, orjson.loads(data))) for data in self.hit.chunks]

    async def store(self, key: bytes, chunks: list[bytes]) -> None:
        """Keep a whole answer."""
        outcome = self.outcomes[-1]
        now = self.tools.clock()
        entry = Entry(tuple(chunks), outcome.deployment, self.usage, outcome.cost, now)
        await self.tools.cache.put(key, entry)


def free(chunk: Chunk) -> Chunk:
    """A cached chunk with `usage.cost` zero, where it has one."""
    usage = chunk.body.get("usage")
    if not isinstance(usage, dict) or "cost" not in usage:
        return chunk
    body = {**chunk.body, "usage": {**usage, "cost": 0.0}}
    return Chunk(orjson.dumps(body), body)
