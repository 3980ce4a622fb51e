"""The stand-in for Ollama is accepted, unmodified, by Ollama's own SDK."""

import base64
import json
from typing import Any

import httpx
import ollama as sdk
import openai
import pytest

from gateway.demo.standins import ollama, ollama_models
from gateway.demo.standins.faults import ErrorEvent, NoDone, Refuse
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

MODEL = "llama3.1:8b"
ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}}
PIXEL = base64.b64encode(b"\x89PNG").decode()


def connect(url: str) -> Any:
    return sdk.AsyncClient(host=url, timeout=20)


async def test_a_chat_answers_with_text_counts_and_durations(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        answer = await client.chat(MODEL, ASK, options={"num_predict": 3, "temperature": 0.5, "seed": 1})
    assert answer.message.content
    assert (answer.done, answer.done_reason, answer.eval_count) == (True, "length", 3)
    assert answer.prompt_eval_count > 0
    assert answer.total_duration >= answer.load_duration > 0


async def test_a_stream_is_json_lines_of_which_the_last_is_done(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        parts = [part async for part in await client.chat(MODEL, ASK, stream=True)]
    assert "".join(part.message.content for part in parts)
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    assert (parts[-1].message.content, parts[-1].done_reason) == ("", "stop")


async def test_a_raw_request_streams_unless_told_not_to(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, httpx.AsyncClient(base_url=served.url) as client:
        response = await client.post("/api/chat", json={"model": MODEL, "messages": ASK})
    assert response.headers["content-type"] == "application/x-ndjson"
    assert json.loads(response.text.splitlines()[-1])["done"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_tool_call_has_object_arguments_and_comes_whole(llama_url: str, stream: bool) -> None:
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        if stream:
            parts = [part async for part in await client.chat(MODEL, ASK, tools=[TOOL], stream=True)]
        else:
            parts = [await client.chat(MODEL, ASK, tools=[TOOL])]
    call = next(call for part in parts for call in part.message.tool_calls or [])
    assert call.function.name == "weather"
    assert call.function.arguments.keys() == {"city"}
    assert parts[-1].done_reason == "stop"


async def test_a_tools_result_is_answered_with_text(llama_url: str) -> None:
    call = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
    turns = [*ASK, {"role": "assistant", "content": "", "tool_calls": [call]}, {"role": "tool", "content": "mild"}]
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        answer = await client.chat(MODEL, turns, tools=[TOOL])
    assert answer.message.content
    assert not answer.message.tool_calls


@pytest.mark.parametrize("wanted", ["json", SCHEMA])
async def test_a_format_is_obeyed(llama_url: str, wanted: Any) -> None:
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        answer = await client.chat(MODEL, ASK, format=wanted)
    assert isinstance(json.loads(answer.message.content), dict)


async def test_generate_answers_and_gives_a_context_back(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        answer = await client.generate(MODEL, "Tell me", system="Be brief.")
        parts = [part async for part in await client.generate(MODEL, "Tell me", stream=True)]
    assert answer.response
    assert len(answer.context) > 1
    assert "".join(part.response for part in parts)
    assert parts[-1].context


async def test_models_are_listed_shown_and_reported_as_running_once_loaded(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        listed = await client.list()
        before = await client.ps()
        cold = await client.chat(MODEL, ASK, options={"num_ctx": 2048})
        warm = await client.chat(MODEL, ASK)
        running = await client.ps()
        shown = await client.show(MODEL)
    assert [model.model for model in listed.models] == [model.name for model in ollama_models.MODELS]
    assert before.models == []
    assert [model.model for model in running.models] == [MODEL]
    assert cold.load_duration > warm.load_duration
    assert shown.modelinfo["llama.context_length"] == 131_072
    assert shown.capabilities == ["completion", "tools"]


async def test_an_empty_chat_loads_a_model_and_keep_alive_zero_unloads_it(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        loaded = await client.chat(MODEL, [], keep_alive=-1)
        while_loaded = await client.ps()
        unloaded = await client.chat(MODEL, [], keep_alive=0)
        afterwards = await client.ps()
    assert (loaded.done_reason, unloaded.done_reason) == ("load", "unload")
    assert (len(while_loaded.models), len(afterwards.models)) == (1, 0)


async def test_what_a_model_cannot_do_is_refused_in_ollamas_words(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        refusals = [
            await refusal(client.chat("nope", ASK)),
            await refusal(client.show("nope")),
            await refusal(client.chat(MODEL, ASK, think=True)),
            await refusal(client.chat("llama3:8b", ASK, tools=[TOOL])),
            await refusal(client.chat(MODEL, [{"role": "user", "content": "see", "images": [PIXEL]}])),
            await refusal(client.chat(MODEL, ASK, keep_alive="soon")),
            await refusal(client.embed(MODEL, "a llama")),
        ]
    assert refusals == [
        (404, "model 'nope' not found"),
        (404, "model 'nope' not found"),
        (400, '"llama3.1:8b" does not support thinking'),
        (400, "registry.ollama.ai/library/llama3:8b does not support tools"),
        (500, ollama.NO_IMAGES),
        (400, 'time: invalid duration "soon"'),
        (501, "this model does not support embeddings"),
    ]


async def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(sdk.ResponseError) as caught:
        await call
    return caught.value.status_code, caught.value.error


async def test_a_prompt_beyond_num_ctx_is_silently_cut(llama_url: str) -> None:
    turns = [{"role": "user", "content": "llama " * 200}] * 20 + ASK
    async with Served(ollama.app(llama_url)) as served, connect(served.url) as client:
        short = await client.chat(MODEL, ASK)
        small = await client.chat(MODEL, turns, options={"num_ctx": 512})
        large = await client.chat(MODEL, turns[-5:], options={"num_ctx": 8192})
    assert short.prompt_eval_count < small.prompt_eval_count < large.prompt_eval_count


async def test_a_full_queue_is_a_503_string_and_a_failing_stream_is_a_line(llama_url: str) -> None:
    script = Script(Refuse(503), ErrorEvent(after_chunks=1, message="out of memory"))
    async with Served(ollama.app(llama_url, script=script)) as served, connect(served.url) as client:
        busy = await refusal(client.chat(MODEL, ASK))
        with pytest.raises(sdk.ResponseError, match="out of memory"):
            [part async for part in await client.chat(MODEL, ASK, stream=True)]
    assert busy == (503, "server busy, please try again.  maximum pending requests exceeded")


async def test_a_stream_may_end_without_done(llama_url: str) -> None:
    script = Script(NoDone())
    async with Served(ollama.app(llama_url, script=script)) as served, connect(served.url) as client:
        parts = [part async for part in await client.chat(MODEL, ASK, stream=True)]
    assert parts
    assert not any(part.done for part in parts)


async def test_the_root_and_the_version_are_signs_of_life(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, httpx.AsyncClient(base_url=served.url) as client:
        root, head, version = await client.get("/"), await client.head("/"), await client.get("/api/version")
    assert (root.text, head.status_code, version.json()) == ("Ollama is running", 200, {"version": ollama.VERSION})


async def test_the_openai_mapping_answers_and_streams(llama_url: str) -> None:
    async with Served(ollama.app(llama_url)) as served, through_openai(served.url) as client:
        whole = await client.chat.completions.create(model=MODEL, messages=ASK)
        stream = await client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        models = await client.models.list()
    assert (whole.system_fingerprint, whole.choices[0].finish_reason) == ("fp_ollama", "stop")
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert models.data[0].owned_by == "library"


def through_openai(url: str) -> Any:
    return openai.AsyncOpenAI(api_key="ollama", base_url=f"{url}/v1", max_retries=0, timeout=20)


async def test_the_openai_mapping_knows_tools_but_neither_tool_choice_nor_image_urls(llama_url: str) -> None:
    image: Any = [{"type": "image_url", "image_url": {"url": "https://example.org/llama.png"}}]
    async with Served(ollama.app(llama_url)) as served, through_openai(served.url) as client:
        called = await client.chat.completions.create(model=MODEL, messages=ASK, tools=[TOOL], tool_choice="none")
        with pytest.raises(openai.BadRequestError, match="invalid image input"):
            await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": image}])
        with pytest.raises(openai.NotFoundError) as caught:
            await client.chat.completions.create(model="nope", messages=ASK)
    assert called.choices[0].finish_reason == "tool_calls"
    assert json.loads(called.choices[0].message.tool_calls[0].function.arguments).keys() == {"city"}
    assert caught.value.body == {
        "message": "model 'nope' not found",
        "type": "not_found_error",
        "param": None,
        "code": None,
    }


async def test_the_openai_mapping_loses_an_error_half_way(llama_url: str) -> None:
    script = Script(ErrorEvent(after_chunks=1))
    body = {"model": MODEL, "messages": ASK, "stream": True}
    async with Served(ollama.app(llama_url, script=script)) as served, httpx.AsyncClient(base_url=served.url) as client:
        text = (await client.post("/v1/chat/completions", json=body)).text
    assert "error" not in text
    assert "[DONE]" not in text
