"""A match answers why not, and knows when another match takes in all of it."""

from datetime import datetime
from typing import Any

import pytest

from gateway.config.matchers import CHEAP, Dear, matchers, takes_in
from gateway.config.schema import MatchSpec
from gateway.routing.book import StatsBook
from gateway.types import Caller, ChatRequest


def why(match: dict[str, Any], dear: Dear = CHEAP, **facts: Any) -> str | None:
    spec = MatchSpec.model_validate(match)
    request = ChatRequest(**{"id": "1", "model": "auto", "body": {}} | facts)
    reasons = (check(request, StatsBook()) for check in matchers(spec, spec.model or (), dear))
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


WORKING = {"time": {"days": ["mon", "tue", "wed", "thu", "fri"], "hours": "08:00-18:00", "zone": "Europe/Berlin"}}
NIGHTS = {"time": {"days": ["fri"], "hours": "22:00-06:00"}}


def at(moment: str) -> float:
    """A moment as Unix time."""
    return datetime.fromisoformat(moment).timestamp()


@pytest.mark.parametrize(
    ("match", "moment", "reason"),
    [
        (WORKING, "2026-11-24T08:00:00+01:00", None),
        (WORKING, "2026-11-24T07:59:59+01:00", "it is tue 07:59 in Europe/Berlin"),
        (WORKING, "2026-11-24T18:00:00+01:00", "it is tue 18:00 in Europe/Berlin"),
        (WORKING, "2026-07-24T06:30:00+00:00", None),  # summer time
        (WORKING, "2026-11-28T12:00:00+01:00", "it is sat 12:00 in Europe/Berlin"),
        (NIGHTS, "2026-11-27T22:00:00+00:00", None),
        (NIGHTS, "2026-11-28T05:59:00+00:00", None),  # still Friday's night
        (NIGHTS, "2026-11-27T05:59:00+00:00", "it is fri 05:59 in UTC"),  # Thursday's
        (NIGHTS, "2026-11-28T06:00:00+00:00", "it is sat 06:00 in UTC"),
        ({"time": {"days": ["sat"]}}, "2026-11-28T23:59:00+00:00", None),
    ],
)
def test_time_is_that_of_the_zone_and_a_night_belongs_to_the_day_it_begins(
    match: dict[str, Any], moment: str, reason: str | None
) -> None:
    assert why(match, at=at(moment)) == reason


def test_language_is_asked_of_the_detector_and_one_that_is_not_clear_is_none() -> None:
    german = Dear(detect=lambda request: "de")
    unclear = Dear(detect=lambda request: None)
    assert why({"language": ["de", "fr"]}, german) is None
    assert why({"language": ["fr"]}, german) == "the language is de"
    assert why({"language": ["fr"]}, unclear) == "the language is not clear"


@pytest.mark.parametrize(
    ("wide", "narrow", "within"),
    [
        ({"when": "request.stream"}, {"when": "request.stream"}, True),
        ({"when": "request.stream"}, {}, False),
        ({}, {"when": "request.stream"}, True),
        (WORKING, WORKING, True),
        (WORKING, {}, False),
        ({"language": ["de", "fr"]}, {"language": ["fr"]}, True),
        ({"language": ["fr"]}, {"language": ["de", "fr"]}, False),
        ({"language": ["fr"]}, {}, False),
    ],
)
def test_newer_conditions_are_compared_too(wide: dict[str, Any], narrow: dict[str, Any], within: bool) -> None:
    assert takes_in(MatchSpec.model_validate(wide), MatchSpec.model_validate(narrow), None) is within
