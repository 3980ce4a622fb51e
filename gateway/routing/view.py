"""A lane as one request sees it now: columns of what each candidate would cost and how long it would take."""

from itertools import repeat
from operator import itemgetter, mul
from typing import NamedTuple

from gateway.routing.forecast import FRESH, Latency, believed, measured, queued
from gateway.routing.lane import Lane
from gateway.routing.policy import Route
from gateway.routing.stats import EXPECTED_OUTPUT, UNSEEN, Stats, StatsBook
from gateway.types import ChatRequest, Deployment, Forecast

READ = ("ttft", "per_token", "slope", "offset", "seen", "ejected_until", "resting_until", "tail", "failing", "failed")
COLUMNS = itemgetter(*[Stats._fields.index(name) for name in READ])


class Case(NamedTuple):
    """One candidate considered for one request: all that a filter may look at."""

    request: ChatRequest
    route: Route
    deployment: Deployment
    stats: Stats
    forecast: Forecast
    in_flight: int
    now: float
    tier: int
    when: str = ""
    causes: frozenset[str] = frozenset()
    language: str | None = None  # of the request, where the route asks for it and it can be told
    asked: int = 0  # requests in flight to the deployment itself
    limit: int | None = None  # that it bears at a time, when it was overloaded lately


class View:
    """Columns, a value for each candidate of the lane: tokens, US dollars, seconds.

    This is the inner loop of every plan: lists and few calls, because ten candidates must take 25 microseconds.
    """

    __slots__ = (
        "book",
        "causes",
        "ejected",
        "failed",
        "failing",
        "flying",
        "lane",
        "language",
        "last_ejected",
        "now",
        "output",
        "prompts",
        "request",
        "resting",
        "route",
        "seconds",
        "seen",
        "stats",
        "tails",
        "ttfts",
        "usd",
    )

    def __init__(self, request: ChatRequest, route: Route, lane: Lane, book: StatsBook, now: float) -> None:
        self.request = request
        self.route = route
        self.lane = lane
        self.book = book
        self.now = now
        self.causes: frozenset[str] = frozenset()
        self.language = None if route.detect is None else route.detect(request)
        seen, flights = book.deployments.get, book.in_flight.get
        self.stats = [seen(name, UNSEEN) for name in lane.names]
        self.flying = [flights(backend, 0) for backend in lane.backends]
        self.prompts = self.prompt_tokens()
        self.output = self.output_tokens()
        self.usd = self.dollars()
        self.ttfts: list[float] = []
        self.seconds: list[float] = []
        self.time()

    def prompt_tokens(self) -> list[int]:
        """The prompt as each model's tokenizer counts it, as far as that was learnt."""
        estimated, correction = self.request.prompt_tokens, self.book.correction
        if not correction:
            return [estimated] * len(self.lane.models)
        if self.lane.model is not None:
            return [int(estimated * correction.get(self.lane.model, 1.0))] * len(self.lane.models)
        return [int(estimated * correction.get(model, 1.0)) for model in self.lane.models]

    def output_tokens(self) -> int:
        """The completion that the route lately had, unless less is asked for."""
        expected, asked = self.book.output.get(self.route.name, EXPECTED_OUTPUT), self.request.max_tokens
        return int(expected if asked is None else min(expected, asked))

    def dollars(self) -> list[float]:
        """Expected price; the share of prompts that prefix caches lately held is paid at their price."""
        output, lane = self.output, self.lane
        rates = lane.input_usd
        if cached := self.book.cached.get(self.route.name):
            own = 1.0 - cached
            rates = [own * fresh + cached * held for fresh, held in zip(rates, lane.cached_usd, strict=True)]
        return [
            prompt * read + output * written
            for prompt, read, written in zip(self.prompts, rates, lane.output_usd, strict=True)
        ]

    def time(self) -> None:
        """Expected seconds to the first and to the last token."""
        # all Stats turned into columns at once: attributes of named tuples cost more than everything else here
        columns = COLUMNS(tuple(zip(*(self.stats or (UNSEEN,)), strict=True)))
        firsts, paces, slopes, offsets, self.seen, self.ejected, self.resting, *more = columns
        self.tails, self.failing, self.failed = more
        self.last_ejected = max(self.ejected)
        output, fresh_since = self.output, self.now - FRESH
        ttfts, totals, slots = self.ttfts, self.seconds, self.lane.slots
        best: dict[str, Latency] | None = None
        rows = zip(firsts, paces, slopes, offsets, self.seen, self.prompts, self.flying, strict=False)
        for index, (first, pace, slope, offset, at, prompt, flying) in enumerate(rows):
            if at > fresh_since and pace is not None and first is not None:
                ttft = first + slope * prompt - offset
            else:
                best = self.best() if best is None else best
                ttft, pace = self.believed(index, best)
            rest = pace * output
            if flying:
                most = slots[index]
                ttft = ttft * (1.0 + flying / most) if flying < most else queued(ttft, rest, flying, most)
            ttfts.append(ttft)
            totals.append(ttft + rest)

    def believed(self, index: int, best: dict[str, Latency]) -> Latency:
        """The latency of a candidate that was not measured lately."""
        deployment, stats = self.lane.deployments[index], self.stats[index]
        seen = measured(deployment, stats, self.prompts[index])
        return believed(deployment, seen, best.get(deployment.model), self.now - stats.seen)

    def best(self) -> dict[str, Latency]:
        """For each model, the best latency that any of its deployments has shown."""
        best: dict[str, Latency] = {}
        for deployment, stats, prompt in zip(self.lane.deployments, self.stats, self.prompts, strict=True):
            if stats.ttft is None:
                continue
            shown = measured(deployment, stats, prompt)
            if shown is not None and (deployment.model not in best or shown.ttft < best[deployment.model].ttft):
                best[deployment.model] = shown
        return best

    def forecasts(self) -> list[Forecast]:
        """What each candidate is expected to do."""
        lates = map(mul, self.seconds, self.tails)
        rows = zip(self.prompts, repeat(self.output), self.usd, self.ttfts, self.seconds, lates, strict=False)
        # tuple's own constructor: thrice as fast as a NamedTuple's, and each candidate of each request takes one
        return list(map(tuple.__new__, repeat(Forecast), rows))

    def forecast(self, index: int) -> Forecast:
        """The forecast of one candidate."""
        seconds = self.seconds[index]
        late = seconds * self.tails[index]
        return Forecast(self.prompts[index], self.output, self.usd[index], self.ttfts[index], seconds, late)

    def case(self, index: int) -> Case:
        """One candidate by itself."""
        candidate = self.lane.candidates[index]
        return Case(
            self.request,
            self.route,
            candidate.deployment,
            self.stats[index],
            self.forecast(index),
            self.flying[index],
            self.now,
            candidate.tier,
            candidate.when,
            self.causes,
            self.language,
            self.book.asked.get(candidate.deployment.name, 0),
            self.book.limit(candidate.deployment),
        )
