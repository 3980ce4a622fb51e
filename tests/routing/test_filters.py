"""Each reason against a deployment, one by one."""

from typing import Any

import pytest

from gateway.routing import filters
from gateway.routing.book import StatsBook
from gateway.routing.breaker import Breaker, trying
from gateway.routing.concurrency import Allowance
from gateway.routing.stats import Stats
from gateway.routing.view import Case
from gateway.types import ChatRequest, Deployment, Forecast, Preferences
from tests.routing.samples import deployment, request, route

NOW = 1000.0


def case(
    target: Deployment | None = None,
    asked: ChatRequest | None = None,
    prompt: int = 100,
    usd: float = 0.0,
    ttft: float = 0.5,
    stats: Stats | None = None,
    in_flight: int = 0,
    when: str = "",
    causes: frozenset[str] = frozenset(),
    language: str | None = None,
    **limits: Any,
) -> Case:
    target = target or deployment()
    outlook = Forecast(prompt, 100, usd, ttft, ttft + 1.0)
    rules, seen = route(target, **limits), stats or Stats()
    return Case(asked or request(), rules, target, seen, outlook, in_flight, NOW, 0, when, causes, language)


def test_deployment_must_be_capable_of_all_that_the_request_needs() -> None:
    asked = request(needs=frozenset({"tools", "vision"}))
    able = deployment(capabilities=frozenset({"tools", "vision", "logprobs"}))
    assert filters.lacks_capability(case(able, asked)) is None
    assert filters.lacks_capability(case(deployment(), request())) is None
    assert filters.lacks_capability(case(deployment(), asked)) == "cannot do tools, vision"


@pytest.mark.parametrize(
    ("context", "prompt", "asked", "fits"),
    [
        (1000, 1000, None, True),
        (1000, 1001, None, False),
        (1000, 900, 100, True),
        (1000, 900, 101, False),
        (None, 10**9, 10**9, True),
    ],
)
def test_context_must_hold_prompt_and_asked_completion(
    context: int | None, prompt: int, asked: int | None, fits: bool
) -> None:
    reason = filters.too_short_context(case(deployment(context=context), request(max_tokens=asked), prompt=prompt))
    assert (reason is None) == fits
    assert reason is None or reason == f"needs {prompt + (asked or 0)} tokens, holds {context}"


@pytest.mark.parametrize(("allowed", "fits"), [(None, True), (0.02, True), (0.01, True), (0.009, False)])
def test_price_must_be_within_what_the_route_allows(allowed: float | None, fits: bool) -> None:
    assert (filters.too_dear(case(usd=0.01, max_usd=allowed)) is None) == fits


@pytest.mark.parametrize(("allowed", "fits"), [(None, True), (3.0, True), (2.0, True), (1.9, False)])
def test_first_token_must_come_as_soon_as_the_route_wants(allowed: float | None, fits: bool) -> None:
    assert (filters.too_slow(case(ttft=2.0, stats=Stats(ttft=2.0, seen=NOW - 1), max_ttft=allowed)) is None) == fits


def test_deployment_never_measured_is_not_called_slow() -> None:
    assert filters.too_slow(case(ttft=99.0, max_ttft=0.1)) is None


@pytest.mark.parametrize(
    ("limit", "in_flight", "room"), [(None, 10**6, True), (2, 1, True), (2, 2, False), (0, 0, False)]
)
def test_backend_takes_no_more_requests_than_its_limit(limit: int | None, in_flight: int, room: bool) -> None:
    assert (filters.full(case(deployment(concurrency=limit), in_flight=in_flight)) is None) == room


@pytest.mark.parametrize(("limit", "asked", "room"), [(None, 10**6, True), (3, 2, True), (3, 3, False)])
def test_deployment_that_was_overloaded_takes_fewer_requests(limit: int | None, asked: int, room: bool) -> None:
    reason = filters.full(case()._replace(asked=asked, limit=limit))
    assert (reason is None) == room
    assert reason is None or reason == "was overloaded: takes 3 at a time now, 3 in flight"


@pytest.mark.parametrize(("until", "rests"), [(NOW - 1, False), (NOW, False), (NOW + 0.1, True)])
def test_rest_ends_on_time_and_names_its_reason(until: float, rests: bool) -> None:
    reason = filters.resting(case(stats=Stats(resting_until=until, resting_because="asked us to slow down (429)")))
    assert (reason is not None) == rests
    assert reason is None or "slow down" in reason


@pytest.mark.parametrize(("until", "out"), [(NOW - 1, False), (NOW, False), (NOW + 0.1, True)])
def test_ejection_ends_on_time_and_says_why_it_began(until: float, out: bool) -> None:
    breaker = Breaker(False, until, until, because="6 faults in a row")
    reason = filters.ejected(case(stats=Stats(breaker=breaker, ejected_until=until)))
    assert (reason is not None) == out
    assert reason is None or reason == "ejected (6 faults in a row), for another 0.1 s"


def test_deployment_that_comes_back_is_out_while_another_request_tries_it() -> None:
    breaker = trying(Breaker(False, NOW - 2, NOW - 2), NOW - 1, 3.0)
    reason = filters.ejected(case(stats=Stats(breaker=breaker, ejected_until=breaker.until)))
    assert reason == "comes back after an outage, and another request tries it just now"


def test_what_can_be_pardoned_is_asked_about_last_so_that_nothing_else_is() -> None:
    assert [each.code for each in filters.FILTERS[-2:]] == ["ejected", "language"]


def test_each_filter_has_a_code_of_its_own() -> None:
    codes = [each.code for each in (*filters.FILTERS, filters.WISHES)]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(("age", "fits"), [(1.0, False), (30.0, False), (30.1, True)])
def test_measurement_shuts_a_deployment_out_for_thirty_seconds_and_no_longer(age: float, fits: bool) -> None:
    slow = case(ttft=9.0, stats=Stats(ttft=9.0, seen=NOW - age), max_ttft=1.0)
    assert (filters.too_slow(slow) is None) == fits


@pytest.mark.parametrize(
    ("gives", "asked", "fits"), [(None, 10**6, True), (100, None, True), (100, 100, True), (100, 101, False)]
)
def test_completion_may_be_as_long_as_the_deployment_gives(gives: int | None, asked: int | None, fits: bool) -> None:
    reason = filters.too_long(case(deployment(max_output=gives), request(max_tokens=asked)))
    assert (reason is None) == fits
    assert reason is None or reason == f"gives {gives} tokens, {asked} are asked for"


def test_deployment_of_a_plan_is_unavailable_when_its_backend_is_full_or_it_rests() -> None:
    target, book = deployment(concurrency=1), StatsBook()
    assert filters.unavailable(target, book, NOW) is None
    book.deployments[target.name] = Stats(resting_until=NOW + 5, resting_because="asked us to slow down (429)")
    assert filters.unavailable(target, book, NOW) == "asked us to slow down (429), for another 5.0 s"
    book.started(target)
    assert filters.unavailable(target, book, NOW) == "full: 1 of 1 in flight"
    other = deployment("b")
    book.started(other)
    book.allowances[other.name] = Allowance(1.5)
    assert filters.unavailable(other, book, NOW) == "was overloaded: takes 1 at a time now, 1 in flight"


@pytest.mark.parametrize(
    ("when", "causes", "joins"),
    [
        ("", set(), True),
        ("context", set(), False),
        ("context", {"context"}, True),
        ("context", {"overloaded", "refused"}, False),
        ("gone llama-2", {"gone llama-2"}, True),
        ("gone llama-2", {"gone llama-1"}, False),
    ],
)
def test_reserve_joins_for_its_own_cause_alone(when: str, causes: set[str], joins: bool) -> None:
    assert (filters.in_reserve(case(when=when, causes=frozenset(causes))) is None) == joins


@pytest.mark.parametrize("when", [*filters.WHEN, "gone llama-2"])
def test_reserve_says_what_it_waits_for(when: str) -> None:
    reason = filters.in_reserve(case(when=when))
    assert reason is not None and reason.startswith("in reserve: joins when ")
    assert "gone" not in reason


@pytest.mark.parametrize(
    ("speaks", "language", "fits"),
    [
        ({"en", "de"}, "de", True),
        ({"en", "de"}, "th", False),
        (set(), "th", True),
        ({"en"}, None, True),
    ],
)
def test_model_must_be_trained_for_the_language_as_far_as_both_are_known(
    speaks: set[str], language: str | None, fits: bool
) -> None:
    reason = filters.lacks_language(case(deployment(languages=frozenset(speaks)), language=language))
    assert (reason is None) == fits
    assert reason is None or reason == f"was not trained for the language '{language}'"


def test_preferences_of_the_caller_are_a_reason_and_without_any_there_is_none() -> None:
    asked = request(preferences=Preferences(ignore=frozenset({"gpu-a"})))
    assert filters.not_wanted(case(asked=request())) is None
    assert filters.not_wanted(case(asked=asked)) == "is a provider that the request ignores"
