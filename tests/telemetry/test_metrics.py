"""What is counted, under which labels."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from gateway import errors
from gateway.engine.attempt import BEATEN
from gateway.engine.record import Ending, recorded
from gateway.outcomes import Record
from gateway.telemetry.counting import Counter
from gateway.telemetry.metrics import Metrics
from gateway.types import Choice, Forecast, Plan
from tests.engine.fakes import Rig
from tests.routing.samples import fault, request, route, usage
from tests.telemetry.records import LOST, WON, A, B, record, shadowed


def metrics(*records: Record) -> Metrics:
    found = Metrics(lambda kind: f"{kind}-by-otel")
    for one in records:
        for outcome in one.attempts:
            found.attempted(outcome)
        found.answered(one)
    return found


def samples(of: Metrics, name: str) -> dict[tuple[tuple[str, str], ...], float]:
    """The values of a metric by its labels."""
    found = (sample for family in of.registry.collect() for sample in family.samples if sample.name == name)
    return {tuple(sorted(sample.labels.items())): sample.value for sample in found}


def plain(of: Metrics) -> list[Any]:
    """What a Prometheus reads of the text format."""
    return list(parse(generate_latest(of.registry).decode()))


def value(of: Metrics, name: str, **labels: str) -> float | None:
    return of.registry.get_sample_value(name, labels)


def test_request_is_counted_by_route_model_backend_and_outcome() -> None:
    of = metrics(record(), record(), record(outcome="partial"))
    labels = {"route": "chat", "model": A.model, "backend": "a"}
    assert value(of, "gateway_requests_total", **labels, outcome="success") == 2
    assert value(of, "gateway_requests_total", **labels, outcome="partial") == 1


def test_attempts_are_counted_one_by_one() -> None:
    of = metrics(record(attempts=(LOST, WON)))
    assert samples(of, "gateway_attempts_total") == {
        (("backend", "a"), ("error_type", ""), ("model", A.model), ("outcome", "success")): 1,
        (
            ("backend", "b"),
            ("error_type", "upstream_server_error"),
            ("model", B.model),
            ("outcome", "upstream_error"),
        ): 1,
    }


def test_move_to_the_next_deployment_is_a_fallback() -> None:
    of = metrics(record(attempts=(LOST, WON)))
    labels = {"from": B.name, "to": A.name, "reason": "upstream_server_error"}
    assert value(of, "gateway_fallbacks_total", **labels) == 1


def test_asking_the_same_deployment_again_is_no_fallback() -> None:
    of = metrics(record(attempts=(fault(A), WON)))
    assert samples(of, "gateway_fallbacks_total") == {}


def test_attempt_that_lost_beside_another_is_no_fallback() -> None:
    of = metrics(record(attempts=(LOST._replace(outcome="client_cancelled", error_type=BEATEN), WON)))
    assert samples(of, "gateway_fallbacks_total") == {}


def test_cost_is_added_up_and_an_unknown_one_adds_nothing() -> None:
    of = metrics(record(), record(), record(cost=None), record(cost=0.0))
    assert value(of, "gateway_cost_usd_total", route="chat", backend="a", model=A.model) == 0.5


def test_hit_is_counted_as_saved_and_not_as_an_upstreams_time() -> None:
    of = metrics(record(cache="hit", attempts=(), cost=0.0, saved=0.25))
    assert value(of, "gateway_cache_requests_total", result="hit") == 1
    assert value(of, "gateway_saved_usd_total", reason="cache") == 0.25
    assert samples(of, "gen_ai_server_request_duration_seconds_count") == {}
    assert samples(of, "gen_ai_client_token_usage_sum") == {}


def test_failures_are_counted_by_whose_fault_they_were() -> None:
    of = metrics(record(), record(outcome="timeout", error_type="upstream_idle_timeout"))
    assert samples(of, "gateway_errors_total") == {(("error_type", "upstream_idle_timeout"), ("route", "chat")): 1}


def test_callers_are_counted_with_what_they_cost_and_use() -> None:
    of = metrics(record(), record(outcome="partial"), record(cache="hit", cost=0.0), record(caller=""))
    assert value(of, "gateway_caller_requests_total", caller="search", outcome="success") == 2
    assert value(of, "gateway_caller_requests_total", caller="search", outcome="partial") == 1
    assert value(of, "gateway_caller_cost_usd_total", caller="search") == 0.5
    assert value(of, "gateway_caller_tokens_total", caller="search", gen_ai_token_type="input") == 200
    assert value(of, "gateway_caller_tokens_total", caller="search", gen_ai_token_type="output") == 42
    assert all(dict(labels)["caller"] for labels in samples(of, "gateway_caller_requests_total"))


def test_own_time_is_kept_by_phase() -> None:
    of = metrics(record())
    assert value(of, "gateway_overhead_seconds_sum", phase="request") == pytest.approx(0.001)
    assert value(of, "gateway_overhead_seconds_sum", phase="response") == pytest.approx(0.0002)


def test_tokens_and_latencies_carry_the_names_of_open_telemetry() -> None:
    of = metrics(record())
    labels = {
        "gen_ai_operation_name": "chat",
        "gen_ai_provider_name": "vllm-by-otel",
        "gen_ai_original_model": "auto",
        "gen_ai_request_model": A.model,
        "gen_ai_response_model": "meta/a",
    }
    assert value(of, "gen_ai_client_token_usage_sum", **labels, gen_ai_token_type="input") == 100
    assert value(of, "gen_ai_client_token_usage_sum", **labels, gen_ai_token_type="output") == 21
    assert value(of, "gen_ai_server_request_duration_seconds_sum", **labels, error_type="") == 3.0
    assert value(of, "gen_ai_server_time_to_first_token_seconds_sum", **labels) == 1.0
    assert value(of, "gen_ai_server_time_per_output_token_seconds_sum", **labels) == pytest.approx(0.1)


def test_answer_in_one_piece_has_no_time_to_the_first_token() -> None:
    of = metrics(record(stream=False))
    assert samples(of, "gen_ai_server_time_to_first_token_seconds_count") == {}
    assert samples(of, "gen_ai_server_time_per_output_token_seconds_count") == {}


def test_estimated_usage_is_counted_as_missing_and_not_as_tokens() -> None:
    guessed = usage(100, 21, estimated=True)
    of = metrics(record(usage=guessed, attempts=(WON._replace(usage=guessed),)))
    assert value(of, "gateway_usage_missing_total", backend="a") == 1
    assert samples(of, "gen_ai_client_token_usage_count") == {}


def test_request_that_nobody_answered_has_empty_labels() -> None:
    rejected = Record("req_1", 0.0, "rejected", 401, 0.1, error_type="caller_unauthorized")
    of = metrics(rejected)
    assert value(of, "gateway_requests_total", route="", model="", backend="", outcome="rejected") == 1


def test_mirrored_requests_are_counted_and_their_answers_compared() -> None:
    of = metrics()
    of.shadowed(shadowed())
    labels = {"route": "chat", "model": B.model}
    assert value(of, "gateway_shadow_requests_total", **labels, outcome="success") == 1
    assert value(of, "gateway_shadow_cost_usd_total", **labels) == 0.5
    assert value(of, "gateway_shadow_flaws_total", **labels, side="shadow") == 1
    assert value(of, "gateway_shadow_flaws_total", **labels, side="answer") is None
    for quantity, ratio in (("length", 2.0), ("ttft", 0.5), ("seconds", 2.0), ("cost", 2.0)):
        assert value(of, "gateway_shadow_difference_sum", **labels, quantity=quantity) == ratio
    assert value(of, "gateway_shadow_difference_bucket", **labels, quantity="ttft", le="0.33") == 0
    assert value(of, "gateway_shadow_difference_bucket", **labels, quantity="ttft", le="0.5") == 1


def test_mirrored_request_is_none_of_the_callers() -> None:
    of = metrics()
    of.shadowed(shadowed())
    for name in ("gateway_requests_total", "gateway_attempts_total", "gateway_cost_usd_total"):
        assert samples(of, name) == {}


def test_request_that_should_have_been_mirrored_is_counted_without_a_model() -> None:
    of = metrics()
    of.shadowed(shadowed(outcome="dropped", deployment=None, cost=None, answer=None, shadow=None, ratios=()))
    assert value(of, "gateway_shadow_requests_total", route="chat", model="", outcome="dropped") == 1
    assert samples(of, "gateway_shadow_cost_usd_total") == {}


def test_ten_thousand_junk_models_make_no_new_series() -> None:
    rules = route(A)
    rig = Rig(rules, {}, any_model=(rules,))
    of = metrics()

    def ask(model: str) -> None:
        answer = rig.engine.open(request(model=model), rig.policy)
        answer.deployment = A
        of.answered(recorded(answer.request, 0.0, answer, Ending(200, 1.0, 0.5)))
        unknown = errors.ModelNotFound("no")
        of.answered(recorded(request(model=model), 0.0, None, Ending(404, 1.0, None, unknown)))

    ask("first")
    before = generate_latest(of.registry).count(b"\n")
    for number in range(10_000):
        ask(f"junk-{number}")
    text = generate_latest(of.registry)
    assert text.count(b"\n") == before
    assert b"junk" not in text


def test_metric_that_is_full_counts_what_is_new_as_other_and_says_so() -> None:
    told: list[None] = []
    registry = CollectorRegistry()
    family = Counter("x", "X.", ["a", "b"], lambda: told.append(None), most=2)
    registry.register(family)
    for number in range(5):
        family.of(str(number), "b").inc()
    family.of("1", "b").inc()
    values = {f"{sample.labels['a']}": sample.value for sample in samples_of(registry, "x_total")}
    assert values == {"0": 1.0, "1": 2.0, "other": 3.0}
    assert len(told) == 3


def samples_of(registry: CollectorRegistry, name: str) -> list[Any]:
    return [sample for family in registry.collect() for sample in family.samples if sample.name == name]


def test_every_metric_has_a_count_of_what_found_no_room() -> None:
    of = metrics()
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in of.registry.collect()}
    kept = {dict(labels)["metric"] for labels in samples(of, "gateway_metric_overflows_total")}
    assert kept == names - {"gateway_metric_overflows_total"}


def test_buckets_fit_the_times_of_language_models() -> None:
    of = metrics(record())
    edges = {
        "gen_ai_server_time_to_first_token_seconds": (0.001, 60.0),
        "gen_ai_server_time_per_output_token_seconds": (0.001, 2.5),
        "gen_ai_server_request_duration_seconds": (0.01, 600.0),
    }
    for name, ends in edges.items():
        found = sorted(float(dict(labels)["le"]) for labels in samples(of, f"{name}_bucket"))[:-1]
        assert (found[0], found[-1]) == ends


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=20))
def test_any_configured_name_can_be_scraped(route_name: str, backend: str, model: str) -> None:
    odd = A.__class__(backend, backend, model, model, "vllm", "hosted")
    families = plain(metrics(record(route=route_name, deployment=odd, attempts=())))
    found = [sample for family in families for sample in family.samples if sample.name == "gateway_requests_total"]
    assert [sample.labels["route"] for sample in found] == [route_name]


def test_both_text_formats_can_be_parsed() -> None:
    of = metrics(record(attempts=(LOST, WON)), record(cache="hit", saved=0.1))
    names = {family.name for family in plain(of)}
    text = generate_openmetrics(of.registry).decode()  # type: ignore[no-untyped-call]  # the library has no types
    modern = {family.name for family in parse_openmetrics(text)}  # type: ignore[no-untyped-call]
    for name in (
        "gateway_requests",
        "gateway_attempts",
        "gateway_fallbacks",
        "gateway_cost_usd",
        "gateway_saved_usd",
        "gateway_cache_requests",
        "gateway_overhead_seconds",
        "gen_ai_client_token_usage",
        "gen_ai_server_request_duration_seconds",
        "gen_ai_server_time_to_first_token_seconds",
        "gen_ai_server_time_per_output_token_seconds",
    ):
        assert name in names
        assert name in modern


def test_cost_of_what_a_burst_rule_has_called_is_counted_and_nothing_else() -> None:
    forecast = Forecast(0, 0, 0.0, 0.0, 0.0)
    own, called = Choice(B, 1.0, forecast, 0), Choice(A, 1.0, forecast, 0, when="burst")
    bursting = Plan("chat", (), (own, called), (), "", causes=frozenset({"burst"}))
    paid = WON._replace(deployment=B, cost=9.0)
    of = metrics(record(plan=bursting, attempts=(paid, WON)), record(plan=bursting._replace(causes=frozenset())))
    assert value(of, "gateway_burst_usd_total", route="chat") == 0.25
