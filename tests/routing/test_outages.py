"""A primary goes down under steady traffic and comes back: virtual time, the real planner, the real book."""

import heapq
from collections.abc import Callable
from functools import partial
from itertools import count
from random import Random
from typing import NamedTuple

import pytest

from gateway.outcomes import Outcome
from gateway.routing.book import StatsBook
from gateway.routing.breaker import state
from gateway.routing.lane import Candidate
from gateway.routing.planner import plan
from gateway.routing.policy import Route
from gateway.types import Choice, Price
from tests.routing.samples import deployment, fault, outcome, request, route, usage

WARM_UP, OUTAGE, AFTER = 20.0, 60.0, 60.0
DOWN, UP = 1000.0 + WARM_UP, 1000.0 + WARM_UP + OUTAGE
FIRST, WHOLE = 0.3, 3.0  # seconds of a stream
PRIMARY = deployment("primary", price=Price(0.1, 0.1))
SPARE = deployment("spare", price=Price(1.0, 1.0))
LAST = deployment("last", "llama-3.1-8b-instruct", price=Price(1.0, 1.0))
BY_TIER = route(candidates=(Candidate(PRIMARY, 0), Candidate(LAST, 1)))
PEERS = route(PRIMARY, SPARE)


class Try(NamedTuple):
    """One attempt that has ended."""

    request: int
    outcome: Outcome


class World:
    """So many requests a second, and what came of them."""

    def __init__(
        self, rules: Route, healthy: Callable[[float], bool], fails_after: float = 0.05, hears: bool = True
    ) -> None:
        self.rules = rules
        self.hears = hears  # of the first content before the end
        self.healthy = healthy  # is the primary, at that time?
        self.fails_after = fails_after
        self.book = StatsBook()
        self.random = Random(7)
        self.tries: list[Try] = []
        self.states: list[tuple[float, str]] = []
        self.lost = 0
        self.events: list[tuple[float, int, Callable[[float], None]]] = []
        self.order = count()

    def run(self, rate: float, seconds: float) -> "World":
        """Requests at even intervals, until all of them have ended."""
        for number in range(int(rate * seconds)):
            at = 1000.0 + number / rate
            self.later(at, partial(self.arrive, number))
        while self.events:
            now, _, event = heapq.heappop(self.events)
            event(now)
        return self

    def later(self, at: float, event: Callable[[float], None]) -> None:
        heapq.heappush(self.events, (at, next(self.order), event))

    def arrive(self, number: int, now: float) -> None:
        """A new request."""
        made = plan(request(stream=True), self.rules, self.book, now, self.random.random())
        self.book.decided(made, bursts=False)
        self.ask(number, list(made.choices), now)

    def ask(self, number: int, choices: list[Choice], now: float) -> None:
        """The next attempt of a request."""
        if not choices:
            self.lost += 1
            return
        target = choices[0].deployment
        self.told(now, self.book.started(target, now))
        good = target is not PRIMARY or self.healthy(now)
        if good and self.hears:
            self.later(now + FIRST, lambda at: self.told(at, self.book.answering(target, now, at)))
        ended = now + (WHOLE if good else self.fails_after)
        facts = {"started": now, "streamed": True}
        if good:
            result = outcome(target, ended, first=now + FIRST, usage=usage(completion=50), **facts)
        else:
            result = fault(target, ended, **facts)
        self.later(ended, lambda at: self.end(number, choices[1:], result, at))

    def end(self, number: int, others: list[Choice], result: Outcome, now: float) -> None:
        """An attempt has ended; after a fault, the next one begins."""
        self.told(now, self.book.ended(result))
        self.tries.append(Try(number, result))
        if result.verdict == "fault":
            self.ask(number, others, now)

    def told(self, now: float, transition: object) -> None:
        """Keep the transitions."""
        if transition is not None:
            self.states.append((now, getattr(transition, "state", "")))

    def attempts(self, since: float, until: float) -> int:
        """Attempts at the primary in a span of time."""
        mine = [one.outcome for one in self.tries if one.outcome.deployment is PRIMARY]
        return sum(since <= one.started < until for one in mine)

    def back(self) -> float:
        """Seconds from its recovery to the first request that the primary has answered."""
        good = [one.outcome for one in self.tries if one.outcome.deployment is PRIMARY and one.outcome.verdict == "ok"]
        return min(one.started for one in good if one.started >= UP) - UP

    def share(self, since: float, until: float) -> float:
        """The primary's share of the answers in a span of time."""
        good = [one.outcome for one in self.tries if one.outcome.verdict == "ok"]
        firsts = [one.deployment is PRIMARY for one in good if since <= one.started < until]
        return sum(firsts) / len(firsts)


def outage(now: float) -> bool:
    """Down for a minute."""
    return not DOWN <= now < UP


@pytest.mark.parametrize("rules", [BY_TIER, PEERS], ids=["tiers", "peers"])
@pytest.mark.parametrize("fails_after", [0.0, 0.05], ids=["refuses", "fails"])
@pytest.mark.parametrize("rate", [1.0, 5.0, 50.0])
def test_outage_costs_few_attempts_and_the_primary_is_back_within_ten_seconds(
    rate: float, fails_after: float, rules: Route
) -> None:
    world = World(rules, outage, fails_after).run(rate, WARM_UP + OUTAGE + AFTER)
    assert world.attempts(DOWN, UP) <= 0.3 * rate * OUTAGE
    assert world.back() <= 10.0
    assert world.lost == 0
    assert world.states[-1][1] == "closed"
    assert world.states[-1][0] - UP <= 10.0
    assert world.share(UP + 50, UP + AFTER) > 0.95


@pytest.mark.parametrize("rules", [BY_TIER, PEERS], ids=["tiers", "peers"])
@pytest.mark.parametrize("rate", [5.0, 50.0])
def test_silent_outage_costs_the_requests_until_the_first_timeouts_and_few_more(rate: float, rules: Route) -> None:
    world = World(rules, outage, 12.0).run(rate, WARM_UP + OUTAGE + AFTER)
    opened = min(at for at, name in world.states if name == "open")
    assert opened - DOWN <= 15.0
    assert world.attempts(DOWN, UP) <= 0.3 * rate * OUTAGE
    assert world.attempts(opened, UP) <= OUTAGE / 15.0
    assert world.lost == 0


@pytest.mark.parametrize("rate", [1.0, 50.0])
def test_breaker_closes_by_whole_answers_as_well(rate: float) -> None:
    world = World(BY_TIER, outage, hears=False).run(rate, WARM_UP + OUTAGE + AFTER)
    assert world.back() <= 10.0
    assert state(world.book.of(PRIMARY).breaker, UP + AFTER) == "closed"
    assert world.share(UP + 50, UP + AFTER) > 0.95


@pytest.mark.parametrize("rate", [5.0, 50.0])
def test_recovered_deployment_gets_its_share_of_first_places_slowly(rate: float) -> None:
    world = World(PEERS, outage).run(rate, WARM_UP + OUTAGE + AFTER)
    closed = max(at for at, name in world.states if name == "closed")
    shares = [world.share(closed + second, closed + second + 10) for second in (0, 10, 20, 30)]
    assert shares == sorted(shares)
    assert shares[0] < 0.5 < shares[2]


@pytest.mark.parametrize("rules", [BY_TIER, PEERS], ids=["tiers", "peers"])
@pytest.mark.parametrize("rate", [1.0, 5.0, 50.0])
def test_flapping_upstream_makes_few_transitions_and_no_request_is_lost(rate: float, rules: Route) -> None:
    world = World(rules, lambda now: now % 2.0 < 1.0).run(rate, 300.0)
    assert len(world.states) <= 30 * 5
    assert world.lost == 0


@pytest.mark.parametrize("rate", [5.0, 50.0])
def test_only_deployment_is_asked_all_the_same_and_serves_as_soon_as_it_can(rate: float) -> None:
    world = World(route(PRIMARY), outage).run(rate, WARM_UP + OUTAGE + AFTER)
    assert world.lost == pytest.approx(rate * OUTAGE, abs=1)
    assert world.back() <= 1 / rate
