"""A real Prometheus scrapes the gateway and finds in it what the contract promises."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from gateway.demo.standins.faults import Cut, Refuse
from tests.prometheus_server import Prometheus, prometheus
from tests.world import KEY, World

LOOKS = 50_000  # at the most: Prometheus takes five seconds to begin, then it scrapes five times a second


def ask(whole: World, model: str, **more: Any) -> int:
    """One request; its status."""
    body = {"model": model, "messages": [{"role": "user", "content": "What does a gateway do?"}], **more}
    headers = {"authorization": f"Bearer {KEY}"}
    url = f"{whole.gateway.data}/v1/chat/completions"
    return httpx.post(url, json=body, headers=headers, timeout=30).status_code


def traffic(whole: World) -> None:
    """A little of everything."""
    ask(whole, "auto")
    ask(whole, "auto", stream=True)
    ask(whole, "cached")
    ask(whole, "cached")
    whole.script.add(Refuse(500))
    ask(whole, "failover", stream=True)
    whole.script.add(Cut(after_bytes=600))
    with pytest.raises(httpx.RemoteProtocolError):  # an answer that was cut is cut short here too
        ask(whole, "shaky-first", stream=True)
    ask(whole, "no-such-model")


@pytest.fixture(scope="module")
def scraping(whole: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A running Prometheus that scrapes the gateway."""
    with prometheus(tmp_path_factory.mktemp("prometheus"), {"gateway": whole.gateway.admin}) as running:
        traffic(whole)
        yield running


def value(scraping: Prometheus, query: str, least: float = 0.0) -> float | None:
    """The sum of a query's series, once a scrape has brought it to `least`; None when none does."""
    for _ in range(LOOKS):
        values = scraping.now(f"sum({query})")
        if values and values[0] >= least:
            return values[0]
    return None


@pytest.mark.parametrize(
    ("query", "least"),
    [
        ('gateway_requests_total{route="auto",backend="small",outcome="success"}', 2),
        ('gateway_requests_total{route="shaky-first",outcome="partial"}', 1),
        ('gateway_requests_total{route="",outcome="rejected"}', 1),
        ('gateway_attempts_total{backend="closed",error_type="upstream_unreachable"}', 1),
        ('gateway_attempts_total{backend="shaky",error_type="upstream_server_error"}', 1),
        ('gateway_fallbacks_total{from="closed/llama-3.1-8b-instruct",reason="upstream_unreachable"}', 1),
        ('gateway_cost_usd_total{route="auto",backend="small"}', 0.000001),
        ('gateway_saved_usd_total{reason="cache"}', 0.000001),
        ('gateway_cache_requests_total{result="hit"}', 1),
        ('gateway_overhead_seconds_count{phase="request"}', 3),
        ('gateway_overhead_seconds_count{phase="response"}', 3),
        ('gateway_inflight_requests{backend="small"}', 0),
        ('gateway_backend_up{backend="small",model="llama-3.1-8b-instruct"}', 1),
        ("gateway_policy_reload_success", 1),
        ('gen_ai_client_token_usage_sum{gen_ai_original_model="auto",gen_ai_token_type="output"}', 2),
        ('gen_ai_server_request_duration_seconds_count{gen_ai_provider_name="llama_cpp"}', 3),
        ('gen_ai_server_time_to_first_token_seconds_count{gen_ai_request_model="llama-3.1-8b-instruct"}', 1),
        ('gen_ai_server_time_per_output_token_seconds_count{gen_ai_operation_name="chat"}', 1),
    ],
)
def test_a_scrape_has_the_series(scraping: Prometheus, query: str, least: float) -> None:
    assert value(scraping, query, least) is not None


def test_the_scrape_is_up_and_no_name_of_a_caller_is_a_label(scraping: Prometheus) -> None:
    assert value(scraping, 'up{job="gateway"}', 1) == 1
    models = scraping.get("label/gen_ai_original_model/values")
    assert "no-such-model" not in models
