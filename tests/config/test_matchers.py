"""A match answers why not, and knows when another match takes in all of it."""

from typing import Any

import pytest

from gateway.config.matchers import matchers, takes_in
from gateway.config.schema import MatchSpec
from gateway.types import Caller, ChatRequest


def why(match: dict[str, Any], **facts: Any) -> str | None:
    spec = MatchSpec.model_validate(match)
    request = ChatRequest(**{"id": "1", "model": "auto", "body": {}} | facts)
    reasons = (check(request) for check in matchers(spec, spec.model or ()))
    return next((reason for reason in reasons if reason is not None), None)


def test_nothing_written_matches_everything() -> None:
    assert why({}) is None


@pytest.mark.parametrize(
    ("match", "facts", "reason"),
    [
        ({"model": ["auto", "b"]}, {}, None),
        ({"model": ["a", "b"]}, {}, "the model is not a or b"),
        ({"stream": True}, {"stream": True}, None),
        ({"stream": True}, {}, "stream is false"),
        ({"stream": False}, {"stream": True}, "stream is true"),
        ({"headers": {"X-Data": "a"}}, {"headers": {"x-data": "a"}}, None),
        ({"headers": {"X-Data": "a"}}, {}, "header x-data is missing"),
        ({"headers": {"x-data": ["a", "b", "c"]}}, {"headers": {"x-data": "d"}}, "header x-data is not a, b or c"),
        ({"headers": {"x-data": "*"}}, {"headers": {"x-data": "d"}}, None),
        ({"caller": "team"}, {"caller": Caller("team")}, None),
        ({"caller": ["team"]}, {}, "the caller is not team"),
        ({"capabilities": ["tools"]}, {"needs": frozenset({"tools", "vision"})}, None),
        ({"capabilities": ["tools"]}, {}, "does not need tools"),
        ({"input_tokens": {"min": 24000}}, {"prompt_tokens": 24000}, None),
        ({"input_tokens": {"min": 24000}}, {"prompt_tokens": 1200}, "1200 input tokens, wants at least 24000"),
        ({"input_tokens": {"max": 10}}, {"prompt_tokens": 11}, "11 input tokens, wants at most 10"),
        ({"output_tokens": {"max": 10}}, {}, "asks for no number of output tokens"),
        ({"output_tokens": {"max": 10}}, {"max_tokens": 10}, None),
        ({"output_tokens": {"min": 11}}, {"max_tokens": 10}, "10 output tokens, wants at least 11"),
        ({"metadata": {"team": "a"}}, {"body": {"metadata": {"team": "a"}}}, None),
        ({"metadata": {"team": "1"}}, {"body": {"metadata": {"team": 1}}}, None),
        ({"metadata": {"team": "a"}}, {"body": {"metadata": {"team": "b"}}}, "metadata team is not a"),
        ({"metadata": {"team": "a"}}, {"body": {"metadata": "team"}}, "metadata team is missing"),
        ({"metadata": {"team": "a"}}, {}, "metadata team is missing"),
    ],
)
def test_each_condition_answers_why_not(match: dict[str, Any], facts: dict[str, Any], reason: str | None) -> None:
    assert why(match, **facts) == reason


@pytest.mark.parametrize(
    ("wide", "narrow", "covers"),
    [
        ({}, {}, True),
        ({}, {"stream": True}, True),
        ({"stream": True}, {}, False),
        ({"stream": True}, {"stream": False}, False),
        ({"model": ["m", "n"]}, {"model": ["m"]}, True),
        ({"model": ["n"]}, {"model": ["m"]}, False),
        ({"headers": {"A": ["x", "y"]}}, {"headers": {"a": "x", "b": "z"}}, True),
        ({"headers": {"a": "x"}}, {"headers": {"a": ["x", "y"]}}, False),
        ({"headers": {"a": "*"}}, {"headers": {"a": "x"}}, True),
        ({"headers": {"a": "x"}}, {"headers": {"a": "*"}}, False),
        ({"input_tokens": {"min": 10}}, {"input_tokens": {"min": 20, "max": 30}}, True),
        ({"input_tokens": {"min": 10}}, {"input_tokens": {"max": 30}}, False),
        ({"input_tokens": {"min": 0}}, {}, True),
        ({"output_tokens": {"min": 0}}, {}, False),
        ({"output_tokens": {"min": 0}}, {"output_tokens": {"max": 9}}, True),
        ({"capabilities": ["tools"]}, {"capabilities": ["tools", "vision"]}, True),
        ({"capabilities": ["tools", "vision"]}, {"capabilities": ["tools"]}, False),
        ({"caller": ["a", "b"]}, {"caller": "a"}, True),
        ({"caller": "a"}, {}, False),
        ({"metadata": {"t": "a"}}, {"metadata": {"t": "a"}}, True),
        ({"metadata": {"t": "a"}}, {}, False),
    ],
)
def test_a_match_takes_in_another_only_when_all_its_conditions_do(
    wide: dict[str, Any], narrow: dict[str, Any], covers: bool
) -> None:
    model = "m" if "model" in narrow else None
    assert takes_in(MatchSpec.model_validate(wide), MatchSpec.model_validate(narrow), model) is covers


def test_a_route_for_any_model_is_not_taken_in_by_one_for_some() -> None:
    assert not takes_in(MatchSpec(model=["m"]), MatchSpec(), None)
