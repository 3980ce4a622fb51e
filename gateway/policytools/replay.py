"""Plans the requests of a log by two policies with the same statistics, and counts what differs. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from typing import NamedTuple

from gateway.policytools.decision import Decision, decide, reachable
from gateway.policytools.logged import LoggedRequest, asked_again
from gateway.routing.book import StatsBook
from gateway.routing.policy import Policy, Route
from gateway.types import Json

GOLDEN = 0.6180339887  # its multiples spread evenly over [0, 1)
PROBES = 0.01  # chances below it explore, which says nothing of a policy
EXAMPLES = 20  # requests that are named for each finding
MOVES = 20  # changes that are told apart, the most frequent first


class Fate(NamedTuple):
    """What a policy does with a request: US dollars and seconds are those expected of the first choice."""

    route: str = ""
    model: str = ""
    backend: str = ""
    usd: float = 0.0
    ttft: float = 0.0
    seconds: float = 0.0
    private: bool = False  # whatever fails, it goes to own servers alone
    error: str = ""


@dataclass(frozen=True, slots=True)
class Figures:
    """Expected US dollars and seconds over the requests that both policies plan: sums and quantiles."""

    usd_total: float
    usd_p50: float
    usd_p95: float
    ttft_p50: float
    ttft_p95: float
    seconds_p50: float
    seconds_p95: float


@dataclass(frozen=True, slots=True)
class Move:
    """A change that `count` requests share: of `route`, `model` or `backend`."""

    of: str
    before: str
    after: str
    count: int


@dataclass(frozen=True, slots=True)
class Found:
    """How many requests something holds for, and the first of them by id, or by number in the log."""

    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replay:
    """What two policies do with the same requests; `planned` of them have a plan by both."""

    requests: int
    planned: int
    route_changes: int
    model_changes: int
    backend_changes: int
    before: Figures
    after: Figures
    moves: tuple[Move, ...]
    lost_privacy: Found
    gained_privacy: Found
    fails_now: Found
    works_now: Found

    def changed(self) -> bool:
        """Whether any request fares differently in kind: cost and time follow from these."""
        counts = (self.route_changes, self.model_changes, self.backend_changes)
        found = (self.lost_privacy, self.gained_privacy, self.fails_now, self.works_now)
        return any(counts) or any(one.count for one in found) or self.before != self.after


class Planner:
    """Asks one policy about requests, always with the same statistics."""

    def __init__(self, policy: Policy, book: StatsBook, now: float) -> None:
        self.policy = policy
        self.book = deepcopy(book)  # expressions that fail are counted in it
        self.now = now
        self.private: dict[int, bool] = {}  # by the route's identity

    def fate(self, request: LoggedRequest, chance: float) -> Fate:
        """What becomes of a request."""
        asked = asked_again(request, self.policy, self.now)
        decision = decide(self.policy, asked, self.book, self.now, chance)
        route = decision.route
        if decision.plan is None or route is None:
            return Fate(decision.name, error=code(decision))
        deployment, forecast = decision.plan.choices[0].deployment, decision.plan.choices[0].forecast
        return Fate(
            route.name,
            deployment.model,
            deployment.backend,
            forecast.usd,
            forecast.ttft,
            forecast.seconds,
            self.stays(route),
        )

    def stays(self, route: Route) -> bool:
        """Whether a route never asks anybody else than own servers."""
        found = self.private.get(id(route))
        if found is None:
            found = all(one.location == "self_hosted" for one in reachable(route))
            self.private[id(route)] = found
        return found


def code(decision: Decision) -> str:
    """The code of a decision's error."""
    return "" if decision.error is None else decision.error.code


def replay(old: Policy, new: Policy, requests: Iterable[LoggedRequest], book: StatsBook, now: float) -> Replay:
    """Both plans of each request; `book` is what was lately seen, `now` is monotonic seconds."""
    before, after = Planner(old, book, now), Planner(new, book, now)
    tally = Tally()
    for number, request in enumerate(requests, 1):
        chance = PROBES + (1 - PROBES) * (number * GOLDEN % 1.0)
        tally.count(request.id or f"line {number}", before.fate(request, chance), after.fate(request, chance))
    return tally.result()


class Tally:
    """Counts pairs of fates."""

    def __init__(self) -> None:
        self.requests = 0
        self.pairs: list[tuple[Fate, Fate]] = []
        self.moves: Counter[tuple[str, str, str]] = Counter()
        self.named: dict[str, list[str]] = {"lost": [], "gained": [], "fails": [], "works": []}
        self.counts: Counter[str] = Counter()

    def count(self, name: str, old: Fate, new: Fate) -> None:
        """One more request."""
        self.requests += 1
        if old.route != new.route:
            self.move("route", old.route, new.route)
        if old.error or new.error:
            if bool(old.error) != bool(new.error):
                self.note("works" if old.error else "fails", f"{name} ({old.error or new.error})")
            return
        self.pairs.append((old, new))
        if old.model != new.model:
            self.move("model", old.model, new.model)
        if old.backend != new.backend:
            self.move("backend", old.backend, new.backend)
        if old.private != new.private:
            self.note("lost" if old.private else "gained", name)

    def move(self, of: str, before: str, after: str) -> None:
        """A change of route, model or backend."""
        self.counts[of] += 1
        self.moves[of, before or "none", after or "none"] += 1

    def note(self, what: str, name: str) -> None:
        """Something that one would want to look at, with its first examples."""
        self.counts[what] += 1
        if len(self.named[what]) < EXAMPLES:
            self.named[what].append(name)

    def result(self) -> Replay:
        """All counts."""
        found = {what: Found(self.counts[what], tuple(names)) for what, names in self.named.items()}
        return Replay(
            requests=self.requests,
            planned=len(self.pairs),
            route_changes=self.counts["route"],
            model_changes=self.counts["model"],
            backend_changes=self.counts["backend"],
            before=figures([old for old, _ in self.pairs]),
            after=figures([new for _, new in self.pairs]),
            moves=tuple(Move(*move, count) for move, count in self.moves.most_common(MOVES)),
            lost_privacy=found["lost"],
            gained_privacy=found["gained"],
            fails_now=found["fails"],
            works_now=found["works"],
        )


def figures(fates: Sequence[Fate]) -> Figures:
    """Sums and quantiles of what is expected."""
    usd, ttft, seconds = ([getattr(fate, name) for fate in fates] for name in ("usd", "ttft", "seconds"))
    halves = [quantile(values, share) for values in (usd, ttft, seconds) for share in (0.5, 0.95)]
    return Figures(sum(usd), *halves)


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least such a share of the values does not exceed; zero for none."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else 0.0


def replay_json(found: Replay) -> Json:
    """A replay as JSON-ready values."""
    return asdict(found)
