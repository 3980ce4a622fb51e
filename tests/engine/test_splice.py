"""How a stream that broke goes on from another one."""

from collections.abc import Sequence
from contextlib import suppress

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.engine.splice import Continuation, Delivered, Mismatch, Splice, summed
from gateway.types import Chunk, Json, Usage
from tests.engine.fakes import chunk, delta, finish, role, text, used
from tests.engine.test_tally import CHOICES

Pair = tuple[str, str]  # a field of a delta and its text

WORDS = st.text(
    st.sampled_from("ab \n") | st.sampled_from("e\u0301\U0001f469\u200d\U0001f680ż") | st.characters(codec="utf-8")
)
CUTS = st.lists(st.integers(0, 60), max_size=8)
FIELDS = ("reasoning_content", "content", "refusal")


def delivered(*bodies: Json, id: str | None = "chatcmpl-first") -> Delivered:
    before = Delivered()
    for body in bodies:
        before.add(body if id is None else {"id": id, **body})
    return before


def fed(to: Splice, *bodies: Json) -> list[Json]:
    """What comes of a second stream's chunks; bytes and body of each are the same."""
    given = [new for body in bodies if (new := to.feed(chunk({"id": "chatcmpl-second", **body}))) is not None]
    assert all(orjson.loads(new.data) == new.body for new in given)
    return [new.body for new in given]


def field(name: str, words: str) -> Json:
    return {"choices": [{"index": 0, "delta": {name: words}, "finish_reason": None}]}


def said(bodies: Sequence[Json], name: str = "content") -> str:
    deltas = [choice["delta"] for body in bodies for choice in body["choices"]]
    return "".join(delta.get(name) or "" for delta in deltas)


def pieces(words: str, cuts: Sequence[int]) -> list[str]:
    """A text in pieces, empty ones among them."""
    ends = sorted(min(cut, len(words)) for cut in cuts)
    return [words[begin:end] for begin, end in zip([0, *ends], [*ends, len(words)], strict=True)]


def streamed(words: str, cuts: Sequence[int]) -> list[Json]:
    return [text(piece) for piece in pieces(words, cuts)]


def test_what_was_delivered_is_known_by_field() -> None:
    before = delivered(role(), delta(reasoning_content="hm"), delta(reasoning_content=", yes"), text("He"), text("llo"))
    assert (before.id, before.role, before.finished, before.why_not()) == ("chatcmpl-first", True, False, "")
    assert (before.text("content"), before.text("reasoning_content"), before.text("refusal")) == (
        "Hello",
        "hm, yes",
        "",
    )


def test_stream_without_an_id_or_a_role_has_none() -> None:
    before = delivered(text("Hello"), id=None)
    assert (before.id, before.role) == (None, False)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (finish(), "its end was delivered"),
        (delta(tool_calls=[{"index": 0, "function": {"name": "f", "arguments": ""}}]), "it has tool_calls"),
        (delta(function_call={"name": "f"}), "it has function_call"),
        (delta(content=[{"type": "text", "text": "Hello"}]), "it has content"),
        (delta(audio={"id": "a"}), "it has audio"),
        ({"choices": [{"index": 0, "delta": {"content": "a"}, "logprobs": {"content": []}}]}, "it has logprobs"),
        ({"choices": [{"index": 0, "delta": {"content": "a"}, "token_ids": [1]}]}, "it has token_ids"),
        ({"choices": [{"index": 0, "message": {"content": "a"}}]}, "it has message"),
        (text("a", 1), "several choices were delivered"),
        ({"choices": [*text("a")["choices"], *text("b", 1)["choices"]]}, "several choices were delivered"),
    ],
)
def test_stream_with_more_than_text_or_with_its_end_cannot_be_gone_on_with(body: Json, reason: str) -> None:
    assert delivered(text("Hello"), body, text(" you")).why_not() == reason


def test_stream_of_which_several_choices_were_asked_for_cannot_be_gone_on_with() -> None:
    before = Delivered(choices=2)
    before.add(text("Hello"))
    assert before.why_not() == "several choices were asked for"


def test_new_stream_that_repeats_what_was_delivered_gives_only_what_follows() -> None:
    splice = Splice(delivered(role(), text("Hello"), text(" wor")))
    assert fed(splice, role(), text("Hel"), text("lo")) == []
    assert not splice.caught_up
    given = fed(splice, text(" world"), text("!"), finish(), used())
    assert splice.caught_up
    assert given == [
        {**text("ld"), "id": "chatcmpl-first"},
        {**text("!"), "id": "chatcmpl-first"},
        {**finish(), "id": "chatcmpl-first"},
        {**used(), "id": "chatcmpl-first"},
    ]


def test_chunk_at_the_joint_keeps_what_else_it_has() -> None:
    body = text("Hello you") | {"model": "another", "usage": used()["usage"]}
    body["choices"][0]["finish_reason"] = "length"
    (given,) = fed(Splice(delivered(role(), text("Hello"))), body)
    assert given["choices"] == [{"index": 0, "delta": {"content": " you"}, "finish_reason": "length"}]
    assert (given["model"], given["usage"]) == ("another", used()["usage"])


def test_stream_that_broke_just_before_its_end_gets_its_end() -> None:
    splice = Splice(delivered(role(), text("Hello")))
    assert fed(splice, text("Hello"), finish()) == [{**finish(), "id": "chatcmpl-first"}]


def test_end_that_comes_with_the_last_text_is_given_without_the_text() -> None:
    body = text("Hello")
    body["choices"][0]["finish_reason"] = "stop"
    (given,) = fed(Splice(delivered(text("Hello"))), body)
    assert given["choices"][0] == {"index": 0, "delta": {}, "finish_reason": "stop"}


def test_chunks_keep_their_own_id_where_the_first_stream_had_none() -> None:
    (given,) = fed(Splice(delivered(text("Hel"), id=None)), text("Hello"))
    assert given["id"] == "chatcmpl-second"


def test_role_is_said_once_even_by_a_stream_that_says_it_in_each_chunk() -> None:
    splice = Splice(delivered(role(), text("He")))
    given = fed(splice, role(), delta(role="assistant", content="Hel"), delta(role="assistant", content="lo"), role())
    assert [body["choices"][0]["delta"] for body in given] == [{"content": "l"}, {"content": "lo"}]


def test_role_that_was_not_said_yet_is_given_with_the_new_text() -> None:
    (given,) = fed(Splice(delivered(text("He"))), delta(role="assistant", content="Hello"))
    assert given["choices"][0]["delta"] == {"role": "assistant", "content": "llo"}


def test_role_with_an_end_loses_the_role_and_keeps_the_end() -> None:
    body = role()
    body["choices"][0]["finish_reason"] = "stop"
    (given,) = fed(Splice(delivered(role())), body)
    assert given["choices"][0] == {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}


def test_nothing_but_a_role_was_delivered_and_all_of_the_new_stream_is_new() -> None:
    splice = Splice(delivered(role()))
    assert splice.caught_up
    assert said(fed(splice, role(), text("Hello"), finish())) == "Hello"


def test_thoughts_are_repeated_before_the_text_goes_on() -> None:
    splice = Splice(delivered(delta(reasoning_content="hm, yes"), text("He")))
    given = fed(splice, delta(reasoning_content="hm"), delta(reasoning_content=", yes", content="Hello"), finish())
    assert (said(given, "reasoning_content"), said(given)) == ("", "llo")


def test_text_may_begin_where_the_thoughts_were_cut() -> None:
    splice = Splice(delivered(delta(reasoning="hm")))
    given = fed(splice, delta(reasoning="hm, yes", content="Hello"))
    assert given[0]["choices"][0]["delta"] == {"reasoning": ", yes", "content": "Hello"}


def test_both_spellings_of_reasoning_with_the_same_text_are_one_piece() -> None:
    both = [delta(reasoning=words, reasoning_content=words) for words in ("hm", ", yes", "hm, yes, no")]
    before = delivered(*both[:2])
    assert (before.text("reasoning"), before.text("reasoning_content")) == ("hm, yes", "hm, yes")
    (given,) = fed(Splice(before), both[2])
    assert given["choices"][0]["delta"] == {"reasoning": ", no", "reasoning_content": ", no"}


@pytest.mark.parametrize(
    "bodies",
    [
        [text("Hallo")],
        [text("Hello wOrld and more")],
        [text("Hell"), finish()],
        [finish()],
        [text("Hello wor"), delta(reasoning_content="hm")],
        [delta(reasoning_content="Hello world")],
        [delta(refusal="Hello world")],
        [delta(content="Hello world", tool_calls=[{"index": 0}])],
        [text("Hello"), delta(tool_calls=[{"index": 0, "function": {"name": "f"}}])],
        [{"choices": [{"index": 0, "delta": {"content": "Hello world!"}, "logprobs": {"content": []}}]}],
        [text("Hello world", 1)],
        [{"choices": [*text("Hello world")["choices"], *text("Hello world", 1)["choices"]]}],
    ],
)
def test_new_stream_that_is_another_one_gives_nothing(bodies: list[Json]) -> None:
    splice = Splice(delivered(role(), text("Hello world")))
    for body in bodies[:-1]:
        assert fed(splice, body) == []
    with pytest.raises(Mismatch):
        fed(splice, bodies[-1])


def test_new_stream_that_thinks_longer_than_the_first_gives_nothing() -> None:
    with pytest.raises(Mismatch, match="more reasoning"):
        fed(Splice(delivered(delta(reasoning="hm"), text("Hello"))), delta(reasoning="hm, no", content="Hello"))


def test_chunks_without_choices_wait_until_the_new_stream_has_caught_up() -> None:
    splice = Splice(delivered(text("Hello")))
    assert fed(splice, {"choices": []}, text("Hello")) == []
    assert len(fed(splice, {"choices": []})) == 1


def test_calls_that_follow_the_text_are_given_as_they_are() -> None:
    call = delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}])
    given = fed(Splice(delivered(text("I look it up."))), text("I look it up."), call, finish("tool_calls"))
    assert given == [{**call, "id": "chatcmpl-first"}, {**finish("tool_calls"), "id": "chatcmpl-first"}]


@given(WORDS, st.integers(0, 60), CUTS, CUTS)
def test_caller_has_the_text_once_wherever_it_broke_and_however_it_came(
    words: str, cut: int, first: list[int], second: list[int]
) -> None:
    before = delivered(role(), *streamed(words[:cut], first))
    given = fed(Splice(before), role(), *streamed(words, second), finish())
    assert before.text("content") + said(given) == words
    assert given[-1]["choices"][0]["finish_reason"] == "stop"


@given(WORDS, WORDS, CUTS, CUTS)
def test_text_that_differs_gives_nothing(words: str, other: str, first: list[int], second: list[int]) -> None:
    assume(not other.startswith(words))
    splice = Splice(delivered(*streamed(words, first)))
    given = []
    with pytest.raises(Mismatch):
        for body in [role(), *streamed(other, second), finish()]:
            given += fed(splice, body)
    assert given == []


@given(
    st.lists(st.tuples(st.sampled_from(FIELDS), st.text("ab", min_size=1, max_size=3)), max_size=6),
    st.integers(0, 6),
    CUTS,
)
def test_fields_are_taken_in_their_order(runs: list[Pair], broke: int, cuts: list[int]) -> None:
    before = delivered(*[field(name, words) for name, words in runs[:broke]])
    again = [field(name, piece) for name, words in runs for piece in pieces(words, cuts)]
    given = fed(Splice(before), *again, finish())
    assert all(before.text(name) + said(given, name) == "".join(w for n, w in runs if n == name) for name in FIELDS)


@given(
    st.lists(st.tuples(st.sampled_from(FIELDS), st.text("ab", min_size=1, max_size=2)), max_size=4),
    st.lists(st.tuples(st.sampled_from(FIELDS), st.text("ab", min_size=1, max_size=2)), max_size=4),
)
def test_other_order_of_fields_gives_nothing(runs: list[Pair], other: list[Pair]) -> None:
    letters, others = ([(name, letter) for name, words in each for letter in words] for each in (runs, other))
    assume(others[: len(letters)] != letters)
    splice = Splice(delivered(*[field(name, words) for name, words in runs]))
    given = []
    with pytest.raises(Mismatch):
        for body in [*[field(name, words) for name, words in other], finish()]:
            given += fed(splice, body)
    assert given == []


def test_continuation_gives_all_that_follows_the_prefill() -> None:
    before = delivered(role(), text("Hello"))
    assert before.prefill() == "Hello"
    given = fed(Continuation(before), role(), text(" wor"), text("ld"), finish())
    assert said(given) == " world"
    assert {body["id"] for body in given} == {"chatcmpl-first"}
    assert all("role" not in body["choices"][0]["delta"] for body in given)


def test_continuation_that_repeats_a_word_as_answers_do_gives_it() -> None:
    assert said(fed(Continuation(delivered(text("ha"))), text("ha"), text("ha"), finish())) == "haha"


def test_target_that_echoes_the_prefill_has_it_cut_off() -> None:
    assert said(fed(Continuation(delivered(text("ha")), echoes=True), text("haha"), finish())) == "ha"


def test_target_that_should_echo_and_does_not_gives_nothing() -> None:
    with pytest.raises(Mismatch):
        fed(Continuation(delivered(text("Hello")), echoes=True), text(" world"))


def test_white_space_at_the_end_of_the_prefill_is_for_the_model_to_write_again() -> None:
    before = delivered(text("One.\n\n"))
    assert before.prefill() == "One."
    assert said(fed(Continuation(before), text("\n"), text("\nTwo."), finish())) == "Two."
    with pytest.raises(Mismatch):
        fed(Continuation(before), text("Two."))


def test_continuation_that_thinks_anew_gives_nothing() -> None:
    with pytest.raises(Mismatch, match="reasoning_content where content was to go on"):
        fed(Continuation(delivered(text("Hello"))), role(), delta(reasoning_content="hm"))
    with pytest.raises(Mismatch, match="reasoning where content was to go on"):
        fed(Continuation(delivered(text("Hello\n"))), text("\n"), delta(reasoning="hm"))


def test_continuation_may_call_a_tool_or_think_later() -> None:
    call = delta(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}])
    before = delivered(text("I look"))
    assert len(fed(Continuation(before), call, finish("tool_calls"))) == 2
    assert len(fed(Continuation(before), text(" it up"), delta(reasoning="hm"), finish())) == 3


@pytest.mark.parametrize("bodies", [[], [role()], [text(" \n")], [delta(reasoning="hm"), text("He")]])
def test_nothing_thoughts_and_white_space_make_no_prefill(bodies: list[Json]) -> None:
    assert delivered(*bodies).prefill() is None


@given(WORDS, st.integers(0, 60), CUTS, CUTS, st.booleans())
def test_caller_of_a_continuation_has_the_text_once(
    words: str, cut: int, first: list[int], second: list[int], echoes: bool
) -> None:
    before = delivered(*streamed(words[:cut], first))
    prefill = before.prefill()
    assume(prefill is not None)
    assert prefill is not None
    answer = words if echoes else words[len(prefill) :]
    given = fed(Continuation(before, echoes), role(), *streamed(answer, second), finish())
    assert before.text("content") + said(given) == words


def test_usage_of_two_parts_is_the_first_prompt_and_both_completions() -> None:
    assert summed(Usage(100, 40, 8), Usage(140, 20, 128)) == Usage(100, 60, 8)
    assert summed(Usage(100, 40, estimated=True), Usage(140, 20)) == Usage(100, 60, estimated=True)


def test_usage_of_a_part_that_is_not_known_counts_nothing() -> None:
    assert summed(None, Usage(140, 20)) == Usage(140, 20)
    assert summed(Usage(100, 40), None) == Usage(100, 40)
    assert summed(None, None) is None


def test_chunk_that_is_given_is_one_whole_chunk() -> None:
    new = Splice(delivered(text("a"))).feed(Chunk(b"", text("a\U0001f680")))
    assert new is not None
    assert orjson.loads(new.data)["choices"][0]["delta"]["content"] == "\U0001f680"


def dumpable(value: object) -> bool:
    """Whether an upstream's JSON can have it: not a number of more than 64 bits."""
    try:
        return bool(orjson.dumps(value))
    except TypeError:
        return False


STREAM = st.lists(CHOICES.filter(dumpable), max_size=3)


@given(STREAM, STREAM)
def test_no_choices_break_a_splice(first: list[list[Json]], second: list[list[Json]]) -> None:
    splice = Splice(delivered(*[{"choices": choices} for choices in first]))
    with suppress(Mismatch):
        for choices in second:
            splice.feed(Chunk(b"", {"choices": choices}))
