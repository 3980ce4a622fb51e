"""Every query of every panel and every rule, asked of a real Prometheus that has scraped a gateway under traffic."""

import math
import re
from typing import Any

import pytest

from tests.deploy.conftest import Watched
from tests.deploy.queries import DASHBOARDS, Asked, dashboard, queries
from tests.deploy.rules import ALERTS, RECORDS, metrics

STEP = 0.5
QUIET = {
    "Running",
    "Thrown out and begun again",
    "Waiting",
    "At work",
    "KV cache in use",
}  # panels in which nothing but zeros is what one hopes for
QUERIES = queries()
every = pytest.mark.parametrize("asked", QUERIES, ids=lambda asked: asked.name)


def wrong(watched: Watched, asked: Asked) -> str:
    """What is wrong with the data of a query; nothing when it is as it should be."""
    rows = watched.prometheus.over(asked.expr, watched.start, watched.end, STEP)
    values = [float(value) for row in rows for _, value in row["values"]]
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return f"no data ({len(rows)} series)"
    if min(finite) < 0 or (asked.unit == "percentunit" and max(finite) > 1.0 + 1e-9):
        return f"values from {min(finite)} to {max(finite)}"
    return "" if max(finite) > 0 or asked.panel in QUIET else "nothing but zeros"


@every
def test_panel_has_data_that_can_be(watched: Watched, asked: Asked) -> None:
    assert wrong(watched, asked) == "", asked.expr


@pytest.mark.parametrize("asked", QUERIES[:: max(1, len(QUERIES) // 8)], ids=lambda asked: asked.name)
def test_misspelt_metric_would_be_noticed(watched: Watched, asked: Asked) -> None:
    misspelt = re.sub(r"\b(gateway|gen_ai|vllm:|llamacpp:)(\w)", r"\1x\2", asked.expr)
    assert misspelt != asked.expr
    assert wrong(watched, asked._replace(expr=misspelt))


@every
def test_legend_names_labels_that_the_series_have(watched: Watched, asked: Asked) -> None:
    rows = watched.prometheus.over(asked.expr, watched.start, watched.end, STEP)
    wanted = set(re.findall(r"\{\{(\w+)\}\}", asked.legend))
    assert any(wanted <= set(row["metric"]) for row in rows)  # an empty label is as none


@pytest.mark.parametrize("path", sorted(DASHBOARDS.glob("*.json")), ids=lambda path: path.stem)
def test_filters_have_values_to_choose_from(watched: Watched, path: Any) -> None:
    for one in dashboard(path)["templating"]["list"]:
        if one["type"] == "query":
            found = re.fullmatch(r"label_values\((\w+), (\w+)\)", one["query"])
            assert found is not None
            assert watched.prometheus.get(f"label/{found[2]}/values", **{"match[]": found[1]})


alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])


@alert
def test_alert_reads_metrics_that_a_gateway_under_traffic_has(watched: Watched, rule: dict[str, Any]) -> None:
    names = metrics(rule["expr"])
    assert names
    assert [name for name in sorted(names) if not watched.prometheus.now(f"count({name})")] == []


@pytest.mark.parametrize("rule", RECORDS, ids=lambda rule: rule["record"])
def test_record_has_a_value_that_can_be(watched: Watched, rule: dict[str, Any]) -> None:
    values = watched.prometheus.now(rule["record"])
    known = [value for value in values if value == value]
    assert known
    share = ":ratio_" in rule["record"] and "attempts" not in rule["record"]
    assert all(0 <= value <= (1 if share else 100) for value in known)


def test_prometheus_evaluates_every_rule_without_an_error(watched: Watched) -> None:
    groups = watched.prometheus.get("rules")["groups"]
    found = [rule for group in groups for rule in group["rules"]]
    assert len(found) == len(ALERTS) + len(RECORDS)
    assert [rule["name"] for rule in found if rule["health"] != "ok" or rule.get("lastError")] == []


def test_traffic_of_these_tests_makes_some_alerts_fire_or_wait(watched: Watched) -> None:
    groups = watched.prometheus.get("rules")["groups"]
    states = {rule["name"]: rule["state"] for group in groups for rule in group["rules"] if "state" in rule}
    assert states["GatewayModelRetires"] == "firing"
    assert states["GatewayFailuresBurnFast"] == "firing"
    assert states["GatewayTruncatedStreams"] in ("pending", "firing")
    assert states["GatewayDown"] == "inactive"


def test_misspelt_metric_of_an_alert_would_be_noticed(watched: Watched) -> None:
    assert metrics('sum by (a) (gateway_backend_upp{b="gateway_x"}) == 0') == {"gateway_backend_upp"}
    assert not watched.prometheus.now("count(gateway_backend_upp)")


def test_exemplars_lead_from_a_bucket_to_a_trace(watched: Watched) -> None:
    query = "gen_ai_server_request_duration_seconds_bucket"
    found = watched.prometheus.get("query_exemplars", query=query, start=watched.start - 60, end=watched.end + 1)
    traces = {one["labels"]["trace_id"] for series in found for one in series["exemplars"]}
    assert traces
    assert all(re.fullmatch("[0-9a-f]{32}", trace) for trace in traces)
