"""A lane as one request sees it now: columns of what each candidate would cost and how long it would take."""

from typing import NamedTuple

from gateway.routing.board import board_of
from gateway.routing.book import StatsBook
from gateway.routing.forecast import FRESH, Latency, believed, measured, queued
from gateway.routing.lane import Lane
from gateway.routing.policy import Route
from gateway.routing.stats import EXPECTED_OUTPUT, Stats
from gateway.types import ChatRequest, Deployment, Forecast


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

    This is the inner loop of every plan: lists and few calls, because ten candidates must take 25 microseconds. What
    was seen of them are the columns of the lane's board: they hold while the plan is made, not longer.
    """

    __slots__ = (
        "board",
        "book",
        "causes",
        "flying",
        "lane",
        "language",
        "now",
        "output",
        "prompts",
        "request",
        "route",
        "seconds",
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
        self.board = board_of(lane, book.deployments)
        flights = book.in_flight.get
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
        board, output, fresh_since = self.board, self.output, self.now - FRESH
        ttfts, totals, slots = self.ttfts, self.seconds, self.lane.slots
        best: dict[str, Latency] | None = None
        crowd = self.crowd() if self.book.strangers else self.flying
        columns = (board.firsts, board.paces, board.slopes, board.offsets, board.seen, self.prompts, crowd)
        for index, (first, pace, slope, offset, at, prompt, flying) in enumerate(zip(*columns, strict=False)):
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

    def crowd(self) -> list[int]:
        """Requests at each candidate's backend, others' included as far as it tells of them."""
        others = self.book.strangers.get
        return [own + others(name, 0) for own, name in zip(self.flying, self.lane.backends, strict=True)]

    def believed(self, index: int, best: dict[str, Latency]) -> Latency:
        """The latency of a candidate that was not measured lately."""
        stats, model = self.board.stats[index], self.lane.models[index]
        if stats.ttft is None:
            return best.get(model) or self.board.priors[index]
        seen = measured(self.lane.deployments[index], stats, self.prompts[index])
        return believed(seen, best.get(model), self.now - stats.seen)

    def best(self) -> dict[str, Latency]:
        """For each model, the best latency that any of its deployments has shown."""
        best: dict[str, Latency] = {}
        stats, lane, prompts = self.board.stats, self.lane, self.prompts
        for place in self.board.measured:
            shown, model = measured(lane.deployments[place], stats[place], prompts[place]), lane.models[place]
            if model not in best or shown.ttft < best[model].ttft:
                best[model] = shown
        return best

    def forecast(self, index: int) -> Forecast:
        """The forecast of one candidate."""
        seconds = self.seconds[index]
        late = seconds * self.board.tails[index]
        return Forecast(self.prompts[index], self.output, self.usd[index], self.ttfts[index], seconds, late)

    def case(self, index: int) -> Case:
        """One candidate by itself."""
        candidate = self.lane.candidates[index]
        return Case(
            self.request,
            self.route,
            candidate.deployment,
            self.board.stats[index],
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
