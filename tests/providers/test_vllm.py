"""What vLLM's /metrics say of its load."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.providers.vllm import load_of
from gateway.types import Load

PAGE = b"""# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_requests_waiting{engine="0",model_name="m"} 7.0
vllm:num_requests_waiting{engine="1",model_name="m"} 0.0
vllm:kv_cache_usage_perc{engine="0",model_name="a b"} 0.25
vllm:kv_cache_usage_perc{engine="1",model_name="a b"} 0.75
vllm:prompt_tokens_total{engine="0",model_name="m"} 100.0
vllm:generation_tokens_total{engine="0",model_name="m"} 1.5e+03
vllm:iteration_tokens_total_bucket{engine="0",le="1.0",model_name="m"} 9.0
vllm:iteration_tokens_total_sum{engine="0",model_name="m"} 20.0
vllm:iteration_tokens_total_count{engine="0",model_name="m"} 9.0
"""


def test_load_is_the_sum_of_the_engines_and_the_fullest_cache() -> None:
    assert load_of(PAGE) == Load(running=5.0, waiting=7.0, kv_usage=0.75, tokens=1620.0)


def test_older_name_of_the_cache_is_known_and_none_counts_as_empty() -> None:
    older = PAGE.replace(b"kv_cache", b"gpu_cache")
    assert load_of(older) == load_of(PAGE)
    without = b"\n".join(line for line in PAGE.split(b"\n") if b"kv_cache" not in line)
    assert load_of(without) == Load(5.0, 7.0, 0.0, 1620.0)


@pytest.mark.parametrize(
    "page",
    [
        b"",
        b'{"error": "not found"}',
        b"vllm:num_requests_running 1.0\n",
        b"vllm:num_requests_running NaN\nvllm:num_requests_waiting 1\n",
    ],
)
def test_page_that_does_not_tell_it_is_none(page: bytes) -> None:
    assert load_of(page) is None


@given(st.binary(max_size=300), st.integers(0, len(PAGE)))
def test_any_page_is_read_or_not_and_breaks_nothing(odd: bytes, place: int) -> None:
    found = load_of(PAGE[:place] + odd + PAGE[place:])
    assert found is None or isinstance(found, Load)
