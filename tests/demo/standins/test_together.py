"""What only Together does on the wire."""

from typing import Any

import httpx
import pytest
import together as sdk

from gateway.demo.standins import together
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
MODEL = together.MODELS[0]


def connect(url: str) -> Any:
    return sdk.AsyncTogether(api_key=KEY, base_url=url, max_retries=0, timeout=20)


async def test_an_answer_has_an_empty_prompt_and_the_limits_in_its_headers(llama_url: str) -> None:
    async with Served(together.app(llama_url)) as served, connect(served.url) as client:
        raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK)
        answer = await raw.parse()
    assert answer.prompt == []
    assert raw.headers["x-ratelimit-remaining"] == str(together.REQUESTS_PER_MINUTE - 1)


async def test_usage_comes_with_the_last_chunk_unasked(llama_url: str) -> None:
    async with Served(together.app(llama_url)) as served, connect(served.url) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
        chunks = [chunk async for chunk in stream]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert {chunk.choices[0].delta.role for chunk in chunks} == {"assistant"}


async def test_a_stop_sequence_ends_with_stop_and_not_with_eos(llama_url: str) -> None:
    async with Served(together.app(llama_url)) as served, connect(served.url) as client:
        answer = await client.chat.completions.create(model=MODEL, messages=ASK, stop=["a"])
    assert answer.choices[0].finish_reason == "stop"


async def test_the_model_list_is_bare(llama_url: str) -> None:
    async with Served(together.app(llama_url)) as served, httpx.AsyncClient(base_url=served.url) as client:
        models = (await client.get("/v1/models", headers={"authorization": f"Bearer {KEY}"})).json()
    assert [model["id"] for model in models] == list(together.MODELS)
