"""What is objectively wrong with a whole answer."""

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.judge import FLAWS, flaw
from gateway.types import Chunk, Json
from tests.engine.fakes import chunk, delta, finish, role, text, used, whole
from tests.engine.test_tally import CHOICES, JUNK
from tests.routing.samples import BODY, request

SCHEMA = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOL = {"type": "function", "function": {"name": "add", "parameters": SCHEMA}}
BARE = {"type": "function", "function": {"name": "now"}}
CUSTOM = {"type": "custom", "custom": {"name": "shell"}}
AS_SCHEMA = {"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": SCHEMA}}}
AS_OBJECT = {"response_format": {"type": "json_object"}}
TOOLS = {"tools": [TOOL, BARE, CUSTOM]}
NAMED = {"tool_choice": {"type": "function", "function": {"name": "now"}}}


def found(asked: Json, *bodies: Json, wanted: frozenset[str] = FLAWS) -> str | None:
    return flaw(request(body=BODY | asked), [chunk(body) for body in bodies], wanted)


def called(*calls: Json, content: str | None = None, reason: str = "tool_calls") -> Json:
    """An answer in one piece that calls tools."""
    body = whole("", reason)
    body["choices"][0]["message"] = {"role": "assistant", "content": content, "tool_calls": list(calls)}
    return body


def call(name: Any = "add", arguments: Any = '{"n": 1}', **fields: Any) -> Json:
    return {"id": "c", "type": "function", "function": {"name": name, "arguments": arguments}, **fields}


def streamed_call(parts: Sequence[str], name: str = "add", index: int | None = 0) -> list[Json]:
    """The chunks of a call whose arguments come in parts."""
    place = {} if index is None else {"index": index}
    begin = delta(tool_calls=[{**place, "id": f"c{index}", "type": "function", "function": {"name": name}}])
    return [begin, *[delta(tool_calls=[{**place, "function": {"arguments": part}}]) for part in parts]]


def test_sound_answers_have_no_flaw() -> None:
    assert found({}, whole("Hello")) is None
    assert found({}, role(), text("Hel"), text("lo"), finish(), used()) is None
    assert found({}) is None


def test_answer_that_a_limit_cut_is_truncated() -> None:
    assert found({}, whole("Hello", "length")) == "truncated"
    assert found({}, text("Hello"), finish("length")) == "truncated"
    assert found({}, text("a", 0), text("b", 1), finish("stop", 0), finish("length", 1)) == "truncated"


@pytest.mark.parametrize("wanted", [frozenset(), FLAWS - {"truncated"}])
def test_only_the_flaws_that_are_wanted_are_sought(wanted: frozenset[str]) -> None:
    assert found({}, whole("Hello", "length"), wanted=wanted) is None


def test_each_flaw_can_be_sought_alone() -> None:
    bad = called(call(name="nobody"))
    assert found(TOOLS, bad, wanted=frozenset({"broken_tool_call"})) == "broken_tool_call"
    assert found(TOOLS, bad, wanted=frozenset({"invalid_json", "truncated"})) is None
    assert found(AS_OBJECT, whole("no"), wanted=frozenset({"invalid_json"})) == "invalid_json"
    assert found(AS_OBJECT, whole("no"), wanted=frozenset({"broken_tool_call", "truncated"})) is None


@pytest.mark.parametrize(
    ("asked", "words", "wrong"),
    [
        ({}, "no", False),
        ({"response_format": {"type": "text"}}, "no", False),
        ({"response_format": None}, "no", False),
        (AS_OBJECT, '{"a": 1}', False),
        (AS_OBJECT, ' {"a": 1}\n', False),
        (AS_OBJECT, "no", True),
        (AS_OBJECT, "", True),
        (AS_OBJECT, '{"a": 1', True),
        (AS_OBJECT, '{"a": NaN}', True),
        (AS_OBJECT, '```json\n{"a": 1}\n```', True),
        (AS_OBJECT, "[1]", True),
        ({"response_format": {"type": "json_object", "schema": SCHEMA}}, '{"n": "1"}', True),
        (AS_SCHEMA, '{"n": 1}', False),
        (AS_SCHEMA, '{"n": "1"}', True),
        (AS_SCHEMA, "{}", True),
        (AS_SCHEMA, '{"n": 1', True),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "array"}}}}, "[1]", False),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "text"}}}}, "[1]", False),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"type": "text"}}}}, "[1", True),
        ({"response_format": {"type": "json_schema"}}, "[1]", False),
        ({"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "file:///a"}}}}, "1", False),
    ],
)
def test_answer_is_the_json_that_was_asked_for_or_invalid(asked: Json, words: str, wrong: bool) -> None:
    expected = "invalid_json" if wrong else None
    assert found(asked, whole(words)) == expected
    assert found(asked, role(), *[text(letter) for letter in words], finish()) == expected


def test_one_choice_that_is_not_json_is_enough() -> None:
    assert found(AS_OBJECT, text("{}", 0), text("no", 1), finish("stop", 0), finish("stop", 1)) == "invalid_json"


def test_answer_that_calls_a_tool_first_need_not_be_json_yet() -> None:
    assert found(AS_OBJECT | TOOLS, called(call(), content="I add.")) is None


@pytest.mark.parametrize("asked", [AS_OBJECT, TOOLS | {"tool_choice": "required"}])
def test_refusals_and_filtered_answers_are_no_flaw(asked: Json) -> None:
    assert found(asked, delta(refusal="I will not."), finish()) is None
    assert found(asked, whole("", "content_filter")) is None


@pytest.mark.parametrize(
    ("one", "wrong"),
    [
        (call(), False),
        (call(name="now", arguments='{"anything": 1}'), False),
        ({"id": "c", "type": "custom", "custom": {"name": "shell", "input": "ls"}}, False),
        (call(name="nobody"), True),
        (call(name=None), True),
        (call(name="shell"), True),
        (call(arguments='{"n": "1"}'), True),
        (call(arguments="{}"), True),
        (call(arguments='{"n": 1'), True),
        (call(arguments='{"n": 1}{"n": 1}'), True),
        (call(name="now", arguments="[]"), True),
        (call(name="now", arguments=""), True),
        (call(name="now", arguments=None), True),
        (call(name="now", arguments={}), True),
        (call(function=None), True),
        (call(function="add"), True),
    ],
)
def test_call_can_be_carried_out_or_is_broken(one: Json, wrong: bool) -> None:
    assert found(TOOLS, called(one)) == ("broken_tool_call" if wrong else None)


def test_call_without_tools_is_broken() -> None:
    assert found({}, called(call())) == "broken_tool_call"


def test_tool_whose_schema_is_invalid_takes_any_object() -> None:
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "text"}}}
    assert found({"tools": [tool]}, called(call())) is None


def test_one_broken_call_of_several_is_enough() -> None:
    assert found(TOOLS, called(call(), call(arguments="{"))) == "broken_tool_call"


def test_calls_share_the_time_of_one() -> None:
    large = {"anyOf": [{"const": number} for number in range(1000)]}
    tools = {"tools": [{"type": "function", "function": {"name": "add", "parameters": large}}]}
    assert found(tools, called(call())) == "broken_tool_call"
    assert found(tools, called(*[call()] * 100)) is None


def test_calls_in_one_piece_are_apart_even_when_their_indexes_are_not() -> None:
    assert found(TOOLS, called(call(index=0), call(index=0))) is None


def test_streamed_call_is_put_together_by_its_index() -> None:
    first, second = streamed_call(['{"n"', ": 1}"]), streamed_call(["{", "}"], "now", 1)
    mixed = [body for pair in zip(first, second, strict=True) for body in pair]
    assert found(TOOLS, role(), *mixed, finish("tool_calls")) is None
    assert found(TOOLS, *first, *second[:-1], finish("tool_calls")) == "broken_tool_call"


def test_streamed_calls_without_an_index_begin_with_their_names() -> None:
    calls = [*streamed_call(['{"n"', ": 1}"], index=None), *streamed_call(["{", "}"], "now", None)]
    assert found(TOOLS, *calls, finish("tool_calls")) is None


def test_name_that_is_repeated_with_each_piece_is_one_name() -> None:
    parts = [delta(tool_calls=[{"index": 0, **call(arguments=part)}]) for part in ('{"n"', ": 1}")]
    assert found(TOOLS, *parts, finish("tool_calls")) is None


@pytest.mark.parametrize(
    ("choice", "wrong"),
    [({"tool_choice": "required"}, True), (NAMED, True), ({"tool_choice": "auto"}, False), ({}, False)],
)
def test_text_where_a_call_was_required_is_a_broken_call(choice: Json, wrong: bool) -> None:
    assert found(TOOLS | choice, whole("Hello")) == ("broken_tool_call" if wrong else None)


def test_call_that_was_required_by_name_is_of_that_name() -> None:
    assert found(TOOLS | NAMED, called(call(name="now", arguments="{}"), reason="stop")) is None
    assert found(TOOLS | NAMED, called(call())) == "broken_tool_call"
    assert found(TOOLS | {"tool_choice": "required"}, called(call())) is None


@given(st.integers(-5, 5), st.lists(st.integers(0, 12), max_size=4))
def test_call_is_the_same_in_whatever_pieces_it_comes(number: int, cuts: list[int]) -> None:
    arguments = orjson.dumps({"n": number, "why": "ż"}).decode()
    ends = sorted(min(cut, len(arguments)) for cut in cuts)
    parts = [arguments[begin:end] for begin, end in zip([0, *ends], [*ends, len(arguments)], strict=True)]
    assert found(TOOLS, *streamed_call(parts), finish("tool_calls")) is None
    assert found(TOOLS, *streamed_call([*parts, "}"]), finish("tool_calls")) == "broken_tool_call"


ASKED = st.fixed_dictionaries(
    {}, optional={"tool_choice": JUNK, "response_format": st.dictionaries(st.just("type"), JUNK)}
)
CALLS = st.lists(JUNK | st.fixed_dictionaries({}, optional={"index": JUNK, "function": JUNK, "type": JUNK}), max_size=3)
PIECES = st.fixed_dictionaries({"delta": st.fixed_dictionaries({}, optional={"content": JUNK, "tool_calls": CALLS})})


@given(ASKED, st.lists(CHOICES | st.lists(PIECES, max_size=2), max_size=4))
def test_no_answer_breaks_the_judge(asked: Json, answer: list[list[Json]]) -> None:
    chunks = [Chunk(b"", {"choices": choices}) for choices in answer]
    assert flaw(request(body=BODY | TOOLS | asked), chunks, FLAWS) in (None, *FLAWS)
