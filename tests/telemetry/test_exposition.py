"""What a scrape gets."""

import asyncio
import gzip
import threading
from asyncio import run

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse
from prometheus_client.registry import Collector

from gateway.telemetry.compat import Aliases
from gateway.telemetry.exposition import Exposition, Page
from gateway.telemetry.gauges import Reading
from gateway.telemetry.metrics import Metrics
from tests.telemetry.records import record

OPEN = "application/openmetrics-text; version=1.0.0"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def up() -> list[Reading]:
    return [Reading("gateway_backend_up", "Up.", (("backend", "a"),), 1.0)]


def counted() -> Metrics:
    metrics = Metrics(lambda kind: kind)
    metrics.answered(record(traceparent=f"00-{TRACE}-00f067aa0ba902b7-01"))
    return metrics


def page(accept: str = "", encodings: str = "", aliases: Aliases | None = None) -> Page:
    return run(Exposition(counted().registry, up, aliases).page(accept, encodings))


def test_scrape_has_what_was_counted_and_what_is_read() -> None:
    names = {family.name for family in parse(page().body.decode())}
    assert {"gateway_requests", "gateway_backend_up", "gen_ai_server_request_duration_seconds"} <= names


def test_times_of_creation_are_left_out() -> None:
    assert b"_created" not in page().body
    assert b"_created" not in page(OPEN).body


def test_open_metrics_and_the_traces_are_for_those_who_ask() -> None:
    plain, modern = page(), page(OPEN)
    assert plain.headers["content-type"].startswith("text/plain")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert TRACE.encode() not in plain.body
    families = parse_openmetrics(modern.body.decode())  # type: ignore[no-untyped-call]  # the library has no types
    traced = {sample.name for family in families for sample in family.samples if sample.exemplar}
    assert traced == {
        "gen_ai_server_request_duration_seconds_bucket",
        "gen_ai_server_time_to_first_token_seconds_bucket",
    }


def test_a_scrape_is_packed_for_those_who_take_it() -> None:
    packed = page(encodings="gzip, deflate")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == page().body
    assert "content-encoding" not in page(encodings="br").headers


def test_aliases_stand_beside_the_names_of_our_own() -> None:
    text = page(aliases=Aliases("litellm")).body
    assert b'litellm_spend_metric_total{api_provider="a",model=' in text
    assert b"gateway_cost_usd_total" in text


class Noting(Collector):
    """Something counted that notes which thread looks at it."""

    def __init__(self) -> None:
        self.threads: list[int] = []

    def collect(self) -> list[Metric]:
        self.threads.append(threading.get_ident())
        return []

    def describe(self) -> list[Metric]:
        return []


def test_gauges_are_read_on_the_loop_and_the_text_is_made_beside_it() -> None:
    metrics, noting, readers = counted(), Noting(), []
    metrics.registry.register(noting)

    def read() -> list[Reading]:
        readers.append(threading.get_ident())
        return up()

    async def scenario() -> int:
        await Exposition(metrics.registry, read).page("", "")
        return threading.get_ident()

    loop = run(scenario())
    assert readers == [loop]
    assert len(noting.threads) == 1
    assert noting.threads != [loop]


def test_loop_goes_on_while_a_scrape_is_rendered() -> None:
    async def scenario() -> int:
        turns = 0
        scrape = asyncio.create_task(Exposition(counted().registry, up).page(OPEN, "gzip"))
        while not scrape.done():
            await asyncio.sleep(0)
            turns += 1
        return turns

    assert run(scenario()) > 1
