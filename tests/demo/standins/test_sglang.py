"""What only SGLang does on the wire."""

import pytest

from gateway.demo.standins import sglang
from gateway.demo.standins.faults import ErrorEvent, Refuse

from .openai_sdk import ASK, LONG, accepted, connect, failure, said, serve

pytestmark = pytest.mark.asyncio


async def test_openais_sdk_accepts_its_answers(llama_url: str) -> None:
    await accepted(sglang, llama_url)


async def test_an_error_stands_without_a_wrapper(llama_url: str) -> None:
    status, body = said(await failure(sglang, llama_url, messages=LONG))
    assert (status, body["object"], body["type"], body["code"]) == (400, "error", "BadRequest", 400)
    assert body["message"].startswith("The input (9") and "longer than the model's context length (" in body["message"]


async def test_an_error_in_a_stream_has_a_wrapper_and_a_code(llama_url: str) -> None:
    error = await failure(sglang, llama_url, ErrorEvent(after_chunks=1, status=503), stream=True)
    assert isinstance(error.body, dict)
    assert (error.body["code"], error.body["message"]) == (503, "The request queue is full.")


async def test_a_wrong_key_gets_a_string(llama_url: str) -> None:
    assert said(await failure(sglang, llama_url, key="wrong")) == (401, {"error": "Unauthorized"})


async def test_a_full_queue_is_a_503(llama_url: str) -> None:
    status, body = said(await failure(sglang, llama_url, Refuse(503)))
    assert (status, body["message"]) == (503, "The request queue is full.")


async def test_it_says_where_it_stopped(llama_url: str) -> None:
    async with serve(sglang, llama_url) as served, connect(served.url) as client:
        raw = await client.chat.completions.with_raw_response.create(model=sglang.MODELS[0], messages=ASK, max_tokens=2)
    assert raw.http_response.json()["choices"][0]["matched_stop"] is None
