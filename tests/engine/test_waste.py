"""Tokens that nobody got, by reason."""

from gateway import errors
from gateway.routing.lane import Candidate
from tests.engine.fakes import GOOD, Rig, bodies, finish, text, used
from tests.engine.virtual_time import run
from tests.routing.samples import deployment, route

A, B = deployment("a"), deployment("b")
SMALL = deployment("small", "llama-3.1-8b-instruct", size=8.0, capabilities=frozenset({"json_object"}))
LARGE = deployment("large", size=70.0, capabilities=frozenset({"json_object"}))
TWO = (Candidate(A, 0), Candidate(B, 1))
JSON = {"body": {"messages": [], "response_format": {"type": "json_object"}}, "needs": frozenset({"json_object"})}


async def left_over(rig: Rig, **facts: object) -> dict[tuple[str, str], int]:
    """What is wasted by one request."""
    await bodies(rig.open(**facts))
    return dict(rig.tools.wasted)


def test_answer_that_goes_well_wastes_nothing() -> None:
    assert run(left_over(Rig(route(A), {}))) == {}


def test_what_a_held_back_stream_had_before_it_broke_is_wasted_by_its_retry() -> None:
    rig = Rig(route(candidates=TWO, mid_stream="buffer"), {"a": [[text("Half an answer.."), errors.Disconnected]]})
    assert run(left_over(rig)) == {("a", "retry"): 4}


def test_what_a_second_answer_repeats_is_wasted_by_the_splice() -> None:
    rig = Rig(route(candidates=TWO, mid_stream="splice"), {"a": [[text("Hello wo"), errors.Disconnected]]})
    assert run(left_over(rig)) == {("b", "splice"): 2}


def test_small_models_answer_that_a_larger_one_did_better_is_wasted() -> None:
    flawed = [text("not JSON"), finish(), used(7, 5)]
    rig = Rig(
        route(candidates=(Candidate(SMALL, 0), Candidate(LARGE, 1)), escalate=frozenset({"invalid_json"})),
        {"small": [flawed], "large": [[text("{}"), finish()]]},
    )
    assert run(left_over(rig, **JSON)) == {("small", "escalation"): 5}


def test_small_models_answer_that_is_given_after_all_is_not_wasted() -> None:
    flawed = [text("not JSON"), finish(), used(7, 5)]
    rig = Rig(
        route(candidates=(Candidate(SMALL, 0), Candidate(LARGE, 1)), escalate=frozenset({"invalid_json"}), attempts=2),
        {"small": [flawed], "large": [[errors.Rejected]]},
    )
    assert run(left_over(rig, **JSON)) == {}


def test_answer_that_its_caller_has_left_with_all_of_it_wastes_nothing() -> None:
    async def scenario() -> dict[tuple[str, str], int]:
        rig = Rig(route(A), {"a": [GOOD]})
        chunks = rig.open().chunks()
        async for _ in chunks:
            break
        await chunks.aclose()
        return dict(rig.tools.wasted)

    assert run(scenario()) == {}
