"""What only Groq does on the wire."""

from typing import Any

import groq as sdk
import pytest

from gateway.demo.standins import groq
from gateway.demo.standins.faults import ErrorEvent, Refuse
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
MODEL = groq.MODELS[0]


def connect(url: str) -> Any:
    return sdk.AsyncGroq(api_key=KEY, base_url=url, max_retries=0, timeout=20)


async def test_usage_of_a_stream_is_inside_x_groq_of_the_last_chunk_only(llama_url: str) -> None:
    async with Served(groq.app(llama_url)) as served, connect(served.url) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
        chunks = [chunk async for chunk in stream]
    marked = [chunk for chunk in chunks if chunk.x_groq]
    assert marked == [chunks[0], chunks[-1]]
    assert marked[0].x_groq.id == marked[1].x_groq.id
    assert marked[0].x_groq.usage is None
    assert marked[1].x_groq.usage.total_time > 0
    assert all(chunk.usage is None for chunk in chunks)


async def test_include_usage_adds_a_chunk_without_choices(llama_url: str) -> None:
    async with Served(groq.app(llama_url)) as served, connect(served.url) as client:
        stream = await client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, extra_body={"stream_options": {"include_usage": True}}
        )
        chunks = [chunk async for chunk in stream]
    assert chunks[-1].choices == []
    assert chunks[-1].usage.total_tokens == chunks[-2].x_groq.usage.total_tokens


async def test_every_answer_reports_the_limits(llama_url: str) -> None:
    async with Served(groq.app(llama_url)) as served, connect(served.url) as client:
        raw = [await client.chat.completions.with_raw_response.create(model=MODEL, messages=ASK) for _ in range(2)]
    left = [int(response.headers["x-ratelimit-remaining-requests"]) for response in raw]
    assert left == [groq.REQUESTS_PER_DAY - 1, groq.REQUESTS_PER_DAY - 2]
    assert raw[0].headers["x-ratelimit-reset-tokens"].endswith("ms")
    assert raw[0].headers["x-request-id"].startswith("req_")
    assert "retry-after" not in raw[0].headers


async def test_a_retired_model_is_a_bad_request_that_says_so(llama_url: str) -> None:
    script = Script(Refuse(400, body=groq.gone(MODEL)))
    async with Served(groq.app(llama_url, script=script)) as served, connect(served.url) as client:
        with pytest.raises(sdk.BadRequestError) as caught:
            await client.chat.completions.create(model=MODEL, messages=ASK)
    assert caught.value.response.json()["error"]["code"] == "model_decommissioned"


async def test_a_failing_stream_says_its_status_in_a_named_event(llama_url: str) -> None:
    script = Script(ErrorEvent(after_chunks=1, status=400, message="Tool choice is required."))
    async with Served(groq.app(llama_url, script=script)) as served, connect(served.url) as client:
        stream = await client.chat.completions.create(model=MODEL, messages=ASK, stream=True)
        with pytest.raises(sdk.APIError) as caught:
            [chunk async for chunk in stream]
    body: Any = caught.value.body
    assert body["status_code"] == 400
