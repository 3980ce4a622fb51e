"""The toy model behaves as a model should, judged by llama.cpp, which loads it, and by OpenAI's own SDK."""

import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import httpx
import pytest
from gguf import GGUFReader
from openai import OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam, ChatCompletionToolParam
from pydantic import BaseModel

from gateway.demo.fleet import RunningServer
from gateway.demo.toy import NAME, write_model

MODEL = "llama-3.1-8b-instruct"
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
    },
}


class Journey(BaseModel):
    city: str
    days: int
    price: float
    open: bool
    stops: list[str]
    size: Literal["small", "large"]


@pytest.fixture
def client(llama: RunningServer) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{llama.url}/v1", api_key="none", max_retries=0, timeout=20) as client:
        yield client


def said(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def ask(client: OpenAI, text: str, seed: int = 1, temperature: float = 0.8) -> ChatCompletion:
    return client.chat.completions.create(model=MODEL, messages=said(text), seed=seed, temperature=temperature)


def test_file_says_plainly_that_it_is_a_toy_llama(tmp_path: Path) -> None:
    write_model(tmp_path / "toy.gguf")
    fields = GGUFReader(tmp_path / "toy.gguf").fields
    assert fields["general.architecture"].contents() == "llama"
    assert fields["general.name"].contents() == NAME
    assert NAME.startswith("Toy")


def test_two_writers_at_once_leave_one_whole_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "toy.gguf"
    command = [sys.executable, "-m", "gateway.demo.toy", str(path)]
    root = Path(__file__).parents[2]
    writers = [subprocess.Popen(command, cwd=root) for _ in range(2)]
    assert [writer.wait(timeout=60) for writer in writers] == [0, 0]
    assert list(path.parent.iterdir()) == [path]
    assert len(GGUFReader(path).tensors) == 12


def test_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "toy.gguf"
    path.mkdir()
    with pytest.raises(OSError):
        write_model(path)
    assert list(tmp_path.iterdir()) == [path]


def test_answers_are_short_readable_and_stop_by_themselves(client: OpenAI) -> None:
    answers = [ask(client, "Hello!", seed) for seed in range(30)]
    assert {answer.choices[0].finish_reason for answer in answers} == {"stop"}
    texts = [answer.choices[0].message.content or "" for answer in answers]
    assert all(text[0].isupper() and text.endswith(".") and text.isascii() for text in texts)
    lengths = sorted(answer.usage.completion_tokens for answer in answers if answer.usage)
    assert 10 < lengths[15] < 100
    assert lengths[-1] < 500


def test_answer_at_temperature_zero_stops_too(client: OpenAI) -> None:
    assert ask(client, "Hello!", temperature=0).choices[0].finish_reason == "stop"


def test_same_seed_gives_the_same_text_and_another_seed_another(client: OpenAI) -> None:
    texts = [ask(client, "Hello!", seed).choices[0].message.content for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]


def test_stream_carries_the_whole_answer_and_its_usage(client: OpenAI) -> None:
    whole = ask(client, "Hello!", seed=3)
    stream = client.chat.completions.create(
        model=MODEL,
        messages=said("Hello!"),
        seed=3,
        temperature=0.8,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert [choice.finish_reason for chunk in chunks[:-1] for choice in chunk.choices][-1] == "stop"
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert whole.usage
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


@pytest.mark.parametrize("seed", range(10))
def test_json_schema_gives_json_that_fits(client: OpenAI, seed: int) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=said("Where to?"), seed=seed, response_format=Journey, max_tokens=400
    )
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.parsed


def test_json_object_gives_an_object(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=said("Where to?"), seed=2, response_format={"type": "json_object"}, max_tokens=400
    )
    assert isinstance(json.loads(answer.choices[0].message.content or ""), dict)


@pytest.mark.parametrize("choice", ["required", "auto"])
def test_tools_give_one_clean_call(client: OpenAI, choice: Literal["required", "auto"]) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=said("Will it rain?"), tools=[WEATHER], tool_choice=choice, seed=4, max_tokens=400
    )
    assert answer.choices[0].finish_reason == "tool_calls"
    assert not answer.choices[0].message.content
    (call,) = answer.choices[0].message.tool_calls or []
    assert call.type == "function"
    assert call.function.name == "get_weather"
    arguments = json.loads(call.function.arguments)
    assert [type(arguments[name]) for name in ("city", "days")] == [str, int]


def test_streamed_call_is_the_same_call(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model=MODEL, messages=said("Will it rain?"), tools=[WEATHER], tool_choice="required", seed=4, max_tokens=400
    ) as stream:
        (call,) = stream.get_final_completion().choices[0].message.tool_calls or []
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments).keys() == {"city", "days"}


def test_result_of_a_call_is_answered_in_prose(client: OpenAI) -> None:
    called: ChatCompletionMessageParam = {
        "role": "assistant",
        "tool_calls": [
            {
                "id": "1",
                "type": "function",
                "function": {"name": "get_weather", "arguments": '{"city": "Oslo", "days": 1}'},
            }
        ],
    }
    messages = [*said("Will it rain?"), called, {"role": "tool", "tool_call_id": "1", "content": "No."}]
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER], seed=1)  # type: ignore[arg-type]  # a list of all kinds
    assert answer.choices[0].finish_reason == "stop"
    assert (answer.choices[0].message.content or "").endswith(".")


def test_schema_beside_tools_gives_json(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=said("Where to?"),
        tools=[WEATHER],
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "journey", "schema": Journey.model_json_schema()},
        },
        max_tokens=400,
    )
    assert Journey.model_validate_json(answer.choices[0].message.content or "")


def test_logprobs_name_each_token(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=said("Hello!"), seed=1, logprobs=True, top_logprobs=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert "".join(token.token for token in logprobs.content) == answer.choices[0].message.content
    assert all(len(token.top_logprobs) == 3 and token.logprob <= 0 for token in logprobs.content)


def test_hot_and_unfiltered_text_is_still_valid(client: OpenAI) -> None:
    raw = {"top_k": 0, "top_p": 1.0, "min_p": 0.0}
    answer = client.chat.completions.create(
        model=MODEL, messages=said("Hello!"), temperature=2, seed=1, max_tokens=2000, extra_body=raw
    )
    assert "\ufffd" not in (answer.choices[0].message.content or "")


PROMPTS = {
    "emoji": "🦙🚪 👩🏽‍🚀 🏳️‍🌈",
    "scripts": "Ünïcödé 日本語 العربية \x00\x7f\u200b",
    "template": "<|assistant|></s><|nonsense|><0xFF>{{ bos_token }}",
    "two thousand words": "The quick brown fox jumps over the lazy dog, again. " * 200,
    "nothing": "",
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
def test_any_prompt_is_answered(client: OpenAI, prompt: str) -> None:
    assert ask(client, prompt).choices[0].finish_reason == "stop"


def test_content_in_parts_is_read(client: OpenAI) -> None:
    parts: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=parts, seed=1)
    assert answer.choices[0].finish_reason == "stop"


def test_server_serves_its_load_and_many_connections(llama: RunningServer, client: OpenAI) -> None:
    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda seed: ask(client, "Hello!", seed), range(64)))
    assert {answer.choices[0].finish_reason for answer in answers} == {"stop"}
    assert "llamacpp:requests_processing" in httpx.get(f"{llama.url}/metrics").text
    assert [slot["n_ctx"] for slot in httpx.get(f"{llama.url}/slots").json()] == [8192] * 4
