"""What answering needs, built once."""

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from gateway.engine.admission import MOST, Admission, Memory, Most
from gateway.engine.budget import Budgets
from gateway.engine.cached import Keeping
from gateway.engine.hedge import Hedges
from gateway.engine.queue import Queues
from gateway.engine.rests import Rests
from gateway.outcomes import Observer
from gateway.providers.port import Provider
from gateway.routing.book import StatsBook
from gateway.stores.limits import Limiter
from gateway.stores.limits_memory import MemoryLimits
from gateway.telemetry.trace_context import Trace
from gateway.types import Backend


@dataclass(frozen=True, slots=True)
class Tools:
    """Everything that outlives a request and that its answer is made with; time and chance are among it."""

    provider: Callable[[Backend], Provider]
    book: StatsBook
    keeping: Keeping
    observers: tuple[Observer, ...]
    clock: Callable[[], float]  # monotonic seconds
    wall: Callable[[], float]  # Unix time
    chance: Callable[[], float]  # in [0, 1)
    sleep: Callable[[float], Awaitable[None]]
    budgets: Budgets = field(default_factory=Budgets)  # of retries
    trace: Callable[[str], Trace] | None = None  # the span of a request, by its `traceparent`; None: nobody traces
    hedges: Hedges = field(default_factory=Hedges)
    rests: Rests = field(default_factory=Rests)
    wasted: Counter[tuple[str, str]] = field(default_factory=Counter)  # backend and reason -> tokens nobody got
    limits: Limiter = field(default_factory=MemoryLimits)  # of callers
    most: Most = MOST  # that the gateway takes on
    admission: Admission = field(init=False)
    queues: Queues = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "admission", Admission(self.clock, self.most, Memory(self.clock).share))
        object.__setattr__(self, "queues", Queues(self.book, self.clock))
