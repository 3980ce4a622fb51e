"""The shared values."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import types
from gateway.types import Backend, ChatRequest, Price

AMOUNTS = st.floats(0, 1e4)
TOKENS = st.integers(0, 10**7)


def test_price_is_per_million_tokens() -> None:
    assert Price(1.0, 3.0).of(1_000_000, 1_000_000) == pytest.approx(4.0)
    assert Price(1.0, 3.0).of(0, 0) == 0.0


def test_cached_tokens_cost_their_own_price_where_there_is_one() -> None:
    assert Price(1.0, 3.0, cached_input=0.1).of(1_000_000, 0, cached=500_000) == pytest.approx(0.55)
    assert Price(1.0, 3.0, cached_input=0.0).of(1_000_000, 0, cached=1_000_000) == pytest.approx(0.0)
    assert Price(1.0, 3.0).of(1_000_000, 0, cached=500_000) == pytest.approx(1.0)


@given(AMOUNTS, AMOUNTS, TOKENS, TOKENS, st.floats(0, 1))
def test_no_price_of_a_request_is_negative(
    input: float, output: float, prompt: int, completion: int, hit: float
) -> None:
    assert Price(input, output, cached_input=0.0).of(prompt, completion, prompt * hit) >= -1e-9


def test_secrets_of_a_backend_are_not_in_its_repr() -> None:
    backend = Backend("a", "vllm", "http://127.0.0.1:1", api_key="sk-canary", headers={"x-key": "sk-canary"})
    assert "sk-canary" not in repr(backend)


def test_values_are_frozen_and_have_slots() -> None:
    values = [value for value in vars(types).values() if dataclasses.is_dataclass(value)]
    assert values
    for value in values:
        assert value.__dataclass_params__.frozen, value  # type: ignore[union-attr]  # a class, not an instance
        assert "__slots__" in vars(value), value


def test_changed_copy_of_a_request_leaves_the_first_as_it_was() -> None:
    first = ChatRequest("req_1", "a", {})
    assert dataclasses.replace(first, model="b").model == "b"
    assert first.model == "a"
