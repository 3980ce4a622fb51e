"""What an answer has shown so far."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.tally import Tally, usage_of
from gateway.types import Json, Usage
from tests.engine.fakes import delta, finish, role, text, used, whole


def tally(*bodies: Json) -> Tally:
    found = Tally()
    for body in bodies:
        found.add(body)
    return found


def test_nothing_is_neither_content_nor_complete() -> None:
    found = tally()
    assert (found.content, found.complete, found.whole, found.usage) == (False, False, False, None)


def test_role_and_empty_text_are_no_content() -> None:
    assert not tally(role(), delta(content=""), delta(content=None), delta()).content


@pytest.mark.parametrize(
    "fields",
    [
        {"content": " "},
        {"tool_calls": [{"index": 0}]},
        {"reasoning_content": "hm"},
        {"reasoning": "hm"},
        {"refusal": "no"},
        {"function_call": {"name": "f"}},
    ],
)
def test_text_reasoning_refusals_and_calls_are_content(fields: Json) -> None:
    assert tally(delta(**fields)).content


def test_end_of_an_empty_answer_is_content() -> None:
    found = tally(role(), finish())
    assert (found.content, found.complete, found.whole) == (True, True, True)


def test_answer_is_complete_only_when_every_choice_has_finished() -> None:
    two = (text("a", 0), text("b", 1))
    assert not tally(*two).complete
    assert not tally(*two, finish(index=0)).complete
    assert tally(*two, finish(index=1), finish(index=0)).complete


def test_text_after_the_end_of_a_choice_does_not_open_it_again() -> None:
    assert tally(text("a"), finish(), text("b")).complete


def test_choice_without_an_index_is_the_first() -> None:
    found = tally({"choices": [{"delta": {"content": "a"}}]}, {"choices": [{"index": None, "finish_reason": "stop"}]})
    assert found.complete


@pytest.mark.parametrize("index", [[1], {"a": 1}])
def test_choice_whose_index_is_not_a_number_breaks_nothing(index: object) -> None:
    assert tally({"choices": [{"index": index, "delta": {"content": "a"}, "finish_reason": "stop"}]}).content


def test_answer_in_one_piece_is_content_and_its_end_at_once() -> None:
    found = tally(whole("Hello"))
    assert (found.content, found.complete, found.whole, found.usage) == (True, True, True, Usage(7, 3))


@pytest.mark.parametrize(
    ("reason", "ended"), [("stop", True), ("tool_calls", True), ("length", False), ("content_filter", False)]
)
def test_answer_is_whole_only_when_it_ended_by_itself(reason: str, ended: bool) -> None:
    found = tally(text("a"), finish(reason))
    assert found.complete
    assert found.whole == ended


def test_one_choice_that_was_cut_makes_the_answer_not_whole() -> None:
    assert not tally(finish("stop", 0), finish("length", 1)).whole


@pytest.mark.parametrize(
    "body", [text("a") | {"usage": used(5, 2)["usage"]}, finish() | {"usage": used(5, 2)["usage"]}, used(5, 2)]
)
def test_usage_is_taken_from_any_chunk(body: Json) -> None:
    assert tally(text("x"), body).usage == (5, 2, 0, False)


def test_last_usage_counts() -> None:
    assert tally(used(5, 1), used(5, 2)).usage == Usage(5, 2)


def test_usage_that_makes_no_sense_does_not_replace_one_that_does() -> None:
    assert tally(used(5, 2), used(-5, 2), {"choices": [], "usage": 7}).usage == Usage(5, 2)


def test_zero_tokens_are_a_number_and_missing_ones_are_estimated() -> None:
    assert tally(text("Hello you"), used(0, 0)).counted(99) == Usage(0, 0)
    assert tally(text("Hello you"), finish()).counted(99) == Usage(99, 2, estimated=True)
    assert tally(text("x"), {"choices": [], "usage": {}}).counted(99).estimated


@pytest.mark.parametrize(
    "usage",
    [
        None,
        5,
        "usage",
        [],
        {},
        {"prompt_tokens": None, "completion_tokens": 3},
        {"prompt_tokens": 7.5},
        {"prompt_tokens": -1, "completion_tokens": 3},
        {"prompt_tokens": 7, "completion_tokens": -3},
        {"prompt_tokens": "7", "completion_tokens": 3},
        {"prompt_tokens": 7, "completion_tokens": None},
    ],
)
def test_what_is_not_a_usage_is_refused(usage: object) -> None:
    assert usage_of(usage) is None


@pytest.mark.parametrize(
    ("details", "cached"),
    [
        ({"cached_tokens": 4}, 4),
        ({"cached_tokens": 8}, 0),
        (None, 0),
        ({"cached_tokens": -1}, 0),
        ({"cached_tokens": None}, 0),
        ([], 0),
    ],
)
def test_cached_tokens_are_part_of_the_prompt_or_not_believed(details: object, cached: int) -> None:
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "prompt_tokens_details": details}
    assert usage_of(usage) == Usage(7, 3, cached)


def test_name_of_the_model_is_the_first_that_was_given() -> None:
    assert tally({"choices": [], "model": None}, text("a"), {"choices": [], "model": "b"}).model == text("a")["model"]


JUNK: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)
CHOICES = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "index": st.none() | st.integers() | st.text(max_size=2),
            "delta": JUNK,
            "message": JUNK,
            "finish_reason": JUNK,
        },
    ),
    max_size=3,
)


@given(st.lists(st.fixed_dictionaries({"choices": CHOICES}, optional={"usage": JUNK, "model": JUNK}), max_size=5))
def test_no_chunk_with_sound_choices_breaks_the_tally(found: list[Json]) -> None:
    usage = tally(*found).counted(1)
    assert usage.prompt >= 0 and usage.completion >= 0


def test_answer_is_complete_only_with_as_many_choices_as_were_asked_for() -> None:
    found = Tally(2)
    found.add(text("a", 0))
    found.add(finish(index=0))
    assert (found.complete, found.whole) == (False, False)
    assert found.cut == "ended its answer with 1 of 2 choices finished"
    found.add(finish(index=1))
    assert (found.complete, found.whole) == (True, True)


def test_reasoning_and_arguments_of_calls_count_where_the_upstream_does_not() -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": "x" * 20}}
    found = tally(delta(reasoning_content="y" * 20), delta(tool_calls=[call]), finish("tool_calls"))
    assert found.counted(99) == Usage(99, 10, estimated=True)
