"""What is true now: gauges that are read when somebody scrapes, so that requests need not set them."""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector


class Reading(NamedTuple):
    """One gauge's value now; labels as pairs."""

    name: str
    help: str
    labels: tuple[tuple[str, str], ...]
    value: float


class Gauges(Collector):
    """Asks for all readings at each scrape."""

    def __init__(self, read: Callable[[], Iterable[Reading]]) -> None:
        self.read = read

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One family for each name."""
        families: dict[str, GaugeMetricFamily] = {}
        for reading in self.read():
            names = [name for name, _ in reading.labels]
            family = families.get(reading.name)
            if family is None:
                family = families[reading.name] = GaugeMetricFamily(reading.name, reading.help, labels=names)
            family.add_metric([value for _, value in reading.labels], reading.value)
        yield from families.values()

    def describe(self) -> list[GaugeMetricFamily]:
        """Nothing ahead of time: the readings need a policy, which is not there when this is registered."""
        return []
