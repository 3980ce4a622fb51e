"""A Prometheus that has scraped a gateway while everything happened to its requests."""

import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.deploy.fleet import Fleet, fleet
from tests.deploy.queries import ROOT
from tests.deploy.traffic import Traffic
from tests.prometheus_server import Prometheus, prometheus

SECONDS = 5.0  # of traffic while it is scraped
RULES = str(ROOT / "deploy" / "prometheus" / "rules" / "*.yml")


class Watched(NamedTuple):
    """A Prometheus, what it has scraped, and from when to when; Unix seconds."""

    prometheus: Prometheus
    fleet: Fleet
    start: float
    end: float


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Traffic before the first scrape, so that every series is there, and under the scrapes, so that they move."""
    directory = tmp_path_factory.mktemp("watched")
    with fleet(directory) as running, prometheus(directory, running.targets, RULES) as asked:
        traffic = Traffic(running)
        traffic.round()
        traffic.without_store()
        while asked.now("count(up == 1)") != [float(len(running.targets))]:
            traffic.ask("cached")
        start = time.time()
        while time.time() < start + SECONDS:
            traffic.round()
        traffic.without_store()
        yield Watched(asked, running, start, time.time())
