"""Gauges that are read when somebody scrapes."""

from prometheus_client import CollectorRegistry, generate_latest

from gateway.telemetry.gauges import Gauges, Reading


def readings(value: float) -> list[Reading]:
    return [
        Reading("gateway_backend_up", "Up.", (("backend", "a"), ("model", "m")), value),
        Reading("gateway_policy_generation", "Generation.", (), 1.0),
        Reading("gateway_backend_up", "Up.", (("backend", "b"), ("model", "m")), 0.0),
    ]


def test_readings_of_one_name_are_one_family() -> None:
    families = list(Gauges(lambda: readings(1.0)).collect())
    assert [family.name for family in families] == ["gateway_backend_up", "gateway_policy_generation"]
    assert [sample.labels["backend"] for sample in families[0].samples] == ["a", "b"]


def test_each_scrape_reads_anew() -> None:
    now, registry = [1.0], CollectorRegistry()
    registry.register(Gauges(lambda: readings(now[0])))
    labels = {"backend": "a", "model": "m"}
    assert registry.get_sample_value("gateway_backend_up", labels) == 1.0
    now[0] = 0.0
    assert registry.get_sample_value("gateway_backend_up", labels) == 0.0
    assert b'gateway_backend_up{backend="b",model="m"} 0.0' in generate_latest(registry)


def test_registering_reads_nothing() -> None:
    def broken() -> list[Reading]:
        raise AssertionError("there is no policy yet")

    CollectorRegistry().register(Gauges(broken))


def test_a_name_that_ends_in_total_is_a_counter() -> None:
    registry = CollectorRegistry()
    registry.register(Gauges(lambda: [Reading("gateway_errors_total", "Errors.", (("route", "chat"),), 3.0)]))
    assert registry.get_sample_value("gateway_errors_total", {"route": "chat"}) == 3.0
    assert b"# TYPE gateway_errors_total counter" in generate_latest(registry)
