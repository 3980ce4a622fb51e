"""Whoever is held back joins for its cause alone, and a route may wait for somebody or ask a larger model."""

import asyncio
import contextlib
from typing import Any

import pytest

from gateway import errors
from gateway.engine.record import reason_of
from gateway.routing.lane import Candidate
from gateway.routing.policy import Burst
from gateway.routing.stats import Stats
from gateway.types import Preferences, Price
from tests.engine.fakes import Rig, bodies, finish, text, used, whole, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, route

A, B = deployment("a"), deployment("b", "llama-4-maverick-17b-128e-instruct")
SMALL = deployment("small", "llama-3.1-8b-instruct", size=8.0, capabilities=frozenset({"json_object", "tools"}))
LARGE = deployment("large", size=70.0, capabilities=frozenset({"json_object", "tools"}))
NO_JSON = [text("{"), text("not JSON"), finish()]
JSON = [text('{"a":'), text(" 1}"), finish()]


def held(when: str, first: Any = A, **facts: Any) -> Any:
    """A route whose second candidate waits for a cause."""
    return route(candidates=(Candidate(first, 0), Candidate(B, 1, when)), **facts)


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        ("context", errors.ContextExceeded),
        ("refused", errors.Refused),
        ("overloaded", errors.ServerFault),
        ("overloaded", errors.Unreachable),
        (f"gone {A.model}", errors.ModelGone),
    ],
)
def test_reserve_answers_when_its_cause_comes_up(cause: str, error: type[errors.UpstreamError]) -> None:
    async def scenario() -> None:
        rig = Rig(held(cause), {"a": [[error]]})
        answer = rig.open()
        assert words(await bodies(answer)) == "Hello world"
        assert answer.deployment == B
        assert rig.calls["b"] == 1
        assert f"{B.name} was held in reserve ({cause})" in reason_of(answer)
        assert rig.quiet()

    run(scenario())


@pytest.mark.parametrize(
    ("cause", "error"),
    [("context", errors.ServerFault), ("refused", errors.ServerFault), ("overloaded", errors.Refused)],
)
def test_reserve_stays_out_for_any_other_cause(cause: str, error: type[errors.UpstreamError]) -> None:
    async def scenario() -> None:
        rig = Rig(held(cause), {"a": [[error]]})
        with pytest.raises(error):
            await bodies(rig.open())
        assert "b" not in rig.calls

    run(scenario())


def test_refusal_is_passed_on_where_the_route_holds_nobody_for_it() -> None:
    async def scenario() -> None:
        rig = Rig(route(candidates=(Candidate(A, 0), Candidate(B, 1))), {"a": [[errors.Refused]]})
        with pytest.raises(errors.Refused):
            await bodies(rig.open())
        assert rig.calls == {"a": 1}

    run(scenario())


def test_successor_takes_over_at_once_while_the_model_is_gone() -> None:
    async def scenario() -> None:
        rig = Rig(held(f"gone {A.model}"), {"a": [[errors.ModelGone]]})
        await bodies(rig.open())
        await bodies(rig.open())
        assert rig.calls == {"a": 1, "b": 2}

    run(scenario())


def test_attempts_of_a_request_are_bounded_with_reserves_too() -> None:
    async def scenario() -> None:
        rig = Rig(held("overloaded", attempts=1), {"a": [[errors.ServerFault]]})
        with pytest.raises(errors.ServerFault):
            await bodies(rig.open())
        assert rig.calls == {"a": 1}

    run(scenario())


def test_burst_goes_to_the_reserve_until_its_hour_is_spent() -> None:
    async def scenario() -> None:
        hosted = deployment("hosted", location="hosted", price=Price(1e6, 0.0))  # a dollar a token
        rules = route(
            candidates=(Candidate(A, 0), Candidate(hosted, 1, "burst")), burst=Burst(2.0, 1.0, usd_per_hour=10.0)
        )
        rig = Rig(rules, {})
        rig.book.deployments[A.name] = Stats(ttft=5.0, per_token=0.01, seen=now())
        for _ in range(3):  # seven tokens each
            await bodies(rig.open(prompt_tokens=7))
        assert rig.calls == {"hosted": 2, "a": 1}
        assert rig.book.spent("chat", now()) == pytest.approx(14.0)

    run(scenario())


def rested(rig: Rig, seconds: float) -> None:
    """Its only deployment rests for so long."""
    rig.book.deployments[A.name] = Stats(resting_until=now() + seconds, resting_because="asked us to slow down (429)")


def test_route_that_waits_answers_as_soon_as_somebody_can() -> None:
    async def scenario() -> None:
        rig = Rig(route(deployment("a"), wait=5.0), {})
        rested(rig, 2.0)
        begun = now()
        assert words(await bodies(rig.open())) == "Hello world"
        assert now() - begun == pytest.approx(2.0)

    run(scenario())


def test_route_that_waits_does_not_wait_for_a_rest_that_is_longer() -> None:
    async def scenario() -> None:
        rig = Rig(route(deployment("a"), wait=5.0), {})
        rested(rig, 60.0)
        begun = now()
        with pytest.raises(errors.NoCandidate):
            await bodies(rig.open())
        assert now() == begun

    run(scenario())


def test_route_that_waits_does_so_no_longer_than_it_says_nor_beyond_the_deadline() -> None:
    async def scenario() -> None:
        rig = Rig(route(deployment("a"), wait=5.0, max_ttft=1.0), {})
        rig.book.deployments[A.name] = Stats(ttft=9.0, per_token=0.01, seen=now())
        begun = now()
        with pytest.raises(errors.NoCandidate):
            await bodies(rig.open())
        assert now() - begun == pytest.approx(5.0, abs=0.1)
        with pytest.raises(errors.TotalTimeout):
            await bodies(rig.open(deadline=now() + 1.0))
        assert now() - begun == pytest.approx(6.0, abs=0.1)

    run(scenario())


ESCALATING = route(
    candidates=(Candidate(SMALL, 0), Candidate(LARGE, 1)), escalate=frozenset({"invalid_json", "truncated"})
)
WANTS_JSON = {
    "body": {"messages": [], "response_format": {"type": "json_object"}},
    "needs": frozenset({"json_object"}),
}


@pytest.mark.parametrize("stream", [True, False])
def test_answer_with_a_flaw_is_asked_of_a_larger_model_and_both_are_paid(stream: bool) -> None:
    async def scenario() -> None:
        small, large = (NO_JSON, JSON) if stream else ([whole("{not JSON")], [whole('{"a": 1}')])
        rig = Rig(ESCALATING, {"small": [small], "large": [large]})
        answer = rig.open(stream=stream, **WANTS_JSON)
        assert words(await bodies(answer)) == '{"a": 1}'
        assert [outcome.error_type for outcome in answer.outcomes] == ["upstream_inadequate", ""]
        assert all(outcome.usage is not None for outcome in answer.outcomes)
        assert rig.book.of(SMALL).faults == 0

    run(scenario())


def test_answer_with_a_flaw_is_given_when_no_larger_model_is_left() -> None:
    async def scenario() -> None:
        rig = Rig(
            route(SMALL, asked=("llama-3.3-70b-instruct",), escalate=frozenset({"invalid_json"})), {"small": [NO_JSON]}
        )
        assert words(await bodies(rig.open(**WANTS_JSON))) == "{not JSON"

    run(scenario())


def test_answer_with_a_flaw_is_not_asked_of_another_deployment_of_the_same_size() -> None:
    async def scenario() -> None:
        twin = deployment("twin", SMALL.model, size=8.0, capabilities=SMALL.capabilities)
        rules = route(
            candidates=(Candidate(SMALL, 0), Candidate(twin, 0), Candidate(LARGE, 1)),
            escalate=frozenset({"invalid_json"}),
        )
        rig = Rig(rules, {"small": [NO_JSON], "twin": [NO_JSON], "large": [JSON]})
        assert words(await bodies(rig.open(**WANTS_JSON))) == '{"a": 1}'
        assert len(rig.calls) == 2 and rig.calls["large"] == 1

    run(scenario())


def test_stream_of_plain_text_is_not_held_for_the_sake_of_escalation() -> None:
    async def scenario() -> None:
        rig = Rig(ESCALATING, {"small": [[text("Hel"), 5.0, text("lo"), finish()]]})
        begun = now()
        first = await anext(rig.open().chunks())
        assert (words([chunk.body for chunk in first]), now()) == ("Hel", begun)

    run(scenario())


def test_buffered_stream_fails_over_also_after_content() -> None:
    async def scenario() -> None:
        rules = route(candidates=(Candidate(A, 0), Candidate(B, 1)), mid_stream="buffer")
        rig = Rig(rules, {"a": [[text("Half an ans"), errors.Disconnected]]})
        answer = rig.open()
        assert words(await bodies(answer)) == "Hello world"
        assert answer.outcomes[0].usage is not None  # what was thrown away is billed all the same

    run(scenario())


def test_buffered_stream_that_stalls_meets_the_limit_between_pieces() -> None:
    async def scenario() -> None:
        rules = route(candidates=(Candidate(A, 0), Candidate(B, 1)), mid_stream="buffer")
        rig, begun = Rig(rules, {"a": [[text("Half"), 1000.0]]}), now()
        assert words(await bodies(rig.open())) == "Hello world"
        assert now() - begun == pytest.approx(A.timeouts.idle)

    run(scenario())


def test_refusal_goes_to_the_reserve_for_it_and_to_nobody_else() -> None:
    async def scenario() -> None:
        other, filterless = deployment("other"), deployment("filterless")
        rules = route(candidates=(Candidate(A, 0), Candidate(other, 1), Candidate(filterless, 2, "refused")))
        rig = Rig(rules, {"a": [[errors.Refused]]})
        await bodies(rig.open())
        assert rig.calls == {"a": 1, "filterless": 1}

    run(scenario())


def test_prompt_that_is_too_long_is_not_sent_to_a_window_as_small_on_the_way_to_the_reserve() -> None:
    async def scenario() -> None:
        small, twin, wide = (deployment(name, context=size) for name, size in [("s", 8000), ("t", 8000), ("w", 99000)])
        rules = route(candidates=(Candidate(small, 0), Candidate(twin, 1), Candidate(wide, 2, "context")), attempts=2)
        rig = Rig(rules, {"s": [[errors.ContextExceeded]], "t": [[errors.ContextExceeded]]})
        await bodies(rig.open())
        assert rig.calls == {"s": 1, "w": 1}

    run(scenario())


@pytest.mark.parametrize(("attempts", "seconds"), [(2, A.timeouts.first_token), (1, A.timeouts.first_token_last)])
def test_silence_is_borne_no_longer_than_usual_while_a_reserve_may_be_asked(attempts: int, seconds: float) -> None:
    async def scenario() -> None:
        rig, begun = Rig(held("overloaded", attempts=attempts), {"a": [[1000.0]]}), now()
        with contextlib.suppress(errors.FirstTokenTimeout):
            await bodies(rig.open())
        assert now() - begun == pytest.approx(seconds)

    run(scenario())


def test_answer_is_not_judged_when_the_larger_model_has_become_busy() -> None:
    async def scenario() -> None:
        full = deployment("large", size=70.0, capabilities=LARGE.capabilities, concurrency=1)
        down = deployment("down", SMALL.model, size=8.0, capabilities=SMALL.capabilities)
        rules = route(
            candidates=(Candidate(down, 0), Candidate(SMALL, 1), Candidate(full, 2)),
            escalate=frozenset({"invalid_json"}),
        )
        rig = Rig(rules, {"down": [[1.0, errors.BadCredentials]], "small": [NO_JSON]})
        asyncio.get_running_loop().call_later(0.5, lambda: rig.book.in_flight.update(large=1))
        assert words(await bodies(rig.open(**WANTS_JSON))) == "{not JSON"

    run(scenario())


@pytest.mark.parametrize("script", [[[text("Hi"), finish("length")]], [text("Hi"), finish("length")]])
def test_stream_of_plain_text_is_not_judged_however_much_of_it_comes_at_once(script: Any) -> None:
    async def scenario() -> None:
        rig = Rig(ESCALATING, {"small": [script]})
        assert words(await bodies(rig.open())) == "Hi"

    run(scenario())


@pytest.mark.parametrize("first", [Preferences(allow_fallbacks=False), None])
def test_request_without_fallbacks_stays_with_its_first_provider(first: Preferences | None) -> None:
    async def scenario() -> None:
        rules = route(candidates=(Candidate(A, 0), Candidate(B, 1), Candidate(LARGE, 2, "overloaded")), attempts=9)
        rig, begun = Rig(rules, {name: [[errors.FirstTokenTimeout]] for name in ("a", "b", "large")}), now()
        with pytest.raises(errors.FirstTokenTimeout):
            await bodies(rig.open(preferences=first))
        assert set(rig.calls) == ({"a"} if first else {"a", "b", "large"})
        assert now() == begun

    run(scenario())


def test_stream_that_is_held_teaches_no_time_to_the_first_token() -> None:
    async def scenario() -> None:
        pieces = [step for _ in range(100) for step in (0.1, text("b"))]
        rig = Rig(route(A, mid_stream="buffer"), {"a": [[0.5, *pieces, finish(), used(7, 100)]]})
        await bodies(rig.open())
        assert not rig.outcomes[0].streamed
        assert (rig.book.of(A).ttft or 0.0) < 2.0

    run(scenario())


def test_answer_with_a_flaw_is_better_than_the_error_of_a_larger_model() -> None:
    async def scenario() -> None:
        rig = Rig(ESCALATING, {"small": [[*NO_JSON, used(9, 4)]], "large": [[errors.ServerFault]]})
        answer = rig.open(**WANTS_JSON)
        assert words(await bodies(answer)) == "{not JSON"
        assert (answer.deployment, answer.whole) == (SMALL, False)
        assert answer.usage is not None and answer.usage.completion == 4
        assert rig.quiet()

    run(scenario())


def test_answer_as_long_as_the_request_allows_is_not_asked_again() -> None:
    async def scenario() -> None:
        cut = [text('{"a":'), finish("length"), used(9, 3)]
        rules = route(candidates=(Candidate(SMALL, 0), Candidate(LARGE, 1)), escalate=frozenset({"truncated"}))
        rig = Rig(rules, {"small": [cut]})
        await bodies(rig.open(max_tokens=3, **WANTS_JSON))
        assert rig.calls == {"small": 1}
        await bodies(rig.open(max_tokens=100, **WANTS_JSON))
        assert rig.calls == {"small": 2, "large": 1}

    run(scenario())


def test_reserve_goes_before_a_second_attempt_at_the_same_deployment() -> None:
    async def scenario() -> None:
        rig = Rig(held("overloaded", attempts=2), {"a": [[errors.ServerFault]]})
        assert words(await bodies(rig.open())) == "Hello world"
        assert rig.calls == {"a": 1, "b": 1}

    run(scenario())
