"""What is true now: gauges that are read when somebody scrapes, so that requests need not set them."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

Family = CounterMetricFamily | GaugeMetricFamily


class Reading(NamedTuple):
    """One value now, of a gauge, or of a counter where its name ends in `_total`; labels as pairs."""

    name: str
    help: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Gauges(Collector):
    """Asks for all readings at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self.read = read

    def collect(self) -> Iterator[Family]:
        """One family for each name."""
        families: dict[str, Family] = {}
        for reading in self.read():
            names = [name for name, _ in reading.labels]
            family = families.get(reading.name)
            if family is None:
                family = families[reading.name] = family_of(reading, names)
            family.add_metric([value for _, value in reading.labels], reading.value)
        yield from families.values()

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing ahead of time: the readings need a policy, which is not there when this is registered."""
        return []


def family_of(reading: Reading, labels: list[str]) -> Family:
    """An empty family for readings of that name."""
    kind = CounterMetricFamily if reading.name.endswith("_total") else GaugeMetricFamily
    return kind(reading.name, reading.help, labels=labels)
