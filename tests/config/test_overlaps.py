"""What is called disjoint never matches one request twice."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.matchers import matchers
from gateway.config.overlaps import described, disjoint
from gateway.config.schema import MatchSpec, RangeSpec
from gateway.routing.book import StatsBook
from gateway.types import Caller, ChatRequest

WORDS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=2)
CALLERS = st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2)
RANGES = st.builds(RangeSpec, min=st.none() | st.integers(0, 9), max=st.none() | st.integers(0, 9))
MATCHES = st.builds(
    MatchSpec,
    stream=st.none() | st.booleans(),
    caller=st.none() | CALLERS,
    headers=st.none() | st.dictionaries(st.sampled_from(["x-a", "X-A", "x-b"]), WORDS, max_size=2),
    metadata=st.none() | st.dictionaries(st.sampled_from(["k", "l"]), WORDS, max_size=2),
    input_tokens=st.none() | RANGES,
    output_tokens=st.none() | RANGES,
    capabilities=st.none() | st.just(["tools"]),
)
VALUES = st.sampled_from(["a", "b", "c"])
REQUESTS = st.builds(
    ChatRequest,
    id=st.just("1"),
    model=st.just("auto"),
    body=st.dictionaries(st.sampled_from(["k", "l"]), VALUES).map(lambda found: {"metadata": found}),
    stream=st.booleans(),
    caller=st.builds(Caller, VALUES),
    headers=st.dictionaries(st.sampled_from(["x-a", "x-b"]), VALUES),
    prompt_tokens=st.integers(0, 9),
    max_tokens=st.none() | st.integers(0, 9),
    needs=st.sampled_from([frozenset(), frozenset({"tools"})]),
)


def takes(match: MatchSpec, request: ChatRequest) -> bool:
    """Whether a match takes a request."""
    return all(matcher(request, StatsBook()) is None for matcher in matchers(match, ()))


@given(MATCHES, MATCHES, REQUESTS)
def test_no_request_is_taken_by_two_that_are_disjoint(one: MatchSpec, other: MatchSpec, request: ChatRequest) -> None:
    assert not (disjoint(one, other) and takes(one, request) and takes(other, request))


@given(MATCHES, MATCHES)
def test_to_be_disjoint_goes_both_ways(one: MatchSpec, other: MatchSpec) -> None:
    assert disjoint(one, other) == disjoint(other, one)


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ({}, {}, False),
        ({"stream": True}, {"stream": False}, True),
        ({"stream": True}, {}, False),
        ({"caller": "a"}, {"caller": ["b", "c"]}, True),
        ({"headers": {"X-Team": "a"}}, {"headers": {"x-team": "b"}}, True),
        ({"headers": {"x-team": "*"}}, {"headers": {"x-team": "b"}}, False),
        ({"headers": {"x-team": "a"}}, {"headers": {"x-other": "b"}}, False),
        ({"metadata": {"k": "a"}}, {"metadata": {"k": "b"}}, True),
        ({"input_tokens": {"max": 9}}, {"input_tokens": {"min": 10}}, True),
        ({"input_tokens": {"max": 9}}, {"input_tokens": {"min": 9}}, False),
        ({"output_tokens": {"max": 9}}, {"output_tokens": {"min": 10}}, True),
        ({"language": ["de"]}, {"language": ["en"]}, True),
        ({"capabilities": ["tools"]}, {"capabilities": ["vision"]}, False),
        ({"when": "request.stream"}, {"when": "!request.stream"}, False),
    ],
)
def test_what_is_disjoint(one: dict[str, Any], other: dict[str, Any], apart: bool) -> None:
    assert disjoint(MatchSpec(**one), MatchSpec(**other)) is apart


def test_a_match_is_described_in_words() -> None:
    match = MatchSpec.model_validate(
        {"model": ["auto", "x"], "stream": False, "caller": "hr", "headers": {"x-a": "b"}, "input_tokens": {"min": 3}}
    )
    said = "requests for auto or x that are not streamed of hr with the header x-a with a certain input_tokens"
    assert described(match) == said
    assert described(MatchSpec()) == "every request"
