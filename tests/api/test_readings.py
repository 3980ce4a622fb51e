"""What a scrape says of breakers and backends."""

from datetime import date

import pytest

from gateway.api.readings import readings
from gateway.catalogue import Catalogue
from gateway.config.live import LivePolicy
from gateway.config.loading import read
from gateway.routing.book import StatsBook
from tests.routing.samples import outcome

POLICY = b"""version: 1
backends:
  own: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
"""


@pytest.mark.parametrize(
    ("now", "tried", "breaker", "up"),
    [(0.5, False, 0.0, 1.0), (3.0, False, 2.0, 0.0), (8.0, False, 1.0, 1.0), (8.0, True, 1.0, 1.0)],
    ids=["before any fault", "after five", "half-open", "being tried"],
)
def test_scrape_tells_the_state_of_a_breaker_and_whether_the_deployment_is_up(
    now: float, tried: bool, breaker: float, up: float
) -> None:
    loaded = read(POLICY, "policy.yaml", {}, Catalogue.load(), date(2026, 11, 24))
    assert loaded.policy is not None
    live, book = LivePolicy(loaded), StatsBook()
    target = live.current.deployments[0]
    for _ in range(5 if now > 1.0 else 4):
        book.started(target, 0.0)
        book.ended(outcome(target, 1.0, started=0.0, verdict="fault", outcome="upstream_error"))
    if tried:
        book.started(target, now)
    found = {reading.name: reading for reading in readings(live, book, lambda: now) if len(reading.labels) == 2}
    assert dict(found["gateway_breaker_state"].labels) == {"backend": "own", "model": "llama-3.1-8b-instruct"}
    assert found["gateway_breaker_state"].value == breaker
    assert found["gateway_backend_up"].value == up
