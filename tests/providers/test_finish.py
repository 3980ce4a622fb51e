"""Whatever a host says, callers read OpenAI's words for why an answer ended."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import InvalidResponse, ServerFault, UpstreamError
from gateway.providers import bedrock_answer, ollama, replicate_prediction
from gateway.providers.finish import Endings
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.providers.registry import KINDS, provider_class
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, ChatRequest, Chunk, Deployment

OPENAI = {"stop", "length", "tool_calls", "content_filter", "function_call"}
OTHERS = {"ollama", "bedrock", "replicate", "litellm"}  # which have no answers of OpenAI's shape to mend
COMPATIBLE = [name for name in KINDS if name not in OTHERS]
CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
REQUEST = ChatRequest("r1", "llama", {"messages": []}, stream=True)


def provider(kind: str) -> OpenAICompatible:
    made = provider_class(kind)(Backend("main", kind, "http://127.0.0.1:9"), PooledTransport(keepalive=3))
    assert isinstance(made, OpenAICompatible)
    return made


def streamed(kind: str, *choices: dict[str, Any]) -> list[Chunk]:
    """What comes of a stream with a chunk for each choice; raises UpstreamError."""
    deployment = Deployment("main/llama", "main", "llama", "llama", kind, "hosted")
    decoder = provider(kind).decoder(REQUEST, deployment)
    events = [b"data: " + orjson.dumps({"choices": [choice]}) + b"\n\n" for choice in choices]
    found = [chunk for event in events for chunk in decoder.feed(event)]
    if decoder.failure is not None:
        raise decoder.failure
    return found


def ending(reason: object, index: int = 0, **delta: Any) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": reason}


def reasons(chunks: list[Chunk]) -> list[object]:
    assert all(orjson.loads(chunk.data) == chunk.body for chunk in chunks)
    return [choice["finish_reason"] for chunk in chunks for choice in chunk.body["choices"]]


@pytest.mark.parametrize("kind", COMPATIBLE)
@pytest.mark.parametrize(
    ("said", "meant"),
    [
        *((word, word) for word in sorted(OPENAI)),
        ("eos", "stop"),
        ("eos_token", "stop"),
        ("stop_sequence", "stop"),
        ("STOP", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("a word of tomorrow", "length"),
        (7, "length"),
    ],
)
def test_a_reason_is_given_in_openais_word_whole_and_streamed(kind: str, said: object, meant: str) -> None:
    assert reasons(streamed(kind, ending(None, content="a"), ending(said))) == [None, meant]
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "a"}, "finish_reason": said}]}
    assert reasons([provider(kind).completion(orjson.dumps(body), REQUEST)]) == [meant]


@pytest.mark.parametrize("kind", COMPATIBLE)
def test_a_stop_after_a_call_is_its_end_in_the_choice_that_called(kind: str) -> None:
    called = ending(None, 1, tool_calls=[CALL])
    assert reasons(streamed(kind, called, ending("stop", 0), ending("stop", 1))) == [None, "stop", "tool_calls"]
    message = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    assert reasons([provider(kind).completion(orjson.dumps(body), REQUEST)]) == ["tool_calls"]


def test_a_call_in_the_last_chunk_counts_and_an_empty_list_of_calls_does_not() -> None:
    assert reasons(streamed("vllm", ending("stop", tool_calls=[CALL]))) == ["tool_calls"]
    assert reasons(streamed("vllm", ending(None, tool_calls=[]), ending("stop", tool_calls=[]))) == [None, "stop"]


def test_a_call_that_was_cut_by_a_limit_stays_cut() -> None:
    assert reasons(streamed("vllm", ending("length", tool_calls=[CALL]))) == ["length"]


def test_an_empty_reason_is_none() -> None:
    assert reasons(streamed("vllm", ending("", content="a"), ending("stop"))) == [None, "stop"]


@pytest.mark.parametrize("reason", ["abort", "error", "Cancelled"])
def test_an_answer_that_was_given_up_is_an_error_and_no_end(reason: str) -> None:
    with pytest.raises(ServerFault, match=f"Backend 'main' gave its answer up \\('{reason.lower()}'\\)"):
        streamed("vllm", ending(reason))


def test_bytes_that_are_canonical_already_are_passed_on_as_they_came() -> None:
    decoder = provider("vllm").decoder(REQUEST, Deployment("main/llama", "main", "llama", "llama", "vllm", "hosted"))
    data = b'{"choices":[ {"index":0, "delta":{"tool_calls":[{"index":0}]}, "finish_reason":"tool_calls"} ]}'
    assert [chunk.data for chunk in decoder.feed(b"data: " + data + b"\n\n")] == [data]


ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=4) | st.sampled_from(["stop", "eos", "abort"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
CHOICE = st.fixed_dictionaries({}, optional=dict.fromkeys(("index", "delta", "message", "finish_reason"), ANY))


@given(st.lists(CHOICE, max_size=3))
def test_whatever_choices_hold_their_reasons_become_openais_or_an_error(choices: list[dict[str, Any]]) -> None:
    try:
        Endings("main").mend(choices)
    except UpstreamError:
        return
    assert {choice.get("finish_reason") for choice in choices} <= OPENAI | {None}


def test_other_apis_have_their_own_table_with_the_same_words() -> None:
    assert set(bedrock_answer.FINISH.values()) <= OPENAI
    with pytest.raises(InvalidResponse):
        bedrock_answer.finish_reason("main", "a word of tomorrow", False)
    said: list[dict[str, Any]] = [{"done_reason": reason} for reason in ("stop", "length", "load", "unload", None, 3)]
    assert {ollama.finish_reason(one, calls) for one in said for calls in (False, True)} <= OPENAI
    assert {replicate_prediction.finish_reason(one) for one in ({}, {"input": {"max_tokens": 0}})} <= OPENAI
