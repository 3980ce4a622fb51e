"""What a caller is told of its limits."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.allowances import allowance_headers, duration
from gateway.routing.policy import key_digest
from gateway.types import Caller, Level, Limits, Subject, Team
from tests.api.test_chat import KEY, Call, rig
from tests.engine.virtual_time import run


def told(*levels: Level) -> dict[str, str]:
    """The headers by name."""
    return {name.decode(): value.decode() for name, value in allowance_headers(levels)}


def level(limits: Limits, requests: float = 0.0, tokens: float = 0.0, team: bool = False) -> Level:
    """What is used of limits."""
    return Level(Subject("search", limits, team), requests, tokens)


def test_requests_and_tokens_are_told_in_openai_s_words_and_in_those_of_the_ietf() -> None:
    assert told(level(Limits(rpm=60, tpm=6000), 30.0, 1500.0)) == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "30",
        "x-ratelimit-reset-requests": "30s",
        "x-ratelimit-limit-tokens": "6000",
        "x-ratelimit-remaining-tokens": "4500",
        "x-ratelimit-reset-tokens": "15s",
        "ratelimit-policy": '"rpm";q=60;w=60;qu="requests", "tpm";q=6000;w=60;qu="tokens"',
        "ratelimit": '"rpm";r=30;t=30, "tpm";r=4500;t=15',
    }


def test_of_caller_and_team_the_one_with_less_left_is_told() -> None:
    own, team = level(Limits(rpm=10), 2.0), level(Limits(rpm=100), 99.0, team=True)
    assert told(own, team)["ratelimit"] == '"rpm";r=1;t=60'
    assert told(own)["ratelimit"] == '"rpm";r=8;t=12'


def test_limits_that_are_not_by_the_minute_have_no_header() -> None:
    assert told(level(Limits(concurrency=2, usd_per_day=1.0))) == {}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0ms"), (0.0121, "13ms"), (1, "1s"), (1.5, "1.5s"), (60, "1m0s"), (360, "6m0s")]
)
def test_durations_are_written_as_openai_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@given(st.integers(0, 10**9), st.floats(0, 2e9), st.floats(0, 2e9))
def test_headers_are_ascii_whatever_is_used(limit: int, requests: float, tokens: float) -> None:
    found = told(level(Limits(rpm=limit, tpm=limit), requests, tokens))
    assert all(value.isascii() for value in found.values())
    assert 0 <= int(found["x-ratelimit-remaining-requests"]) <= limit


def test_a_caller_over_its_limit_is_told_when_to_come_back() -> None:
    async def scenario() -> None:
        of = rig(callers={key_digest(KEY): Caller("search", limits=Limits(rpm=2))})
        calls = [Call(of) for _ in range(3)]
        for call in calls:
            await call.run()
        first, _, last = calls
        assert (first.status, last.status) == (200, 429)
        heads = [dict(call.sent[0]["headers"]) for call in calls]
        assert [head[b"x-ratelimit-remaining-requests"] for head in heads] == [b"1", b"0", b"0"]
        assert heads[2][b"x-should-retry"] == b"true"
        assert 0 < int(heads[2][b"retry-after"]) <= 30 and int(heads[2][b"retry-after-ms"]) > 1000
        assert last.said["error"]["code"] == "rate_limit_exceeded"
        assert last.said["error"]["type"] == "rate_limit_error"
        assert of.calls == {"a": 2}

    run(scenario())


def test_a_caller_without_money_is_told_that_it_is_the_quota() -> None:
    async def scenario() -> None:
        team = Team("research", Limits(usd_per_month=0.0))
        of = rig(callers={key_digest(KEY): Caller("search", team=team)})
        call = Call(of)
        await call.run()
        await asyncio.sleep(0)
        assert call.status == 200, "own hardware costs nothing"

    run(scenario())
