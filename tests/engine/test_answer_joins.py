"""A stream that breaks after content goes on from another one, or ends with a clear error: never anything between."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.engine.record import Ending, recorded
from gateway.providers.kind import Kind
from gateway.routing.lane import Candidate
from gateway.routing.policy import CachePolicy
from gateway.types import Json, Price
from tests.engine.fakes import Rig, Script, bodies, delta, finish, role, text, used, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, route

A, B = deployment("a"), deployment("b")
SAID = "The quick brown fox jumps over the lazy dog"


def joining(mode: str = "splice", **facts: Any) -> Any:
    return route(candidates=(Candidate(A, 0), Candidate(B, 1)), mid_stream=mode, **facts)


def spoken(said: str, *ends: Any, size: int = 4) -> Script:
    """A stream of a text in pieces."""
    return [role(), *[text(said[at : at + size]) for at in range(0, len(said), size)], *ends]


CUT = spoken(SAID[:20], errors.Disconnected)
FULL = spoken(SAID, finish(), used(9, 11), size=7)


@pytest.mark.parametrize("ending", [[errors.Disconnected], [errors.ServerFault], [], [1000.0]])
def test_stream_that_breaks_goes_on_from_another_that_says_the_same(ending: Script) -> None:
    async def scenario() -> None:
        rig = Rig(joining(), {"a": [spoken(SAID[:20], *ending)], "b": [FULL]})
        answer = rig.open()
        assert words(await bodies(answer)) == SAID
        assert [outcome.outcome for outcome in answer.outcomes] == ["partial", "success"]
        assert answer.outcomes[-1].usage is not None and answer.outcomes[-1].usage.completion == 11
        assert rig.quiet()

    run(scenario())


@given(cut=st.integers(1, len(SAID) - 1), first=st.integers(1, 9), second=st.integers(1, 9))
@settings(max_examples=60)
def test_text_is_whole_wherever_it_is_cut(cut: int, first: int, second: int) -> None:
    async def scenario() -> None:
        scripts = {
            "a": [spoken(SAID[:cut], errors.Disconnected, size=first)],
            "b": [spoken(SAID, finish(), size=second)],
        }
        assert words(await bodies(Rig(joining(), scripts).open())) == SAID

    run(scenario())


def test_stream_whose_other_says_something_else_ends_with_the_first_error() -> None:
    async def scenario() -> None:
        rig = Rig(joining(), {"a": [CUT], "b": [spoken("The quick brown cat sleeps", finish())]})
        given: list[Json] = []
        with pytest.raises(errors.Disconnected) as caught:
            async for batch in rig.open().chunks():
                given += [chunk.body for chunk in batch]
        assert words(given) == SAID[:20]
        assert caught.value.headers == (("x-should-retry", "false"),)
        assert [outcome.error_type for outcome in rig.outcomes] == ["upstream_disconnected", "upstream_splice_mismatch"]
        assert rig.book.of(B).faults == 0
        assert rig.quiet()

    run(scenario())


def test_stream_is_taken_up_once_only() -> None:
    async def scenario() -> None:
        rig = Rig(joining(attempts=9), {"a": [CUT], "b": [spoken(SAID[:30], errors.Disconnected)]})
        with pytest.raises(errors.Disconnected):
            await bodies(rig.open())
        assert rig.calls == {"a": 1, "b": 1}

    run(scenario())


def test_second_deployment_that_fails_before_content_leaves_the_turn_to_a_third() -> None:
    async def scenario() -> None:
        third = deployment("c")
        rules = route(candidates=(Candidate(A, 0), Candidate(B, 1), Candidate(third, 2)), mid_stream="splice")
        rig = Rig(rules, {"a": [CUT], "b": [[errors.ServerFault]], "c": [FULL]})
        assert words(await bodies(rig.open())) == SAID

    run(scenario())


def test_only_deployment_is_asked_once_more() -> None:
    async def scenario() -> None:
        rig = Rig(route(A, mid_stream="splice"), {"a": [CUT, FULL]})
        assert words(await bodies(rig.open())) == SAID

    run(scenario())


def test_stream_of_tool_calls_is_never_joined() -> None:
    async def scenario() -> None:
        call = delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a'}}])
        rig = Rig(joining(), {"a": [[role(), call, errors.Disconnected]], "b": [FULL]})
        with pytest.raises(errors.Disconnected):
            await bodies(rig.open())
        assert rig.calls == {"a": 1}

    run(scenario())


def test_route_that_wants_an_error_gets_it() -> None:
    async def scenario() -> None:
        rig = Rig(joining("error"), {"a": [CUT], "b": [FULL]})
        with pytest.raises(errors.Disconnected):
            await bodies(rig.open())
        assert rig.calls == {"a": 1}

    run(scenario())


def test_target_that_can_go_on_from_a_prefill_says_the_rest_and_both_parts_are_counted() -> None:
    async def scenario() -> None:
        rig = Rig(joining("continue"), {"a": [CUT], "b": [spoken(SAID[19:], finish(), used(20, 5))]})
        rig.providers["b"].kind = Kind("able", telemetry="able", prefill={"continue_final_message": True})
        found = await bodies(rig.open(body={"messages": [{"role": "user", "content": "Say it"}], "max_tokens": 50}))
        assert words(found) == SAID
        usage = found[-1]["usage"]
        assert usage["completion_tokens"] == 5 + 5  # 20 characters are about five tokens

    run(scenario())


def test_target_that_cannot_is_spliced() -> None:
    async def scenario() -> None:
        rig = Rig(joining("continue"), {"a": [CUT], "b": [FULL]})
        assert words(await bodies(rig.open())) == SAID

    run(scenario())


def able(rig: Rig) -> Rig:
    """Let the second deployment continue what it is given."""
    rig.providers["b"].kind = Kind("able", telemetry="able", prefill={})
    return rig


@pytest.mark.parametrize("begins", [SAID, "Something else"])
def test_target_that_takes_no_prefill_after_all_is_asked_to_begin_anew(begins: str) -> None:
    async def scenario() -> None:
        rig = able(Rig(joining("continue"), {"a": [CUT], "b": [[errors.Rejected], spoken(begins, finish())]}))
        if begins == SAID:
            assert words(await bodies(rig.open())) == SAID
        else:
            with pytest.raises(errors.Disconnected):
                await bodies(rig.open())
        assert rig.calls == {"a": 1, "b": 2}
        assert rig.quiet()

    run(scenario())


def test_target_that_rejects_the_request_itself_is_not_asked_a_third_time() -> None:
    async def scenario() -> None:
        rig = able(Rig(joining("continue", attempts=9), {"a": [CUT], "b": [[errors.Rejected]]}))
        with pytest.raises(errors.Disconnected):
            await bodies(rig.open())
        assert rig.calls == {"a": 1, "b": 2}

    run(scenario())


def test_answer_of_one_model_is_never_continued_by_another() -> None:
    async def scenario() -> None:
        other = deployment("b", "llama-3.1-8b-instruct")
        rules = route(candidates=(Candidate(A, 0), Candidate(other, 1)), mid_stream="continue")
        rig = able(Rig(rules, {"a": [CUT], "b": [spoken(SAID[19:], finish())]}))
        with pytest.raises(errors.Disconnected):
            await bodies(rig.open())
        assert rig.outcomes[-1].error_type == "upstream_splice_mismatch"

    run(scenario())


FORM = {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}


@pytest.mark.parametrize(
    "asked",
    [
        {"response_format": FORM},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"guided_regex": "T.*"},
        {"grammar": "root ::= .*"},
        {"messages": [{"role": "user", "content": "Say it"}, {"role": "assistant", "content": "It is: "}]},
    ],
)
def test_answer_that_keeps_to_a_form_or_was_begun_by_the_caller_is_never_continued(asked: Json) -> None:
    async def scenario() -> None:
        rig = able(Rig(joining("continue"), {"a": [CUT], "b": [FULL]}))
        assert words(await bodies(rig.open(body={"messages": []} | asked))) == SAID

    run(scenario())


@pytest.mark.parametrize("count", [None, "three", -1])
def test_usage_that_no_upstream_should_send_does_not_spoil_a_continued_answer(count: Any) -> None:
    async def scenario() -> None:
        odd = {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": count}}
        rig = able(Rig(joining("continue"), {"a": [CUT], "b": [spoken(SAID[19:], finish(), odd)]}))
        assert words(await bodies(rig.open())) == SAID

    run(scenario())


@pytest.mark.parametrize(("mode", "second"), [("splice", SAID), ("continue", SAID[19:])])
def test_record_and_last_chunk_say_the_same_of_tokens_and_of_all_that_it_cost(mode: str, second: str) -> None:
    async def scenario() -> None:
        priced = [deployment(name, price=Price(1.0, 2.0)) for name in "ab"]
        rules = route(candidates=tuple(map(Candidate, priced, range(2))), mid_stream=mode)
        rig = able(Rig(rules, {"a": [CUT], "b": [spoken(second, finish(), used(20, 5))]}))
        answer = rig.open(include_usage=True)
        told = (await bodies(answer))[-1]["usage"]
        record = recorded(answer.request, 0.0, answer, Ending(200, now(), now()))
        assert record.usage is not None
        assert (told["prompt_tokens"], told["completion_tokens"]) == (record.usage.prompt, record.usage.completion)
        assert told["cost"] == pytest.approx(record.cost)
        assert record.cost == pytest.approx(sum(outcome.cost or 0.0 for outcome in rig.outcomes))

    run(scenario())


def test_error_of_a_stream_that_could_not_be_joined_says_whose_it_is() -> None:
    async def scenario() -> None:
        rig = Rig(joining(), {"a": [CUT], "b": [spoken("The quick brown cat sleeps", finish())]})
        with pytest.raises(errors.Disconnected) as caught:
            await bodies(rig.open())
        assert caught.value.message.startswith(f"All 2 attempts failed. {B.name}: The second answer does not go on")
        assert caught.value.message.endswith(f"{A.name}: a scripted Disconnected")

    run(scenario())


def test_answer_of_two_is_not_kept() -> None:
    async def scenario() -> None:
        rig = Rig(joining(cache=CachePolicy(60.0)), {"a": [CUT], "b": [FULL]})
        await bodies(rig.open())
        assert rig.calls == {"a": 1, "b": 1}
        assert rig.cache.size == 0

    run(scenario())
