"""What only Fireworks does on the wire."""

from typing import Any

import fireworks as sdk
import httpx
import pytest

from gateway.demo.standins import fireworks
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
MODEL = fireworks.MODELS[0]


def connect(url: str) -> Any:
    return sdk.AsyncFireworks(api_key=KEY, base_url=url, max_retries=0, timeout=20)


async def test_the_api_path_answers_like_the_one_its_sdk_uses(llama_url: str) -> None:
    async with Served(fireworks.app(llama_url)) as served, httpx.AsyncClient(base_url=served.url) as client:
        answer = await client.post(
            "/inference/v1/chat/completions",
            json={"model": MODEL, "messages": ASK},
            headers={"authorization": f"Bearer {KEY}"},
        )
    assert answer.json()["choices"][0]["finish_reason"] == "stop"


async def test_a_plain_answer_reports_performance_in_headers(llama_url: str) -> None:
    async with Served(fireworks.app(llama_url)) as served, connect(served.url) as client:
        raw = await client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK)
        answer = await raw.parse()
    assert raw.headers["fireworks-prompt-tokens"] == str(answer.usage.prompt_tokens)
    assert float(raw.headers["fireworks-server-time-to-first-token"]) >= 0
    assert answer.perf_metrics is None


async def test_a_stream_reports_performance_in_its_last_chunk_if_asked(llama_url: str) -> None:
    async with Served(fireworks.app(llama_url)) as served, connect(served.url) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, perf_metrics_in_response=True
        )
        chunks = [chunk async for chunk in stream]
    assert [chunk.perf_metrics is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].perf_metrics["prompt-tokens"] == str(chunks[-1].usage.prompt_tokens)
    assert chunks[-1].choices[0].finish_reason == "stop"


async def test_errors_have_an_upper_case_code(llama_url: str) -> None:
    async with Served(fireworks.app(llama_url)) as served, connect(served.url) as client:
        with pytest.raises(sdk.NotFoundError) as caught:
            await client.chat.completions.create(model="nope", messages=ASK)
    assert caught.value.response.json()["error"]["code"] == "NOT_FOUND"
