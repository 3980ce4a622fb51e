"""Durations, sizes, shares and precisions as written."""

import pytest

from gateway.config.units import billions, exactness, precisions, seconds, share


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("800ms", 0.8),
        ("2s", 2),
        ("1.5s", 1.5),
        ("5m", 300),
        ("1h", 3600),
        ("0s", None),
        ("5", None),
        ("-1s", None),
        ("5 m", None),
        ("1d", None),
        ("1e3s", None),
        ("9" * 99 + "s", None),
        ("٣s", None),
    ],
)
def test_durations_are_seconds(text: str, value: float | None) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("8b", 8), ("0.5B", 0.5), ("405b", 405), ("0b", None), ("8", None), ("8m", None), ("b", None)]
)
def test_sizes_are_billions(text: str, value: float | None) -> None:
    assert billions(text) == value


def test_precisions_are_ordered() -> None:
    order = ["fp32", "bf16", "fp8", "q6_k", "q5_k_m", "q4_k_m", "q3", "q2"]
    ranks = [exactness(name) for name in order]
    assert ranks == sorted(ranks, key=lambda rank: -(rank or 0))
    assert len(set(ranks)) == len(order)


@pytest.mark.parametrize(
    "equal",
    [
        ("bf16", "fp16"),
        ("fp8", "q8_0", "int8"),
        ("q5_k_m", "q5_k_s", "q5_0"),
        ("q4_k_m", "q4_k_s", "q4_0", "int4", "awq", "gptq"),
    ],
)
def test_some_precisions_count_as_equal(equal: tuple[str, ...]) -> None:
    assert len({exactness(name) for name in equal}) == 1


def test_an_unknown_precision_has_no_rank() -> None:
    assert exactness("q9") is None
    assert None not in {exactness(name) for name in precisions()}


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5%", 0.05),
        ("0.5 %", 0.005),
        ("100%", 1.0),
        ("0%", 0.0),
        (0.05, 0.05),
        (1, 1.0),
        (0, 0.0),
        ("101%", None),
        ("-1%", None),
        ("5", None),
        (5, None),
        (-0.1, None),
        (float("nan"), None),
        (True, None),
        (None, None),
        ("9" * 99 + "%", None),
    ],
)
def test_shares_are_parts_of_one(written: object, value: float | None) -> None:
    assert share(written) == (None if value is None else pytest.approx(value))
