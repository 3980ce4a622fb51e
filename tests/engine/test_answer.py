"""One request's way through its deployments."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.engine.answer import Answer
from gateway.outcomes import Outcome, Record, Shadowed
from gateway.routing.book import Known
from gateway.routing.lane import Candidate
from gateway.routing.policy import CachePolicy
from gateway.routing.stats import Stats
from gateway.stores.cache import ENTRY_BYTES
from gateway.types import Json
from tests.engine.fakes import (
    GOOD,
    Rig,
    Script,
    bodies,
    delta,
    finish,
    role,
    text,
    used,
    whole,
    words,
)
from tests.engine.virtual_time import now, run
from tests.routing.samples import BODY, deployment, outcome, route

A, B, C = deployment("a"), deployment("b"), deployment("c")
ONE = route(A)
PROMPT = "the canary of a prompt"
TWO = route(candidates=(Candidate(A, 0), Candidate(B, 1)))
THREE = route(candidates=(Candidate(A, 0), Candidate(B, 1), Candidate(C, 2)))


def names(outcomes: list[Outcome]) -> list[tuple[str, str]]:
    return [(outcome.deployment.backend, outcome.error_type or outcome.outcome) for outcome in outcomes]


async def read(rig: Rig, **facts: Any) -> tuple[Answer, list[Json]]:
    """An answer, read to its end."""
    answer = rig.open(**facts)
    return answer, await bodies(answer)


async def failure(rig: Rig, kind: type[errors.GatewayError], **facts: Any) -> errors.GatewayError:
    """The error that an answer ends with."""
    with pytest.raises(kind) as caught:
        await bodies(rig.open(**facts))
    return caught.value


def test_first_choice_answers_and_is_told() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {})
        answer, found = await read(rig)
        assert words(found) == "Hello world"
        assert rig.calls == {"a": 1}
        assert (answer.deployment, answer.attempted, answer.whole) == (A, 1, True)
        assert answer.outcomes == rig.outcomes
        assert rig.quiet()

    run(scenario())


@pytest.mark.parametrize(
    "script",
    [
        [errors.ServerFault],
        [errors.Unreachable],
        [errors.RateLimited],
        [errors.Overloaded],
        [errors.ContextExceeded],
        [errors.BadCredentials],
        [role(), errors.Disconnected],
        [role()],
        [],
        [1000.0],
        [role(), 1000.0],
    ],
)
def test_next_deployment_answers_when_the_first_fails_before_any_content(script: Script) -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [script]})
        answer, found = await read(rig)
        assert words(found) == "Hello world"
        assert rig.calls == {"a": 1, "b": 1}
        assert (answer.deployment, answer.attempted) == (B, 2)
        assert rig.quiet()

    run(scenario())


def test_stream_fails_over_only_before_the_first_content() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[role(), text("Hel"), errors.Disconnected]]})
        found: list[Json] = []
        with pytest.raises(errors.Disconnected):
            async for batch in rig.open().chunks():
                found += [chunk.body for chunk in batch]
        assert words(found) == "Hel"
        assert rig.calls == {"a": 1}
        assert names(rig.outcomes) == [("a", "upstream_disconnected")]
        assert rig.quiet()

    run(scenario())


def test_role_of_a_deployment_that_failed_is_never_shown() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[delta(role="assistant", content="", left="over"), errors.Disconnected]]})
        _, found = await read(rig)
        assert "over" not in str(found)

    run(scenario())


def test_model_and_usage_are_those_of_the_deployment_that_answered() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[used(99, 99), errors.Disconnected]]})
        answer, found = await read(rig)
        assert [body["usage"] for body in found if "usage" in body] == [used()["usage"]]
        assert answer.outcomes[-1].usage == (7, 3, 0, False)
        assert answer.outcomes[0].usage is None

    run(scenario())


def test_silent_deployment_is_not_asked_again() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[1000.0]], "b": [[errors.ServerFault], [errors.ServerFault]]})
        await failure(rig, errors.ServerFault)
        assert names(rig.outcomes) == [
            ("a", "upstream_first_token_timeout"),
            ("b", "upstream_server_error"),
            ("b", "upstream_server_error"),
        ]

    run(scenario())


def test_only_deployment_is_asked_again_after_a_pause() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[errors.ServerFault], GOOD]})
        _, found = await read(rig)
        first, second = rig.providers["a"].begun
        assert words(found) == "Hello world"
        assert 0 <= second - first <= 0.25

    run(scenario())


def test_retry_after_is_honoured_before_the_same_deployment_is_asked_again() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[lambda: errors.RateLimited("slow down", retry_after=4.0)], GOOD]})
        await read(rig)
        first, second = rig.providers["a"].begun
        assert 4.0 <= second - first <= 4.8

    run(scenario())


def test_long_retry_after_is_told_to_the_caller_instead_of_waited_out() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[lambda: errors.RateLimited("slow down", retry_after=600.0)]]})
        error = await failure(rig, errors.RateLimited)
        assert (error.status, error.retry_after, now()) == (429, 600.0, 1000.0)

    run(scenario())


def test_attempts_stop_at_the_limit_of_the_route() -> None:
    async def scenario() -> None:
        rig = Rig(route(A, B, C, attempts=2), {name: [[errors.ServerFault]] for name in "abc"})
        await failure(rig, errors.ServerFault)
        assert sum(rig.calls.values()) == 2

    run(scenario())


@pytest.mark.parametrize("kind", [errors.Refused, errors.Rejected])
def test_error_that_another_deployment_would_repeat_goes_to_the_caller(kind: type[errors.UpstreamError]) -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[kind]]})
        error = await failure(rig, kind)
        assert rig.calls == {"a": 1}
        assert error.message == f"a scripted {kind.__name__}"

    run(scenario())


def test_exhausted_failover_tells_all_of_it_and_asks_the_sdk_not_to_retry() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[errors.BadCredentials]], "b": [[errors.ModelGone]]})
        error = await failure(rig, errors.ModelGone)
        assert error.headers == (("x-should-retry", "false"),)
        assert error.message.startswith("All 2 attempts failed.")
        assert error.details == {
            "attempts": [
                {"deployment": A.name, "error": "upstream_credentials"},
                {"deployment": B.name, "error": "upstream_model_gone"},
            ]
        }

    run(scenario())


def test_request_gets_no_further_attempt_when_its_time_would_run_out_in_the_pause() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[lambda: errors.RateLimited("slow down", retry_after=8.0)]]})
        error = await failure(rig, errors.RateLimited, deadline=now() + 5.0)
        assert (error.status, error.retry_after) == (429, 8.0)  # not a timeout of ours: that wait was asked for
        assert rig.calls == {"a": 1}
        assert now() == 1000.0
        assert rig.quiet()

    run(scenario())


def test_sdk_is_asked_not_to_retry_when_the_time_runs_out_between_attempts() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[errors.ServerFault]]})
        error = await failure(rig, errors.TotalTimeout, deadline=now() + 0.1)
        assert ("x-should-retry", "false") in error.headers

    run(scenario())


@pytest.mark.parametrize("deadline", [0.0, -5.0])
def test_no_attempt_starts_when_the_time_of_the_request_is_over(deadline: float) -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {})
        await failure(rig, errors.TotalTimeout, deadline=now() + deadline)
        assert rig.calls == {}

    run(scenario())


def test_deadline_of_the_request_ends_all_attempts() -> None:
    async def scenario() -> None:
        rig = Rig(THREE, {"a": [[1000.0]], "b": [[1000.0]]})
        await failure(rig, errors.TotalTimeout, deadline=now() + 15.0)
        assert now() == pytest.approx(1015.0)
        assert names(rig.outcomes) == [("a", "upstream_first_token_timeout"), ("b", "upstream_total_timeout")]

    run(scenario())


def test_last_candidate_gets_the_wide_first_token_limit() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[1000.0]], "b": [[40.0, *GOOD]]})
        assert words((await read(rig))[1]) == "Hello world"

    run(scenario())


def test_answer_in_one_piece_fails_over_like_a_stream() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[errors.ServerFault]], "b": [[whole("Hello")]]})
        assert words((await read(rig, stream=False))[1]) == "Hello"

    run(scenario())


def test_answer_in_one_piece_without_a_finish_fails_over_because_nobody_has_seen_it() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[whole("Hel", reason=None)]], "b": [[whole("Hello")]]})
        assert words((await read(rig, stream=False))[1]) == "Hello"

    run(scenario())


def test_nobody_is_asked_when_the_planner_has_nobody() -> None:
    async def scenario() -> None:
        rig = Rig(route(deployment("a", context=10)), {})
        await failure(rig, errors.TooLongForAll)
        assert rig.calls == {}

    run(scenario())


def test_caller_who_stops_reading_closes_the_upstream() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[text("Hello"), 10.0, text(" world"), finish()]]})
        chunks = rig.open().chunks()
        await anext(chunks)
        assert rig.book.in_flight == {"a": 1}
        await chunks.aclose()
        assert names(rig.outcomes) == [("a", "caller_gone")]
        assert rig.quiet()

    run(scenario())


@pytest.mark.parametrize("seconds", [0.5, 5.0, 14.0, 15.5])
def test_cancellation_at_any_time_leaves_nothing_in_flight(seconds: float) -> None:
    """Connecting, waiting for the first token, failing over, streaming."""

    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[1.0, role(), 1000.0]], "b": [[3.0, text("Hello"), 5.0, finish()]]})
        task = asyncio.create_task(bodies(rig.open()))
        asyncio.get_running_loop().call_later(seconds, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        assert rig.outcomes[-1].outcome == "client_cancelled"
        assert rig.quiet()

    run(scenario())


def test_cancellation_in_a_pause_starts_no_further_attempt() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[lambda: errors.RateLimited("slow down", retry_after=9.0)]]})
        task = asyncio.create_task(bodies(rig.open()))
        asyncio.get_running_loop().call_later(5, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        assert (rig.calls, len(rig.outcomes)) == ({"a": 1}, 1)
        assert rig.quiet()

    run(scenario())


def test_slow_caller_does_not_make_a_deployment_look_slow() -> None:
    async def scenario() -> float | None:
        rig = Rig(ONE, {"a": [[text("a"), 1.0, text("b"), 1.0, finish(), used(7, 3)]]})
        async for _ in rig.open().chunks():
            await asyncio.sleep(100)
        return rig.book.of(A).per_token

    per_token = run(scenario())
    assert per_token is None or per_token <= 1.0


def test_answer_keeps_when_the_upstream_was_first_asked_and_when_content_came() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[2.0, errors.ServerFault]], "b": [[3.0, text("Hello"), finish()]]})
        answer, _ = await read(rig)
        assert (answer.asked, answer.content) == (1000.0, 1005.0)

    run(scenario())


def test_habits_are_learnt_from_what_was_used() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[text("Hello"), finish(), used(150, 40)]]})
        await read(rig, prompt_tokens=100)
        assert rig.book.output == {"chat": 40.0}
        assert rig.book.correction == {A.model: 1.5}

    run(scenario())


class Broken:
    """An observer that always fails."""

    def attempted(self, outcome: Outcome) -> None:
        raise ZeroDivisionError("an observer's own defect")

    def answered(self, record: Record) -> None:
        raise ZeroDivisionError("an observer's own defect")

    def shadowed(self, told: Shadowed) -> None:
        raise ZeroDivisionError("an observer's own defect")


def test_observer_that_fails_spoils_neither_the_answer_nor_the_other_observers() -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[errors.ServerFault]]}, before=(Broken(),))
        _, found = await read(rig)
        assert words(found) == "Hello world"
        assert names(rig.outcomes) == [("a", "upstream_server_error"), ("b", "success")]

    run(scenario())


ERRORS = [
    errors.ServerFault,
    errors.Unreachable,
    errors.RateLimited,
    errors.ContextExceeded,
    errors.Disconnected,
    errors.Refused,
    errors.InvalidResponse,
    errors.QuotaExhausted,
]
STEPS = st.lists(
    st.sampled_from(["role", "text", "text", "text", "finish", "usage", "both"])
    | st.sampled_from(ERRORS)
    | st.sampled_from([0.1, 1.0, 11.0, 13.0, 25.0, 31.0]),
    max_size=7,
)


def scripted(steps: list[Any], name: str) -> Script:
    """Steps as a script, whose texts say whose they are."""
    script: list[Any] = []
    for index, step in enumerate(steps):
        own = text(f"<{name}{index}>")
        made: Json = {"role": role(), "text": own, "finish": finish(), "usage": used(), "both": [own, finish()]}
        script.append(made[step] if isinstance(step, str) else step)
    return script


def said(script: Script) -> tuple[str, bool]:
    """All text of a script until its first error, and whether it ended well."""
    found: list[Json] = []
    for step in script:
        if isinstance(step, (dict, list)):
            found += [step] if isinstance(step, dict) else step
        elif isinstance(step, type):
            break
    return words(found), any(choice.get("finish_reason") for body in found for choice in body["choices"])


@settings(max_examples=300)
@given(
    scripts=st.lists(st.lists(STEPS, min_size=1, max_size=2), min_size=1, max_size=3),
    attempts=st.integers(1, 4),
    leave=st.none() | st.tuples(st.just("close"), st.integers(0, 4)) | st.tuples(st.just("cancel"), st.floats(0, 60)),
)
def test_any_run_of_upstreams_is_one_answer_of_one_winner_and_leaves_nothing_behind(
    scripts: list[list[list[Any]]], attempts: int, leave: tuple[str, float] | None
) -> None:
    plays = {
        f"d{place}": [scripted(steps, f"d{place}.{turn}.") for turn, steps in enumerate(found)]
        for place, found in enumerate(scripts)
    }

    async def scenario() -> None:
        rig = Rig(route(*[deployment(name) for name in plays], attempts=attempts), plays)
        answer, found = rig.open(), list[Json]()
        ended = asyncio.create_task(consumed(answer, found))
        if leave is not None and leave[0] == "cancel":
            asyncio.get_running_loop().call_later(leave[1], ended.cancel)
        (result,) = await asyncio.gather(ended, return_exceptions=True)
        check(rig, answer, words(found), result)

    async def consumed(answer: Answer, found: list[Json]) -> str:
        chunks = answer.chunks()
        left = leave[1] if leave is not None and leave[0] == "close" else float("inf")
        while left > 0:
            batch = await anext(chunks, None)
            if batch is None:
                return "end"
            found += [chunk.body for chunk in batch]
            left -= 1
        await chunks.aclose()
        return "left"

    def check(rig: Rig, answer: Answer, delivered: str, result: object) -> None:
        assert rig.quiet()
        assert len(rig.outcomes) == sum(rig.calls.values()) == answer.attempted <= attempts
        assert all(calls <= 2 for calls in rig.calls.values())
        assert isinstance(result, (str, errors.UpstreamError, asyncio.CancelledError))
        assert all(outcome.first is None for outcome in rig.outcomes[:-1])
        if answer.deployment is None:
            assert delivered == ""
            return
        winner = answer.deployment.backend
        script = plays[winner][min(rig.calls[winner], len(plays[winner])) - 1]
        everything, finished = said(script)
        assert everything.startswith(delivered)
        if result == "end":
            assert rig.outcomes[-1].outcome == "success"
            assert finished
        if isinstance(result, errors.UpstreamError):
            assert rig.outcomes[-1].outcome != "success"

    run(scenario())


@pytest.mark.parametrize(
    ("seconds", "backend"),
    [(12.0 + 3 * 0.05 * 256 - 0.1, "a"), (12.0 + 3 * 0.05 * 256 + 0.1, "b")],
    ids=["in time", "too late"],
)
def test_answer_in_one_piece_has_time_for_its_tokens_before_the_next_is_asked(seconds: float, backend: str) -> None:
    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[seconds, whole("Hello")]], "b": [[whole("Hello")]]})
        rig.book.deployments[A.name] = Stats(ttft=0.5, per_token=0.05, seen=now())
        answer, found = await read(rig, stream=False, max_tokens=256)
        assert words(found) == "Hello"
        assert answer.deployment is not None and answer.deployment.backend == backend

    run(scenario())


def test_last_candidate_may_take_all_the_time_for_an_answer_in_one_piece() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[599.0, whole("Hello")]]})
        assert words((await read(rig, stream=False))[1]) == "Hello"

    run(scenario())


def test_silence_before_an_answer_in_one_piece_does_not_make_a_deployment_look_slow() -> None:
    async def scenario() -> None:
        known = Stats(ttft=0.5, per_token=0.05, seen=now())
        rig = Rig(TWO, {"a": [[500.0]], "b": [[whole("Hello")]]})
        rig.book.deployments[A.name] = known
        await read(rig, stream=False, max_tokens=256)
        assert names(rig.outcomes)[0] == ("a", "upstream_first_token_timeout")
        assert rig.book.of(A)[:3] == known[:3]

    run(scenario())


def test_deployment_that_has_become_busy_since_the_plan_is_passed_over() -> None:
    async def scenario() -> None:
        full = deployment("b", concurrency=1)
        tiers = (Candidate(A, 0), Candidate(full, 1), Candidate(C, 2))
        rig = Rig(route(candidates=tiers), {"a": [[2.0, errors.ServerFault]]})
        asyncio.get_running_loop().call_later(1.0, rig.book.started, full)
        answer, found = await read(rig)
        assert words(found) == "Hello world"
        assert rig.calls == {"a": 1, "c": 1}
        assert answer.deployment == C

    run(scenario())


def test_deployment_that_rests_since_the_plan_is_passed_over() -> None:
    async def scenario() -> None:
        rig = Rig(THREE, {"a": [[2.0, errors.ServerFault]]})
        limited = outcome(B, now(), error_type="upstream_rate_limited", verdict="neutral", retry_after=60.0)

        def rest() -> None:
            rig.book.started(B)
            rig.book.ended(limited)

        asyncio.get_running_loop().call_later(1.0, rest)
        await read(rig)
        assert rig.calls == {"a": 1, "c": 1}

    run(scenario())


def test_first_choice_of_the_plan_is_asked_as_planned() -> None:
    async def scenario() -> None:
        rig = Rig(route(deployment("a", concurrency=1)), {})
        assert words((await read(rig))[1]) == "Hello world"
        assert rig.calls == {"a": 1}

    run(scenario())


def test_caller_sees_what_an_upstream_says_of_the_prompt_and_nobody_else_does() -> None:
    def quoting() -> errors.Rejected:
        return errors.Rejected(f"Backend 'a' rejected the request (400): {PROMPT}", logged="it was rejected (400).")

    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[quoting]]})
        error = await failure(rig, errors.Rejected)
        assert PROMPT in error.message
        assert PROMPT not in error.logged
        assert PROMPT not in repr(rig.outcomes)

    run(scenario())


def test_what_upstreams_say_of_the_prompt_is_not_logged_after_several_attempts() -> None:
    def quoting() -> errors.ContextExceeded:
        return errors.ContextExceeded(f"Backend 'a' cannot hold the request: {PROMPT}", logged="it cannot hold it.")

    async def scenario() -> None:
        rig = Rig(TWO, {"a": [[quoting]], "b": [[quoting]]})
        error = await failure(rig, errors.ContextExceeded)
        assert error.logged.startswith("All 2 attempts failed.")
        assert PROMPT not in error.logged + repr(rig.outcomes)

    run(scenario())


def test_answer_with_one_of_two_choices_is_cut_and_never_kept() -> None:
    async def scenario() -> None:
        script: Script = [text("a", 0), finish("stop", 0)]
        rig = Rig(route(A, attempts=1, cache=CachePolicy(60.0)), {"a": [script]})
        error = await failure(rig, errors.StreamCut, body={**BODY, "n": 2})
        assert "1 of 2 choices" in error.message
        assert rig.cache.size == 0

    run(scenario())


@pytest.mark.parametrize("stream", [True, False])
def test_answer_larger_than_an_entry_of_the_cache_is_given_and_not_kept(stream: bool) -> None:
    async def scenario() -> None:
        large = "x" * (ENTRY_BYTES // 4)
        script: Script = [*[text(large)] * 5, finish()] if stream else [whole(large * 5)]
        rig = Rig(route(A, cache=CachePolicy(60.0)), {"a": [script]})
        _, found = await read(rig, stream=stream)
        assert len(words(found)) == 5 * len(large)
        assert rig.cache.size == 0

    run(scenario())


def test_retries_are_a_share_of_requests_and_failover_is_not_counted() -> None:
    async def scenario() -> None:
        rig = Rig(route(A, attempts=2, retry_budget=0.0), {"a": [[errors.ServerFault]]})
        for _ in range(30):
            rig.book.deployments = Known()
            with pytest.raises(errors.ServerFault):
                await bodies(rig.open())
        assert rig.calls["a"] < 30 + 10 + 30 * 4  # the burst, and one for each second that the waits took
        both = Rig(route(candidates=TWO.candidates, retry_budget=0.0), {"a": [[errors.ServerFault]]})
        for _ in range(30):
            both.book.deployments = Known()
            assert words(await bodies(both.open())) == "Hello world"
        assert both.calls == {"a": 30, "b": 30}

    run(scenario())


def test_repetition_by_the_callers_sdk_takes_of_the_same_budget() -> None:
    async def scenario() -> None:
        rig = Rig(route(A, attempts=2, retry_budget=0.0), {"a": [[errors.ServerFault]]})
        for _ in range(10):  # the burst
            rig.tools.budgets.of("chat", 0.0).retried(now())
        with pytest.raises(errors.ServerFault):
            await bodies(rig.open(headers={"x-stainless-retry-count": "1"}))
        assert rig.calls == {"a": 1}

    run(scenario())


def test_error_that_asking_again_would_repeat_says_nothing_of_when_to_ask_again() -> None:
    async def scenario() -> None:
        assert (await failure(Rig(ONE, {"a": [[errors.ContextExceeded]]}), errors.ContextExceeded)).retry_after is None
        assert (await failure(Rig(ONE, {"a": [[errors.ServerFault]]}), errors.ServerFault)).retry_after == 2.0

    run(scenario())


def test_time_that_runs_out_in_a_pause_hides_no_failure_before_it() -> None:
    async def scenario() -> None:
        rig = Rig(ONE, {"a": [[errors.ServerFault]]})
        error = await failure(rig, errors.TotalTimeout, deadline=now() + 0.1)
        assert error.message.startswith(f"{A.name}: a scripted ServerFault The time for this request is used up")

    run(scenario())
