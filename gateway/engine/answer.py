"""One request's way: cache, plan, attempts until one of them has content, and what is known of it afterwards."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import cast

import structlog

from gateway.engine.attempt import LEAKED, Attempt, Manner, patience_of
from gateway.engine.cached import Cached
from gateway.engine.duel import Duel, Tried, duel, place
from gateway.engine.exhausted import exhausted
from gateway.engine.leases import leased, reserve_more
from gateway.engine.observers import tell_attempted
from gateway.engine.rests import ReadRest
from gateway.engine.rollouts import rolled
from gateway.engine.seam import Seam
from gateway.engine.splice import summed
from gateway.engine.tools import Tools
from gateway.engine.transitions import turned
from gateway.engine.turns import Turn, Turns
from gateway.engine.waiting import Waiting
from gateway.engine.waste import outdone, wasted
from gateway.errors import Inadequate, NoCandidate, NotCached, PolicyError, Shed, TotalTimeout, UpstreamError
from gateway.outcomes import Outcome
from gateway.providers.port import Embedder
from gateway.routing.causes import BURST, OVERLOADED, cause_of
from gateway.routing.filters import unavailable
from gateway.routing.planner import plan
from gateway.routing.policy import Policy, Route
from gateway.stores.cache import Entry
from gateway.stores.limits import Lease, limited
from gateway.telemetry.trace_context import trace_of
from gateway.types import Backend, CacheResult, ChatRequest, Choice, Chunk, Deployment, Plan, Usage

log = structlog.get_logger()
NO_CAUSES: frozenset[str] = frozenset()
JUDGED = frozenset({"tools", "json_schema", "json_object"})  # needs whose streams are held until they can be judged
REPEATED = "x-stainless-retry-count"  # how often an SDK has sent the request before


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
        self.held: Deployment | None = None  # whose slot is held for the attempt that comes next
        self.waited = 0.0  # seconds for a slot, or for a candidate, before the first attempt
        self.rests: list[asyncio.Task[None]] = []  # that read what is left of attempts nobody waits for any more
        self.seam: Seam | None = None  # of a stream that may be joined to another one
        self.cache: CacheResult = "bypass"
        self.cached: Cached | None = None  # its way through the cache, once it was looked up there
        self.hit: Entry | None = None  # what was kept, or what somebody else asked for at the same time
        self.age = 0.0  # seconds, of what was kept
        self.alike: float | None = None  # to the question of what was kept, where it is another one
        self.kept = False  # whether it has been kept for others
        self.whole = False
        self.lease: Lease | None = None  # on what its caller may use, where that is limited
        self.more: tuple[Lease, ...] = ()
        self.asked: float | None = None  # when the first attempt began
        self.content: float | None = None  # when the first content came

    async def look_up(self) -> bytes | None:
        """The answer from the cache, as it goes out; None where the route has none or it is not there."""
        rules, tools = self.route.cache, self.tools
        if rules is None:
            return None
        self.cached = Cached(self, rules, tools.keeping, tools.clock, tools.chance)
        return await self.cached.look_up()

    def embedder(self, deployment: Deployment) -> Embedder | None:
        """Who makes vectors there, if it can be asked now."""
        if unavailable(deployment, self.tools.book, self.tools.clock()):
            return None
        provider = self.tools.provider(self.policy.backends[deployment.backend])
        return cast("Embedder", provider) if hasattr(provider, "embed") else None

    def chunks(self) -> AsyncGenerator[list[Chunk], None]:
        """The answer as it comes where it was not kept; its first piece is the commit point. Raises GatewayError."""
        return self.asking() if self.cached is None else self.cached.chunks()

    def asking(self) -> AsyncGenerator[list[Chunk], None]:
        """The answer of an upstream, within what its caller may use."""
        return leased(self) if limited(self.request.caller) and not self.request.cache.only_if_cached else self.trying()

    async def trying(self) -> AsyncGenerator[list[Chunk], None]:
        """The one loop of failover: from deployment to deployment of the plan until one has content."""
        choices = (await self.made()).choices
        turns = Turns(choices, self.route.attempts, self.tools.chance, self.closed, self.budgeted(), self.full)
        seam = self.seam = Seam(self.request, self.route.mid_stream) if self.request.stream and self.joins else None
        flawed: Attempt | None = None
        error: UpstreamError | None = None
        turn = turns.next()
        while turn is not None:
            if error is not None:
                await self.ready(turn, error)
            elif self.held is None:
                await self.pause(turn.wait)
            attempt = self.begin(turn, self.manner(turns, turn), seam)
            rule = None if self.outcomes else self.route.hedge
            twin = None if rule is None else duel(self, rule, turns, (turn, attempt))
            try:
                async with attempt if twin is None else twin as tried:
                    while (batch := await tried.batch()) is not None:
                        if not attempt.told:
                            if twin is not None:
                                turn, attempt = self.led(twin)
                            self.begun(attempt)
                        if seam is None:
                            yield batch
                        elif given := seam.given(batch):
                            yield given
                self.finish(attempt, flawed)
                return
            except UpstreamError as exc:
                error = exc
            if twin is not None:
                turn, attempt = self.led(twin)
                turns.hear_all(twin.failed())
            if attempt.first is not None:
                if seam is None or not seam.breaks(error, self.outcomes[-1]):
                    raise error if seam is None or seam.broken is None else exhausted(seam.broken, self.outcomes)
                turns.near(turn.choice.deployment.model)
            flawed = attempt if isinstance(error, Inadequate) else flawed
            if seam is not None and attempt.first is None and seam.refused(error):
                turns.again_at(turn.choice)
                turn = turns.next()
                continue
            turn = turns.next(turn.choice, error, partial(self.reserve, turns, turn.choice, error))
        if flawed is not None:
            yield self.settled_for(flawed)
            return
        assert error is not None
        raise exhausted(error if seam is None or seam.broken is None else seam.broken, self.outcomes)

    async def ready(self, turn: Turn, error: UpstreamError) -> None:
        """All that comes between a failed attempt and the next one: its wait, its cost, its slot."""
        await self.pause(turn.wait, error)
        if self.lease is not None:
            await reserve_more(self)
        if turn.waits:
            await self.room(turn.choice, error)

    def finish(self, attempt: Attempt, flawed: Attempt | None) -> None:
        """An attempt has answered; two have made it where the stream was joined."""
        self.whole = attempt.tally.whole and (self.seam is None or self.seam.broken is None)
        if attempt.leaks:
            log.warning("tool_calls.leaked", request=self.request.id, route=self.route.name, hint=LEAKED)
        if flawed is not None:
            self.outdone(flawed)

    def begun(self, attempt: Attempt) -> None:
        """An attempt has given its first content: its deployment answers, however long the rest takes."""
        attempt.told, first = True, attempt.first or attempt.started
        self.content = self.content or first
        turned(attempt.deployment, self.tools.book.answering(attempt.deployment, attempt.started, first))

    def settled_for(self, flawed: Attempt) -> list[Chunk]:
        """A whole answer with a flaw, which nobody has done better."""
        outcome = next(one for one in self.outcomes if one.deployment is flawed.deployment)
        self.deployment, self.answered, self.content = flawed.deployment, outcome, outcome.ended
        self.outdone(flawed)
        return flawed.held

    def outdone(self, flawed: Attempt) -> None:
        """Count what a larger model has done better."""
        if tokens := outdone(self.outcomes, self.answered):
            self.tools.wasted[flawed.deployment.backend, "escalation"] += tokens

    def led(self, twin: Duel) -> Tried:
        """The attempt of a duel that answers, or whose error counts."""
        turn, attempt = twin.leader
        self.deployment, self.choice = attempt.deployment, turn.choice
        return turn, attempt

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
        waiting: Waiting | None = None
        while True:
            try:
                found = self.planned(NO_CAUSES)
            except NoCandidate as error:
                waiting = waiting or self.waiting()
                await waiting.change(error)
                continue
            if found.full:
                waiting = waiting or self.waiting()
                if (choice := await waiting.slot(found.choices)) is None:
                    continue
                self.held = choice.deployment
                found = found._replace(choices=(choice, *[one for one in found.choices if one is not choice]))
                self.plan = found
            self.waited = 0.0 if waiting is None else self.tools.clock() - waiting.begun
            return found

    def waiting(self) -> Waiting:
        """A wait that begins now."""
        return Waiting(self.request, self.policy, self.route, self.tools, self.pause)

    async def room(self, choice: Choice, error: UpstreamError) -> None:
        """Wait until a deployment that has failed takes one more; raises that error if it does not."""
        queue = self.tools.queues.of(self.policy.backends[choice.deployment.backend])
        if queue.takes(choice.deployment):
            return
        with suppress(Shed):
            if await self.waiting().slot((choice,)) is not None:
                self.held = choice.deployment
                return
        raise exhausted(error, self.outcomes)

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
        backend = self.policy.backends[deployment.backend]
        provider = self.tools.provider(backend)
        limits = deployment.timeouts
        measured = self.tools.book.of(deployment).per_token is not None
        whole = self.request.stream and provider.kind.whole(self.request, deployment)
        last = turn.last and not self.held_back
        patience = patience_of(self.request, turn.choice, limits, last, measured, whole)
        manner = manner._replace(lump=True) if whole else manner
        request = self.request
        if seam is not None and seam.broken is not None:
            request = seam.resume(provider.kind, deployment.model)
        if self.tools.trace is not None and (own := trace_of(request.trace)) is not None:
            request = replace(request, trace=own.child(self.attempted).header)
        clock, spent = self.tools.clock, self.spent if self.outcomes else 0.0
        leave = None if backend.read_on is None else partial(self.leave, backend)
        attempt = Attempt(request, deployment, provider, limits, patience, clock, self.ended, manner, spent, leave)
        self.asked = self.asked or attempt.started
        if self.held is not None:
            self.tools.book.untake(self.held)
            self.held = None
        turned(deployment, self.tools.book.started(deployment, attempt.started))
        return attempt

    def leave(self, backend: Backend, read: ReadRest) -> bool:
        """Let others read what is left of an attempt's answer; False where that is not done."""
        task = self.tools.rests.take(backend, read)
        if task is not None:
            self.rests.append(task)
        return task is not None

    def after(self, tell: Callable[[], None]) -> None:
        """Call when all attempts are over: now, or when what is left of them was read."""
        left = next((task for task in self.rests if not task.done()), None)
        if left is None:
            tell()
        else:
            left.add_done_callback(lambda _: self.after(tell))

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

    def full(self, choice: Choice) -> bool:
        """Whether a choice that is closed is merely full, so that it can be waited for."""
        now, book = self.tools.clock(), self.tools.book
        stats, alone = book.of(choice.deployment), self.alone and choice.deployment.backend != self.first.backend
        return not alone and stats.up(now)

    def ended(self, outcome: Outcome) -> None:
        """An attempt is over: learn from it and tell the observers."""
        book, tools, deployment = self.tools.book, self.tools, outcome.deployment
        if self.route.hedge is None:
            self.outcomes.append(outcome)
        else:
            tools.hedges.learn(self.chosen(deployment), book.of(deployment), outcome)
            place(self.outcomes, outcome, self.deployment)
        turned(deployment, book.ended(outcome))
        if tools.queues.all:
            tools.queues.freed(deployment.backend)
        if outcome.wasted or (self.seam is not None and self.seam.joint is not None):
            for reason, tokens in wasted(outcome, self.seam):
                tools.wasted[deployment.backend, reason] += tokens
        book.habits(self.route.name, outcome.deployment.model, self.request.prompt_tokens, outcome)
        if self.route.burst is not None and outcome.cost and self.chosen(deployment).when == BURST:
            book.spend(self.route.name, outcome.cost, outcome.ended)
        if self.route.arms and self.plan is not None:
            rolled(self.route, self.plan.arm, book, outcome)
        tell_attempted(self.tools.observers, outcome)

    def chosen(self, deployment: Deployment) -> Choice:
        """The choice by which a deployment was asked."""
        assert self.plan is not None and self.choice is not None
        choices = (choice for choice in self.plan.choices if choice.deployment is deployment)
        return self.choice if self.choice.deployment is deployment else next(choices, self.choice)

    async def pause(self, seconds: float, error: UpstreamError | None = None) -> None:
        """Wait before the next attempt, since the last one failed so.

        When the request's time would run out in it, raises TotalTimeout, or the error that asked for that wait.
        """
        deadline = self.request.deadline
        if deadline is not None and self.tools.clock() + seconds >= deadline:
            if error is not None and error.retry_after is not None and seconds:
                raise exhausted(error, self.outcomes)
            late = TotalTimeout("The time for this request is used up; ask for less, or allow more.")
            raise exhausted(late, self.outcomes)
        if seconds:
            await self.tools.sleep(seconds)
