"""A text is calls only when all of it is, in one of the forms that Llama writes; nothing of it is ever run."""

import keyword
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.engine.leaks import DEPTH, LIMIT, Call, Reader

NAMES = ("get_weather", "get", "get-time", "add")
PARIS = {"city": "Paris"}


def read(*pieces: str) -> list[tuple[str, Any]]:
    """The calls of a text, their arguments parsed."""
    reader = Reader(NAMES)
    for piece in pieces:
        reader.feed(piece)
    return [(call.name, orjson.loads(call.arguments)) for call in reader.calls()]


@pytest.mark.parametrize("before", ["", "  \n", "<|python_tag|>", "\n<|python_tag|> "])
@pytest.mark.parametrize("after", ["", "\n", "<|eom_id|>", "<|eot_id|>", " <|eom_id|>\n", "<|eom_id|><|eot_id|>"])
@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('{"name": "get_weather", "parameters": {"city": "Paris"}}', [("get_weather", PARIS)]),
        ('{"name":"get_weather","arguments":{"city":"Paris"}}', [("get_weather", PARIS)]),
        ('{"parameters": {"city": "Paris"}, "name": "get_weather"}', [("get_weather", PARIS)]),
        ('{"type": "function", "name": "get", "parameters": {}}', [("get", {})]),
        ('{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}', [("get_weather", PARIS)]),
        ('{"name": "get", "parameters": {"s": "}]\\"{"}}', [("get", {"s": '}]"{'})]),
        ('{"name": "get", "parameters": {}}; {"name": "add", "parameters": {"a": [1, {}]}}',
         [("get", {}), ("add", {"a": [1, {}]})]),
        ('[get_weather(city="Paris")]', [("get_weather", PARIS)]),
        ("[get_weather(city='Paris'), get-time(),add(a=1, b=-2.5)]",
         [("get_weather", PARIS), ("get-time", {}), ("add", {"a": 1, "b": -2.5})]),
        ("[add(a=[1, (2, 3)], b={'c': {'d': None}}, e=True, f=')]\\'(')]",
         [("add", {"a": [1, [2, 3]], "b": {"c": {"d": None}}, "e": True, "f": ")]'("})]),
        ('get_weather.call(city="Paris")', [("get_weather", PARIS)]),
        ("get.call()", [("get", {})]),
    ],
)  # fmt: skip
def test_a_text_of_calls_is_read(before: str, text: str, calls: list[Any], after: str) -> None:
    assert read(before + text + after) == calls
    assert read(*(before + text + after)) == calls


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('<function=get_weather>{"city": "Paris"}</function>', [("get_weather", PARIS)]),
        ('<function=get>{}</function>\n<function=add>{"a": 1}</function><|eom_id|>', [("get", {}), ("add", {"a": 1})]),
        ("<|python_start|>[get()]<|python_end|>", [("get", {})]),
    ],
)
def test_other_forms_are_read(text: str, calls: list[Any]) -> None:
    assert read(text) == read(*text) == calls


def test_arguments_in_json_stay_as_they_were_written() -> None:
    reader = Reader(NAMES)
    reader.feed('{"name": "add", "parameters": { "a": 1.0,\n "b": 123456789012345678901234567890 }}')
    assert reader.calls() == [Call("add", '{ "a": 1.0,\n "b": 123456789012345678901234567890 }')]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "Sure! [get()]",
        "[get()] is what I would call.",
        '{"name": "get", "parameters": {}} is what I would call.',
        '{"name": "get", "parameters": {}};',
        '{"name": "unknown", "parameters": {}}',
        '{"name": "get"}',
        '{"parameters": {}}',
        '{"name": "get", "parameters": {}, "arguments": {}}',
        '{"name": "get", "name": "add", "parameters": {}}',
        '{"name": "get", "description": "gets", "parameters": {}}',
        '{"name": "get", "parameters": {}',
        '{"name": "get", "parameters": [1]}',
        '{"name": "get", "parameters": "x"}',
        '{"name": "get", "parameters": "[1]"}',
        '{"name": "get", "parameters": {"a": }}',
        '{"name": "get", "parameters": {"a": "\\ud800"}}',
        '{"name": "get", "parameters": null}',
        '{"city": "Paris"}',
        "{}",
        "[1, 2]",
        "[]",
        "[get]",
        "[get(1)]",
        "[get(**{})]",
        "[get(a=1, a=2)]",
        "[get(a=b)]",
        "[get(a=1+1)]",
        "[get(a=f'{1}')]",
        "[get(a=b'1')]",
        "[get(a=1j)]",
        "[get(a=1e999)]",
        "[get(a=-True)]",
        "[get(a={1: 2})]",
        "[get(a={**{}})]",
        "[get(a={1, 2})]",
        "[get(a=...)]",
        "[get(a=99999999999999999999999)]",
        "[get(a='\\ud800')]",
        "[get(a=[x for x in []])]",
        "[get(a=__import__('os').getcwd())]",
        "[get(a=get())]",
        "[get(a=1)(b=2)]",
        "[get(a=1 # )\n)]",
        "[get(a=1}]",
        "[get(a=1)",
        "[get(a=(1, 2]]",
        "[unknown()]",
        "[text](https://example.org)",
        "[" + "add(a=" * 3 + ")))]",
        "[get(a=" + "[" * DEPTH + "]" * DEPTH + ")]",
        "[get(a=" + "-" * 20_000 + "1)]",
        "[get(a=1" + "+1" * 10_000 + ")]",
        "[get(a=" + "9" * 20_000 + ")]",
        '{"name": "get", "parameters": {"a": "' + "x" * LIMIT + '"}}',
        "<function=get>{}",
        "<function=get>[]</function>",
        "<function=unknown>{}</function>",
        "<|python_tag|>",
        "<|python_tag|>print(1)",
        "<|python_tag|>print.call(a=1)",
        "<|python_tag|>get(a=1)",
        "get.call(a=1) is what I would say",
        "get.call(",
        "get.call",
        "get",
        "<|eot_id|>",
        "<b>bold</b>",
    ],
)  # fmt: skip
def test_any_other_text_is_none(text: str) -> None:
    assert read(text) == read(*text) == []


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("Hello", 0),
        ("  Hello", 2),
        ("<b>", 1),
        ("<|eot", 2),
        ('{"city": 1}', 2),
        ('{"name": "go"}', 11),
        ('{"name": 7}', 9),
        ('{"name": "get", "parameters": 7}', 30),
        ("[1]", 1),
        ("[text]", 1),
        ("[get]", 4),
        ("[get() and", 7),
        ("[get()] and", 8),
        ('{"name": "get", "parameters": {}} and', 34),
    ],
)
def test_a_text_is_given_up_at_the_character_that_settles_it(text: str, place: int) -> None:
    reader = Reader(NAMES)
    assert [reader.feed(char) for char in text].index(False) == place


def test_nothing_is_read_of_a_text_that_was_given_up() -> None:
    reader = Reader(NAMES)
    assert not reader.feed("No")
    assert not reader.feed("[get()]")
    assert reader.calls() == []


def test_a_tool_without_a_name_or_with_an_endless_one_is_never_called() -> None:
    endless = "x" * 1000
    for text in ("[()]", f"[{endless}()]"):
        reader = Reader(["", endless])
        reader.feed(text)
        assert reader.calls() == []


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
WORDS = st.from_regex(r"[a-z_]{1,6}", fullmatch=True).filter(lambda word: not keyword.iskeyword(word))
CALLS = st.lists(st.tuples(st.sampled_from(NAMES), st.dictionaries(WORDS, JSON, max_size=3)), min_size=1, max_size=3)


@given(CALLS, st.booleans())
def test_what_a_model_writes_in_json_is_what_is_read(calls: list[tuple[str, Any]], pretty: bool) -> None:
    option = orjson.OPT_INDENT_2 if pretty else None
    objects = [{"name": name, "parameters": arguments} for name, arguments in calls]
    text = "; ".join(orjson.dumps(one, option=option).decode() for one in objects)
    assert read(text) == calls


@given(CALLS)
def test_what_a_model_writes_in_python_is_what_is_read(calls: list[tuple[str, Any]]) -> None:
    said = [f"{name}({', '.join(f'{key}={value!r}' for key, value in given.items())})" for name, given in calls]
    assert read(f"[{', '.join(said)}]") == calls


PIECES = st.sampled_from(
    ["<|python_tag|>", '{"name": "get"', ', "parameters": ', "{", "}", "}}", "[", "]", "get", "(", ")", "a=", "1", "'",
     '"', ",", ";", " ", "\\", "<function=", ">", "</function>", "<|eom_id|>", "#", "\n", "-", "x", "🦙"]
)  # fmt: skip


@given(st.data(), st.lists(PIECES, max_size=14).map("".join))
@example(None, "[get()]<|eom_id|>")
def test_any_text_in_any_pieces_is_the_same_calls(data: st.DataObject | None, text: str) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6))) if data else []
    pieces = [text[start:end] for start, end in zip([0, *places], [*places, len(text)], strict=True)]
    assert read(*pieces) == read(text) == read(*text)


class Counting(str):
    """A text that counts how many of its characters were taken."""

    taken = 0

    def __iter__(self) -> Any:
        for char in super().__iter__():
            Counting.taken += 1
            yield char


def test_each_character_is_looked_at_once_and_none_after_the_text_is_given_up() -> None:
    text = '{"name": "get", "parameters": {"a": "' + "x" * 20_000 + '"}}'
    Counting.taken = 0
    reader = Reader(NAMES)
    assert all(reader.feed(Counting(char)) for char in text)
    assert Counting.taken == len(text)
    Counting.taken = 0
    Reader(NAMES).feed(Counting("Hello" * 1000))
    assert Counting.taken == 1
