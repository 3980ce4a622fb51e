"""Counters and histograms whose one increment is one addition; prometheus-client collects and renders them.

Its own children take a lock and check themselves at each step, which is five times as dear; here one loop counts, and
whoever scrapes in a thread reads numbers that are a moment old.
"""

import time
from abc import ABC, abstractmethod
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

MOST = 2000  # children of a metric: what is beyond them counts as `other`
OTHER = "other"
INFINITY = float("inf")


Bucket = tuple[str, float] | tuple[str, float, Exemplar]


class Count:
    """One series of a counter."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """So much more."""
        self.value += amount


class Spread:
    """One series of a histogram; `bounds` are the upper edges of its buckets, each inclusive, infinity last."""

    __slots__ = ("bounds", "counts", "exemplars", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * len(bounds)
        self.sum = 0.0
        self.exemplars: dict[int, Exemplar] = {}  # by bucket: the last one

    def observe(self, value: float, exemplar: dict[str, str] | None = None) -> None:
        """One more value."""
        bucket = bisect_left(self.bounds, value)
        self.counts[bucket] += 1
        self.sum += value
        if exemplar is not None:
            self.exemplars[bucket] = Exemplar(exemplar, value, time.time())

    def buckets(self) -> list[Bucket]:
        """The buckets as they are rendered: each counts all below it too."""
        found: list[Bucket] = []
        total = 0
        for place, (bound, count) in enumerate(zip(self.bounds, list(self.counts), strict=True)):
            total += count
            name: str = floatToGoString(bound)  # type: ignore[no-untyped-call]  # the library has no types for it
            exemplar = self.exemplars.get(place)
            found.append((name, total) if exemplar is None else (name, total, exemplar))
        return found


Child = TypeVar("Child", Count, Spread)


class Family(Collector, ABC, Generic[Child]):
    """A metric, and its children by their label values; `full` is told of each look-up that found no room."""

    def __init__(self, name: str, help: str, labels: Sequence[str], full: Callable[[], None], most: int = MOST) -> None:
        self.name = name
        self.help = help
        self.labels = labels
        self.full = full
        self.most = most
        self.children: dict[tuple[str, ...], Child] = {}

    @abstractmethod
    def make(self) -> Child:
        """A new child."""
        ...

    def of(self, *values: str) -> Child:
        """The child of these label values."""
        child = self.children.get(values)
        return self.new(values) if child is None else child

    def new(self, values: tuple[str, ...]) -> Child:
        """The child of label values that were not seen before; the one for all the others where there is no room."""
        if len(self.children) >= self.most:
            self.full()
            values = (OTHER,) * len(values)
        return self.children.setdefault(values, self.make())

    def describe(self) -> list[CounterMetricFamily]:
        """Its name alone, so that no two metrics have the same."""
        return [CounterMetricFamily(self.name, self.help)]


class Counter(Family[Count]):
    """Counts."""

    def make(self) -> Count:
        """A new series."""
        return Count()

    def collect(self) -> Iterator[CounterMetricFamily]:
        """All series."""
        family = CounterMetricFamily(self.name, self.help, labels=self.labels)
        for values, child in self.children.copy().items():  # one step, in which no child can come
            family.add_metric(values, child.value)
        yield family


class Histogram(Family[Spread]):
    """Counts by size."""

    def __init__(
        self, name: str, help: str, labels: Sequence[str], edges: Sequence[float], full: Callable[[], None]
    ) -> None:
        super().__init__(name, help, labels, full)
        self.bounds = (*[float(edge) for edge in edges], INFINITY)  # the last bucket takes everything

    def make(self) -> Spread:
        """A new series."""
        return Spread(self.bounds)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """All series."""
        family = HistogramMetricFamily(self.name, self.help, labels=self.labels)
        for values, child in self.children.copy().items():
            family.add_metric(values, child.buckets(), child.sum)
        yield family
