"""Calls that came as text become calls, and every other answer goes through untouched, however it is cut."""

from itertools import zip_longest
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.leaks import LIMIT
from gateway.engine.repair import Repair, leaked
from gateway.types import ChatRequest, Chunk, Json

TOOLS = [{"type": "function", "function": {"name": name}} for name in ("get_weather", "add")]
CALL = '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}<|eom_id|>'
PROSE = "Hello, [get_weather] is a tool."


def repair(**more: Any) -> Repair:
    return Repair(ChatRequest("r1", "llama", {"messages": [], "tools": TOOLS, **more}))


def chunk(*choices: Json, **more: Any) -> Chunk:
    body = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices}
    data = orjson.dumps(body | more, option=orjson.OPT_INDENT_2)  # bytes that only a pass-through keeps
    return Chunk(data, orjson.loads(data))


def piece(delta: Json, reason: str | None = None, index: int = 0, **more: Any) -> Json:
    return {"index": index, "delta": delta, "finish_reason": reason, **more}


def text(*pieces: str, reason: str = "stop", index: int = 0) -> list[Chunk]:
    """A stream of text as vLLM has it."""
    role = chunk(piece({"role": "assistant", "content": ""}, index=index))
    said = [chunk(piece({"content": one}, index=index)) for one in pieces]
    return [role, *said, chunk(piece({"content": ""}, reason, index))]


def whole(words: object, reason: str = "stop", **message: Any) -> Chunk:
    said = {"role": "assistant", "content": words, **message}
    return chunk({"index": 0, "message": said, "finish_reason": reason}, object="chat.completion")


def run(mender: Repair, chunks: list[Chunk]) -> list[Chunk]:
    """What comes out, chunk by chunk."""
    found = [out for one in chunks for out in mender.feed([one])]
    assert all(orjson.loads(one.data) == one.body for one in found)
    return found


def said(chunks: list[Chunk], index: int = 0) -> tuple[str, list[tuple[str, str]], list[str]]:
    """The text, the calls and the finish reasons of a choice."""
    choices = [choice for one in chunks for choice in one.body["choices"] if choice["index"] == index]
    pieces = [choice.get("delta") or choice.get("message") or {} for choice in choices]
    calls = [call["function"] for one in pieces for call in one.get("tool_calls") or []]
    ends = [choice["finish_reason"] for choice in choices if choice["finish_reason"]]
    return (
        "".join(one.get("content") or "" for one in pieces),
        [(call["name"], call["arguments"]) for call in calls],
        ends,
    )


PARIS = ("", [("get_weather", '{"city": "Paris"}')], ["tool_calls"])


def test_a_streamed_call_becomes_one_in_openais_shape() -> None:
    first, calls, last = run(repair(), text(CALL[:5], CALL[5:20], CALL[20:]))
    assert first == text("")[0]
    assert calls.body == {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "delta": {
                    "tool_calls": [
                        {
                            "index": 0,
                            "id": "call_r1_0_0",
                            "type": "function",
                            "function": {"name": "get_weather", "arguments": '{"city": "Paris"}'},
                        }
                    ]
                },
                "finish_reason": None,
            }
        ],
    }
    assert last.body["choices"] == [piece({}, "tool_calls")]


def test_a_whole_answer_of_calls_has_them_in_its_message() -> None:
    (found,) = run(repair(), [whole('[get_weather(city="Paris"), add(a=1)]')])
    (choice,) = found.body["choices"]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert [set(call) for call in choice["message"]["tool_calls"]] == [{"id", "type", "function"}] * 2
    assert [call["id"] for call in choice["message"]["tool_calls"]] == ["call_r1_0_0", "call_r1_0_1"]


@pytest.mark.parametrize("words", [PROSE, "", '{"city": "Paris"}', "[get_weather(1)]", CALL + " or so", None, [1]])
def test_any_other_whole_answer_is_the_same_one(words: object) -> None:
    answer = whole(words)
    assert repair().feed([answer])[0] is answer


@pytest.mark.parametrize(
    "pieces", [(PROSE,), ("Hel", "lo"), ("[get_", "wea", "ther] is"), ("{", "}"), ("<|python", "_")]
)
def test_any_other_stream_is_given_as_it_came(pieces: tuple[str, ...]) -> None:
    stream = text(*pieces)
    found = run(repair(), stream)
    assert len(found) == len(stream) and all(new is old for new, old in zip(found, stream, strict=True))


def test_text_is_held_only_while_it_may_be_a_call() -> None:
    mender = repair()
    role, first, second, third, last = text("[get", "_weather", "]")
    assert mender.feed([role]) == [role] and not mender.holding
    assert mender.feed([first]) == [] and mender.holding
    assert mender.feed([second]) == []
    assert mender.feed([third]) == [first, second, third] and not mender.holding
    assert mender.feed([last]) == [last]


def test_what_comes_after_the_decision_is_not_looked_into() -> None:
    mender = repair()
    run(mender, text("Hello")[:2])
    later: Any = [Chunk(b"anything", {})]
    assert mender.feed(later) is later


@pytest.mark.parametrize("more", [{"tools": []}, {"tools": None}, {"tool_choice": "none"}, {"tools": [{"type": "x"}]}])
def test_without_tools_to_call_nothing_is_repaired(more: Json) -> None:
    chunks: Any = [Chunk(b"anything", {})]
    assert repair(**more).feed(chunks) is chunks


@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_an_answer_that_was_cut_is_left_as_it_is(reason: str) -> None:
    stream = text(CALL, reason=reason)
    assert run(repair(), stream) == stream
    answer = whole(CALL, reason)
    assert repair().feed([answer]) == [answer]


def test_calls_that_the_server_has_parsed_are_left_alone() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    stream = [*text("[")[:2], chunk(piece({"tool_calls": [call]})), chunk(piece({}, "tool_calls"))]
    assert run(repair(), stream) == stream
    answer = whole(CALL, "tool_calls", tool_calls=[call])
    assert repair().feed([answer]) == [answer]


def test_thoughts_are_not_held_and_not_lost() -> None:
    thought = chunk(piece({"reasoning_content": "Paris, then."}))
    role, *rest = text(CALL)
    mender = repair()
    assert mender.feed([thought]) == [thought]
    both = chunk(piece({"role": "assistant", "content": "[", "reasoning_content": "So:"}, logprobs={"content": []}))
    found = run(mender, [both, thought, *text("add(a=1)]")[1:]])
    assert [one.body["choices"][0]["delta"] for one in found[:2]] == [
        {"role": "assistant", "reasoning_content": "So:"},
        {"reasoning_content": "Paris, then."},
    ]
    assert found[1] is not thought and said(found) == ("", [("add", '{"a":1}')], ["tool_calls"])
    assert role not in found and rest


def test_usage_is_neither_held_nor_doubled() -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 2}
    alone = chunk(usage=usage)
    mender = repair()
    found = run(mender, [*text(CALL)[:-1], chunk(piece({}, "stop"), usage=usage), alone])
    assert [one.body.get("usage") for one in found] == [None, None, usage, usage]
    assert found[-1] is alone


def test_probabilities_of_a_text_that_is_gone_are_gone() -> None:
    last = chunk(piece({"content": "]"}, "stop", logprobs={"content": [1]}))
    *_, found = run(repair(), [*text("[add(a=1)")[:-1], last])
    assert found.body["choices"][0]["logprobs"] is None


def test_each_of_several_choices_is_decided_by_itself() -> None:
    streams = text(*CALL, index=0), text(*PROSE, index=1)
    mixed = [one for pair in zip_longest(*streams) for one in pair if one is not None]
    found = run(repair(n=2), mixed)
    assert said(found, 0) == PARIS
    assert said(found, 1) == (PROSE, [], ["stop"])


def test_choices_that_come_in_one_chunk_are_taken_apart_only_while_one_is_undecided() -> None:
    mender = repair(n=2)
    both = chunk(piece({"content": "[add("}), piece({"content": "Hello"}, index=1))
    assert said(mender.feed([both]), 1)[0] == "Hello"
    ended = chunk(piece({"content": ")]"}, "stop"), piece({"content": "!"}, "stop", 1))
    found = run(mender, [ended])
    assert said(found, 0) == ("", [("add", "{}")], ["tool_calls"])
    assert said(found, 1) == ("!", [], ["stop"])
    assert mender.feed([ended])[0] is ended


def test_a_choice_that_nobody_asked_for_is_not_lost() -> None:
    mender = repair()
    held = chunk(piece({"content": "["}, index=1))
    ended = chunk(piece({"content": "]"}, "stop", 1))
    assert run(mender, [held, *text("Hello"), ended])[-2:] == [held, ended]


def test_what_is_held_is_bounded() -> None:
    stream = text('{"name": "add", "parameters": {"a": "', *["x" * 1000] * (LIMIT // 1000 + 1))
    mender = repair()
    given = [len(mender.feed([one])) for one in stream]
    assert given[1] == 0 and max(given) == LIMIT // 1000 + 2
    assert sum(given) == len(stream)


PIECES = st.sampled_from(
    ["<|python_tag|>", '{"name": "add"', ', "parameters": ', "{", "}", "}}", "[", "]", "add", "(", ")", "a=", "1", "'",
     '"', ",", ";", " ", "<function=add>", "</function>", "<|eom_id|>", "Hello", "🦙", CALL, "[add(a=1)]"]
)  # fmt: skip


@given(st.data(), st.lists(PIECES, max_size=8).map("".join))
def test_any_split_of_a_text_gives_what_the_whole_gives(data: st.DataObject, words: str) -> None:
    places = sorted(data.draw(st.lists(st.integers(0, len(words)), max_size=6)))
    pieces = [words[start:end] for start, end in zip([0, *places], [*places, len(words)], strict=True)]
    expected = said(run(repair(), [whole(words)]))
    stream = text(*pieces)
    assert said(run(repair(), stream)) == said(run(repair(), text(*words))) == expected
    assert said(repair().feed(stream)) == expected
    if not expected[1]:
        assert run(repair(), stream) == stream and expected[0] == words


ODD = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["", "[", "{", "stop", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["content", "tool_calls"]), inner),
    max_leaves=5,
)
CHOICES = st.fixed_dictionaries({}, optional=dict.fromkeys(("index", "delta", "message", "finish_reason"), ODD))


@given(st.lists(st.lists(CHOICES, max_size=2), max_size=4))
def test_choices_of_any_shape_do_no_harm(bodies: list[list[Json]]) -> None:
    run(repair(n=2), [chunk(*choices) for choices in bodies])


@pytest.mark.parametrize(
    ("words", "is_leaked"),
    [
        (CALL, True),
        (CALL[:40], True),
        (CALL + " I would call.", True),
        ("[add(a=", True),
        ("<function=add>", True),
        ('{"name": "add", "age": 3}', False),
        ('{"name": "sub"', False),
        (PROSE, False),
        ("", False),
    ],
)
def test_a_leak_is_told_by_its_beginning(words: str, is_leaked: bool) -> None:
    assert leaked(words, TOOLS) is is_leaked
    assert not leaked(words, [])


def test_piece_without_a_delta_in_the_middle_of_calls_does_no_harm() -> None:
    stream = text(CALL[:30], CALL[30:])
    empty = chunk({"index": 0, "delta": None, "finish_reason": None})
    assert said(run(repair(), [*stream[:2], empty, *stream[2:]])) == said(run(repair(), stream))
