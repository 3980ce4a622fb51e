"""Other gateways' names for the same."""

import pytest
from prometheus_client import Metric

from gateway.telemetry.compat import Aliases
from gateway.telemetry.metrics import Metrics
from tests.telemetry.records import LOST, A, record


def aliases(*names: str) -> dict[str, Metric]:
    """What a few requests count as under the other names."""
    of = Metrics(lambda kind: "vllm")
    for one in (record(), record(original="other"), record(outcome="partial", attempts=(LOST,))):
        of.answered(one)
    made = Aliases("litellm")
    return {alias.name: alias for family in of.registry.collect() for alias in made.of(family)}


def values(metric: Metric, name: str) -> list[tuple[dict[str, str], float]]:
    """Labels and values of one of a metric's samples."""
    return [(sample.labels, sample.value) for sample in metric.samples if sample.name == name]


ROUTED = {"requested_model": "chat", "model": A.model, "api_provider": "a"}


def test_requests_failures_and_spending_have_litellms_names() -> None:
    found = aliases()
    total, failed, spend = (
        f"litellm_{name}_metric" for name in ("proxy_total_requests", "proxy_failed_requests", "spend")
    )
    assert values(found[total], f"{total}_total") == [(ROUTED, 3.0)]
    assert values(found[failed], f"{failed}_total") == [(ROUTED, 1.0)]
    assert values(found[spend], f"{spend}_total") == [(ROUTED, 0.75)]


def test_latencies_keep_their_buckets() -> None:
    name = "litellm_llm_api_time_to_first_token_metric"
    found = aliases()[name]
    labels = {"requested_model": "auto", "model": A.model, "api_provider": "vllm"}
    assert (labels, 2.0) in values(found, f"{name}_count")
    assert ({**labels, "le": "1.0"}, 2.0) in values(found, f"{name}_bucket")
    assert ({**labels, "le": "0.75"}, 0.0) in values(found, f"{name}_bucket")


def test_nobody_elses_names_are_known() -> None:
    with pytest.raises(KeyError):
        Aliases("nobody")
