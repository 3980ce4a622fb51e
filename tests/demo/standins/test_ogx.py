"""What only OGX does on the wire."""

import httpx
import pytest

from gateway.demo.standins import ogx
from gateway.demo.standins.faults import ErrorEvent

from .openai_sdk import LONG, accepted, failure, said, serve

pytestmark = pytest.mark.asyncio


async def test_openais_sdk_accepts_its_answers(llama_url: str) -> None:
    await accepted(ogx, llama_url)


async def test_an_error_has_a_message_and_nothing_else(llama_url: str) -> None:
    status, body = said(await failure(ogx, llama_url, model="nope"))
    assert (status, body["error"].keys()) == (404, {"message"})
    assert body["error"]["message"].startswith("Model 'nope' not found.")


async def test_what_the_server_behind_it_says_is_quoted(llama_url: str) -> None:
    status, body = said(await failure(ogx, llama_url, messages=LONG))
    assert status == 400
    assert "maximum context length" in body["error"]["message"] and "Error code: 400" in body["error"]["message"]


async def test_an_error_in_a_stream_has_no_code(llama_url: str) -> None:
    error = await failure(ogx, llama_url, ErrorEvent(after_chunks=1), stream=True)
    assert error.body == {"message": "Internal server error: An unexpected error."}


async def test_it_tells_its_version_and_who_serves_a_model(llama_url: str) -> None:
    async with serve(ogx, llama_url) as served, httpx.AsyncClient(base_url=served.url) as client:
        version = (await client.get("/v1/version")).json()
    assert version == {"version": ogx.VERSION}
    assert ogx.MODELS[0].startswith("vllm/")
