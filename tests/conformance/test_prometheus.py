"""A real Prometheus scrapes the gateway and finds in it what the contract promises."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.demo.standins.faults import Cut, Refuse
from tests.bench.proc import free_port
from tests.world import KEY, World

CONFIG = """
global: {{scrape_interval: 100ms, scrape_timeout: 100ms}}
scrape_configs:
  - job_name: gateway
    static_configs: [{{targets: ["{target}"]}}]
"""
LOOKS = 50_000  # at the most: Prometheus takes five seconds to begin, then it scrapes ten times a second


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
def prometheus(whole: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A running Prometheus that scrapes the gateway; its address."""
    program = shutil.which("prometheus")
    if program is None:
        assert not os.environ.get("CI"), "CI has Prometheus"
        pytest.skip("needs Debian's package prometheus")
    directory = tmp_path_factory.mktemp("prometheus")
    config = directory / "prometheus.yml"
    config.write_text(CONFIG.format(target=whole.gateway.admin.removeprefix("http://")))
    port = free_port()
    process = start(program, config, port, directory)
    try:
        traffic(whole)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def start(program: str, config: Path, port: int, directory: Path) -> "subprocess.Popen[bytes]":
    """The process, once it says that it is ready."""
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    assert any(b"ready to receive web requests" in line for line in process.stderr)
    return process


def value(prometheus: str, query: str, least: float = 0.0) -> float | None:
    """The sum of a query's series, once a scrape has brought it to `least`; None when none does."""
    with httpx.Client() as client:
        for _ in range(LOOKS):
            found = client.get(f"{prometheus}/api/v1/query", params={"query": f"sum({query})"}).json()
            rows = found["data"]["result"]
            if rows and float(rows[0]["value"][1]) >= least:
                return float(rows[0]["value"][1])
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
def test_a_scrape_has_the_series(prometheus: str, query: str, least: float) -> None:
    assert value(prometheus, query, least) is not None


def test_the_scrape_is_up_and_no_name_of_a_caller_is_a_label(prometheus: str) -> None:
    assert value(prometheus, 'up{job="gateway"}', 1) == 1
    models = httpx.get(f"{prometheus}/api/v1/label/gen_ai_original_model/values").json()["data"]
    assert "no-such-model" not in models
