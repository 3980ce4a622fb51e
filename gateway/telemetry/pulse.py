"""The last minutes, second by second: what the console's charts show. A request pays one append for it."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gateway.outcomes import Outcome, Record, Shadowed
from gateway.telemetry.savings import saved

SECONDS = 300  # that are kept
HELD = 20_000  # records of one second; what comes beyond them is not counted here
SAMPLES = 30  # times to the first token that are kept of a deployment
WELL = frozenset({"success", "client_cancelled"})  # outcomes that are nobody's failure


class Tick(NamedTuple):
    """What ended within one second; US dollars and seconds."""

    at: float = 0.0  # Unix time at its end
    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    ttft_p50: float | None = None
    ttft_p95: float | None = None
    hits: int = 0  # answers from the cache


class Totals(NamedTuple):
    """Everything since the start of the process."""

    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    saved_usd: float = 0.0
    hits: int = 0

    def and_one(self, tick: Tick) -> "Totals":
        """With one more second."""
        return Totals(*[mine + getattr(tick, name) for name, mine in zip(self._fields, self, strict=True)])


class Pulse:
    """An observer that counts by the second; `tick` is called once in each."""

    def __init__(self) -> None:
        self.fresh: deque[Record] = deque(maxlen=HELD)
        self.ticks: deque[Tick] = deque(maxlen=SECONDS)
        self.totals = Totals()
        self.ttfts: dict[str, deque[float]] = {}  # by deployment, the newest last
        self.answered = self.fresh.append  # what an observer does with a record

    def attempted(self, outcome: Outcome) -> None:
        """Attempts come with their request's record."""

    def shadowed(self, told: Shadowed) -> None:
        """Copies are no requests of callers."""

    def tick(self, at: float) -> Tick:
        """What has ended since the last call; `at` is the Unix time."""
        records = [self.fresh.popleft() for _ in range(len(self.fresh))]
        made = counted(records, at)
        self.ticks.append(made)
        self.totals = self.totals.and_one(made)
        for record in records:
            if record.ttft is not None and record.deployment is not None:
                self.ttfts.setdefault(record.deployment.name, deque(maxlen=SAMPLES)).append(record.ttft)
        return made

    def keep(self, deployments: Iterable[str]) -> None:
        """Forget the deployments that are not among these."""
        self.ttfts = {name: self.ttfts[name] for name in deployments if name in self.ttfts}


def counted(records: Sequence[Record], at: float) -> Tick:
    """The sums over some records."""
    if not records:
        return Tick(at)
    ttfts = sorted([record.ttft for record in records if record.ttft is not None])
    usages = [record.usage for record in records if record.usage is not None]
    savings = [saving for record in records if (saving := saved(record)) is not None]
    return Tick(
        at,
        len(records),
        sum([failed(record) for record in records]),
        sum([usage.prompt for usage in usages]),
        sum([usage.completion for usage in usages]),
        sum([record.cost or 0.0 for record in records]),
        sum([usd for _, usd in savings]),
        quantile(ttfts, 0.5),
        quantile(ttfts, 0.95),
        sum([record.cache == "hit" for record in records]),
    )


def failed(record: Record) -> bool:
    """Whether somebody but the caller is at fault that a request was not answered whole."""
    if record.outcome == "rejected":
        return record.error_type.startswith("gateway_")
    return record.outcome not in WELL


def quantile(ordered: Sequence[float], share: float) -> float | None:
    """The smallest value that at least such a share of the values does not exceed; None for none."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)] if ordered else None
