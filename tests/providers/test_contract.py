"""What the gateway relies on, whoever the provider is: one suite for all kinds, each against its own upstream."""

from typing import Any
from urllib.parse import unquote

import orjson
import pytest

from gateway.demo.standins.faults import NoDone, NoUsage
from gateway.demo.standins.hosted import KEY
from gateway.errors import Rejected
from gateway.providers.registry import provider_class

from .asking import JSON_SCHEMA, TOOL, ask, every_kind, kinds_with, kinds_without, question, whole_and_streamed
from .upstreams import (
    CANARY,
    COUNTED,
    EARLY,
    FORCED,
    KINDS,
    LISTING,
    LOGPROBS,
    SCHEMA,
    SEED,
    TOOLS,
    VISION,
    Kind,
    N,
    linked,
)

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
SEEDED = 90210  # a number that nothing else sends

pytestmark = pytest.mark.asyncio


@every_kind
async def test_an_answer_is_whole_and_canonical(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        answer = await ask(link, question())
    (chunk,) = answer.chunks
    (choice,) = chunk.body["choices"]
    assert answer.error is None
    assert orjson.loads(chunk.data) == chunk.body
    assert chunk.body["object"] == "chat.completion" and chunk.body["id"] and chunk.body["model"]
    assert (choice["index"], choice["message"]["role"]) == (0, "assistant")
    assert choice["finish_reason"] in ("stop", "length")
    assert answer.text and answer.tally.complete
    assert answer.tally.usage is not None and answer.tally.usage.completion > 0 and answer.tally.usage.prompt > 0


@every_kind
async def test_a_stream_adds_up_to_a_whole_answer(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        whole = await ask(link, question())
        answer = await ask(link, question(stream=True))
    assert answer.error is None
    assert len(answer.chunks) > 3
    assert all(orjson.loads(chunk.data) == chunk.body for chunk in answer.chunks)
    assert all(b"\n" not in chunk.data and b"\r" not in chunk.data for chunk in answer.chunks)
    assert {chunk.body["object"] for chunk in answer.chunks} == {"chat.completion.chunk"}
    assert len({chunk.body["id"] for chunk in answer.chunks}) == 1
    assert answer.pieces[0]["role"] == "assistant"
    assert answer.text == whole.text
    assert answer.tally.complete
    assert answer.tally.finished == whole.tally.finished
    assert answer.tally.usage is not None and answer.tally.usage[:2] == (whole.tally.usage or ())[:2]


@every_kind
@pytest.mark.parametrize("asked", [None, {}, {"include_usage": False}, {"include_usage": True}], ids=str)
async def test_a_stream_says_its_usage_whether_or_not_the_caller_has_asked(
    kind: Kind, llama_url: str, asked: object
) -> None:
    async with linked(kind, llama_url) as link:
        answer = await ask(link, question(stream=True, stream_options=asked, max_tokens=3))
    assert answer.tally.usage is not None and answer.tally.usage.completion == 3
    assert answer.chunks[-1].body.get("usage")  # also when it was told before


@every_kind
async def test_an_answer_cut_by_its_limit_ends_with_length(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        answers = [await ask(link, question(stream, max_tokens=3)) for stream in (False, True)]
    assert [answer.tally.finished for answer in answers] == [{0: "length"}, {0: "length"}]
    assert [answer.tally.usage and answer.tally.usage.completion for answer in answers] == [3, 3]


@every_kind
@whole_and_streamed
@pytest.mark.parametrize("form", [str, lambda word: [word]], ids=["text", "list"])
async def test_an_answer_ends_before_a_stop_sequence(kind: Kind, llama_url: str, stream: bool, form: Any) -> None:
    async with linked(kind, llama_url) as link:
        free = await ask(link, question())
        word = next(word for word in free.text.split()[2:] if word.isalpha())
        answer = await ask(link, question(stream, stop=form(word)))
    assert answer.tally.finished == {0: "stop"}
    assert answer.text and answer.text.rstrip() == free.text[: free.text.index(word)].rstrip()


@kinds_with(SEED)
async def test_a_seed_is_passed_on(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        answers = [await ask(link, question(seed=SEEDED)) for _ in range(2)]
    assert answers[0].text == answers[1].text
    assert all(str(SEEDED).encode() in seen.body for seen in link.script.generations)


@kinds_with(LOGPROBS)
async def test_logprobs_are_asked_for_and_passed_on(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        answer = await ask(link, question(logprobs=True, top_logprobs=2, max_tokens=3))
    (choice,) = answer.chunks[0].body["choices"]
    sent = link.script.generations[0].json
    assert (sent["logprobs"], sent["top_logprobs"]) == (True, 2)
    if choice["logprobs"] is not None:  # not every stand-in has them to give
        assert [len(token["top_logprobs"]) for token in choice["logprobs"]["content"]] == [2] * 3


@kinds_with(N)
async def test_several_choices_are_asked_for(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        await ask(link, question(n=2))
    assert link.script.generations[0].json["n"] == 2


@kinds_with(VISION)
async def test_an_image_is_passed_on(kind: Kind, llama_url: str) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]}]
    async with linked(kind, llama_url) as link:
        await ask(link, question(messages=messages))  # which the model behind, who is blind, may refuse
    assert PIXEL.encode() in link.script.generations[0].body


@pytest.mark.parametrize(
    ("kind", "word"),
    [
        pytest.param(kind, word, id=f"{kind}-{word}")
        for kind in KINDS
        for word in (TOOLS, SCHEMA, LOGPROBS, VISION, N)
        if word in kind.lacks
    ],
)
async def test_what_a_kind_cannot_pass_on_is_none_of_its_capabilities(kind: Kind, word: str) -> None:
    told = provider_class(kind.name).kind
    assert told.capabilities is not None or word == N
    assert word not in (told.capabilities or frozenset()) | told.offers


async def declined(kind: Kind, llama_url: str, **asked: Any) -> None:
    """What the API has no words for is left to others, and nothing is sent."""
    async with linked(kind, llama_url) as link:
        for stream in (False, True):
            answer = await ask(link, question(stream, **asked))
            assert isinstance(answer.error, Rejected) and answer.error.elsewhere
    assert not link.script.requests


@kinds_without(SCHEMA)
async def test_a_schema_is_declined(kind: Kind, llama_url: str) -> None:
    await declined(kind, llama_url, response_format=JSON_SCHEMA)


@kinds_without(TOOLS)
async def test_tools_are_declined(kind: Kind, llama_url: str) -> None:
    await declined(kind, llama_url, tools=[TOOL])


@kinds_without(VISION)
async def test_an_image_is_declined(kind: Kind, llama_url: str) -> None:
    await declined(kind, llama_url, messages=[{"role": "user", "content": [IMAGE]}])


@kinds_with(TOOLS)
@whole_and_streamed
async def test_a_tool_call_has_a_name_an_id_and_arguments_in_json(kind: Kind, llama_url: str, stream: bool) -> None:
    choice = {} if FORCED in kind.lacks else {"tool_choice": "required"}
    async with linked(kind, llama_url) as link:
        answer = await ask(link, question(stream, tools=[TOOL], **choice, max_tokens=200))
    assert answer.calls and answer.calls[0]["id"] and answer.calls[0]["function"]["name"] == "weather"
    assert [orjson.loads(arguments).keys() for arguments in answer.arguments.values()] == [{"city"}] * len(
        answer.arguments
    )
    assert answer.tally.complete and answer.tally.content
    assert FORCED not in kind.lacks or answer.tally.finished == {0: "tool_calls"}


@kinds_with(TOOLS)
async def test_a_named_tool_is_the_one_that_is_called(kind: Kind, llama_url: str) -> None:
    other = {"type": "function", "function": {**TOOL["function"], "name": "other"}}
    choice = {"type": "function", "function": {"name": "weather"}}
    async with linked(kind, llama_url) as link:
        answer = await ask(link, question(tools=[other, TOOL], tool_choice=choice, max_tokens=200))
    assert {call["function"]["name"] for call in answer.calls} == {"weather"}


@every_kind
async def test_tools_are_not_called_when_none_is_wanted(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        answer = await ask(link, question(tools=[TOOL], tool_choice="none"))
    assert answer.error is None and answer.text and not answer.calls


@every_kind
async def test_a_tools_result_is_answered_with_text(kind: Kind, llama_url: str) -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lima"}'}}
    messages = [
        {"role": "user", "content": "How is the weather in Lima?"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "mild"},
    ]
    async with linked(kind, llama_url) as link:
        answer = await ask(link, question(messages=messages))
    assert answer.error is None and answer.text


@kinds_with(SCHEMA)
@whole_and_streamed
async def test_an_answer_keeps_to_a_schema(kind: Kind, llama_url: str, stream: bool) -> None:
    async with linked(kind, llama_url) as link:
        answer = await ask(link, question(stream, response_format=JSON_SCHEMA, max_tokens=200))
    assert orjson.loads(answer.text).keys() == {"city"}


@kinds_with(LISTING)
async def test_the_models_it_serves_are_listed(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        served = await link.provider.models()
    assert kind.model in {model.id for model in served}


@every_kind
async def test_a_stream_without_its_last_frame_is_finished_only_if_its_choices_are(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, NoDone()) as link:
        answer = await ask(link, question(stream=True))
    assert answer.error is None
    assert answer.text
    assert answer.tally.complete is (EARLY not in kind.lacks)


@kinds_with(COUNTED)
async def test_usage_that_is_not_told_is_not_made_up(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, NoUsage()) as link:
        answer = await ask(link, question(stream=True))
    assert answer.tally.complete and answer.tally.usage is None


@every_kind
async def test_the_key_is_sent_and_nothing_of_the_callers_is(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url) as link:
        await ask(link, question())
    (seen,) = link.script.generations
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert CANARY not in str(seen)
    assert seen.headers.keys() - kind.headers == {
        "host", "accept-encoding", "authorization", "content-length", "content-type", "user-agent",
    }  # fmt: skip
    assert kind.model.endswith(seen.json.get("model", kind.model))
    assert "model" in seen.json or kind.model in unquote(seen.path)
