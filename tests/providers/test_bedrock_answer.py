"""What Converse and ConverseStream say, as completions and chunks, without a server."""

from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.standins.bedrock import encoded
from gateway.engine.tally import Tally
from gateway.errors import InvalidResponse, Overloaded, RateLimited, Rejected, ServerFault, UpstreamError
from gateway.providers.bedrock_answer import EventDecoder, completion, replayed
from gateway.types import Chunk

HEAD = {"id": "chatcmpl-r1", "object": "chat.completion", "created": 1, "model": "m"}
USAGE = {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}
USE = {"toolUseId": "t1", "name": "weather", "input": {"city": "Lima"}}
START = {"messageStart": {"role": "assistant"}}
END = {"metadata": {"usage": USAGE, "metrics": {"latencyMs": 1}}}


def whole(*blocks: Any, reason: str = "end_turn", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": list(blocks)}
    answer = {"output": {"message": message}, "stopReason": reason, "usage": USAGE, **more}
    return completion("main", orjson.dumps(answer), HEAD).body


def finish(reason: str) -> dict[str, Any]:
    return {"messageStop": {"stopReason": reason}}


def delta(block: int = 0, **more: Any) -> dict[str, Any]:
    return {"contentBlockDelta": {"delta": more, "contentBlockIndex": block}}


def begun(block: int, id: str, name: str) -> dict[str, Any]:
    return {"contentBlockStart": {"start": {"toolUse": {"toolUseId": id, "name": name}}, "contentBlockIndex": block}}


def stopped(block: int) -> dict[str, Any]:
    return {"contentBlockStop": {"contentBlockIndex": block}}


def wire(*events: dict[str, Any]) -> bytes:
    return b"".join(encoded(orjson.dumps(event) + b"\n") for event in events)


def decoder() -> EventDecoder:
    head = {**HEAD, "object": "chat.completion.chunk"}
    return EventDecoder("main", "m", head, lambda body: body.replace(b"SECRET", b"[redacted]"))


def streamed(*events: dict[str, Any]) -> tuple[list[Chunk], UpstreamError | None]:
    made = decoder()
    chunks = made.feed(wire(*events))
    return chunks, made.failure


def deltas(*events: dict[str, Any]) -> list[dict[str, Any]]:
    chunks, failure = streamed(*events)
    assert failure is None
    return [choice["delta"] for chunk in chunks for choice in chunk.body["choices"]]


@pytest.mark.parametrize(
    ("reason", "finished"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
    ],
)
def test_a_stop_reason_has_openais_word(reason: str, finished: str) -> None:
    assert whole({"text": "Hi"}, reason=reason)["choices"][0]["finish_reason"] == finished
    tally = Tally()
    for chunk in streamed(START, delta(text="Hi"), finish(reason), END)[0]:
        tally.add(chunk.body)
    assert tally.finished == {0: finished}


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use", "something_new", ""])
def test_a_broken_answer_is_an_error_and_so_is_one_that_ended_nobody_knows_how(reason: str) -> None:
    with pytest.raises(InvalidResponse, match="not whole"):
        whole({"text": "Hi"}, reason=reason)
    chunks, failure = streamed(START, delta(text="Hi"), finish(reason), END)
    assert type(failure) is InvalidResponse and len(chunks) == 2


def test_text_thoughts_and_calls_make_one_message() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm."}}}
    (choice,) = whole(thought, {"text": "I "}, {"text": "look."}, {"toolUse": USE}, reason="end_turn")["choices"]
    function = {"name": "weather", "arguments": '{"city":"Lima"}'}
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": "I look.",
            "reasoning_content": "Hm.",
            "tool_calls": [{"id": "t1", "type": "function", "function": function}],
        },
        "finish_reason": "tool_calls",
    }
    assert whole({"toolUse": USE})["choices"][0]["message"]["content"] is None
    assert whole()["choices"][0]["message"]["content"] == ""


def test_usage_counts_cached_tokens_as_prompt() -> None:
    cached = {**USAGE, "cacheReadInputTokens": 20, "cacheWriteInputTokens": 5}
    assert whole({"text": "Hi"}, usage=cached)["usage"] == {
        "prompt_tokens": 32, "completion_tokens": 3, "total_tokens": 35,
        "prompt_tokens_details": {"cached_tokens": 20},
    }  # fmt: skip
    assert whole({"text": "Hi"})["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    for nothing in ({}, {"inputTokens": -1, "outputTokens": 2}, "x"):
        assert "usage" not in whole({"text": "Hi"}, usage=nothing)


@pytest.mark.parametrize(
    "answer",
    [b"", b"[]", b"{", b"{}", b'{"output":{"message":{"content":"x"}}}', b'{"output":{"message":{"content":["x"]}}}'],
)
def test_what_is_no_answer_is_an_invalid_response(answer: bytes) -> None:
    with pytest.raises(InvalidResponse):
        completion("main", answer, HEAD)


def test_a_call_without_a_name_is_an_invalid_response() -> None:
    with pytest.raises(InvalidResponse):
        whole({"toolUse": {"toolUseId": "t1"}})


def test_a_stream_of_text_is_role_pieces_end_and_usage() -> None:
    chunks, failure = streamed(START, delta(text="Hel"), delta(text="lo"), stopped(0), finish("end_turn"), END)
    assert failure is None
    assert [chunk.body["choices"] for chunk in chunks] == [
        [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "Hel"}, "finish_reason": None}],
        [{"index": 0, "delta": {"content": "lo"}, "finish_reason": None}],
        [{"index": 0, "delta": {}, "finish_reason": "stop"}],
        [],
    ]
    assert chunks[-1].body["usage"]["total_tokens"] == 10
    assert all(orjson.loads(chunk.data) == chunk.body for chunk in chunks)


def test_calls_in_a_stream_are_numbered_and_have_arguments_even_if_they_are_empty() -> None:
    pieces = ['{"ci', 'ty":"Lima"}']
    found = deltas(
        START, delta(text="I look."), stopped(0),
        begun(1, "t1", "weather"), *(delta(1, toolUse={"input": piece}) for piece in pieces), stopped(1),
        begun(2, "t2", "time"), delta(2, toolUse={"input": ""}), stopped(2), finish("tool_use"), END,
    )  # fmt: skip
    calls = [call for piece in found for call in piece.get("tool_calls", [])]
    assert [(call["index"], call.get("id")) for call in calls if "id" in call] == [(0, "t1"), (1, "t2")]
    texts = ["".join(call["function"]["arguments"] for call in calls if call["index"] == index) for index in (0, 1)]
    assert texts == ['{"city":"Lima"}', "{}"]


def test_thoughts_are_streamed_and_what_is_not_known_is_passed_over() -> None:
    image = {"contentBlockStart": {"start": {"image": {}}, "contentBlockIndex": 1}}
    thoughts = (delta(reasoningContent={"text": "Hm."}), delta(reasoningContent={"signature": "s"}))
    found = deltas(START, {"somethingNew": {"x": 1}}, *thoughts, delta(citation={}), image, finish("end_turn"), END)
    assert found == [{"role": "assistant", "content": ""}, {"reasoning_content": "Hm."}, {}]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("throttlingException", RateLimited),
        ("modelStreamErrorException", ServerFault),
        ("internalServerException", ServerFault),
        ("serviceUnavailableException", Overloaded),
        ("validationException", Rejected),
        ("somethingNewException", ServerFault),
    ],
)
def test_an_exception_ends_a_stream_after_what_came_before(name: str, kind: type[UpstreamError]) -> None:
    chunks, failure = streamed(START, delta(text="Hi"), {name: {"message": "SECRET is wrong"}}, delta(text="no"))
    assert type(failure) is kind
    assert len(chunks) == 2 and "SECRET" not in f"{failure} {failure.logged}"


def test_one_malformed_event_is_skipped_and_a_second_ends_the_stream() -> None:
    broken = encoded(b'{"contentBlockDelta":{"delta"\n')
    made = decoder()
    assert len(made.feed(wire(START) + broken + wire(delta(text="Hi")))) == 2
    assert not made.failure
    assert made.feed(broken) == []
    assert isinstance(made.failure, InvalidResponse)


@given(st.lists(st.integers(0, 700), max_size=12), st.booleans())
def test_a_stream_split_anywhere_gives_the_same_chunks(cuts: list[int], damaged: bool) -> None:
    data = wire(
        START, begun(0, "t1", "weather"), delta(0, toolUse={"input": "{}"}), stopped(0), finish("tool_use"), END
    )
    if damaged:
        data = data[:400] + bytes([data[400] ^ 1]) + data[401:]
    at_once, in_parts = decoder(), decoder()
    expected = at_once.feed(data)
    places = [0, *sorted(cuts), len(data)]
    parts = [data[start:end] for start, end in pairwise(places)]
    assert [chunk for part in parts for chunk in in_parts.feed(part)] == expected
    assert (type(in_parts.failure), in_parts.done) == (type(at_once.failure), at_once.done)
    assert at_once.done is not damaged


def test_a_whole_answer_is_replayed_as_a_stream_with_usage() -> None:
    chunks = replayed(whole({"toolUse": USE}, {"toolUse": {**USE, "toolUseId": "t2"}}, reason="tool_use"))
    tally = Tally()
    for chunk in chunks:
        tally.add(chunk.body)
        assert orjson.loads(chunk.data) == chunk.body
    calls = [call for chunk in chunks for one in chunk.body["choices"] for call in one["delta"].get("tool_calls", [])]
    assert [(call["index"], call["id"]) for call in calls] == [(0, "t1"), (1, "t2")]
    assert tally.complete and tally.content and tally.usage is not None and tally.usage[:2] == (7, 3)
    assert {chunk.body["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert "usage" not in replayed(whole({"text": "Hi"}, usage=None))[-1].body
