"""What only LM Studio does on the wire."""

from typing import Any

import httpx
import pytest

from gateway.demo.standins import lmstudio
from gateway.demo.standins.hosted import KEY

from .openai_sdk import LONG, TOOL, accepted, failure, said, serve

pytestmark = pytest.mark.asyncio


async def test_openais_sdk_accepts_its_answers(llama_url: str) -> None:
    await accepted(lmstudio, llama_url)


async def test_an_error_is_a_string(llama_url: str) -> None:
    status, body = said(await failure(lmstudio, llama_url, messages=LONG))
    assert status == 400
    assert body["error"].startswith("The number of tokens to keep from the initial prompt is greater than the context")


async def test_a_stream_is_refused_under_status_200(llama_url: str) -> None:
    asked: Any = {"model": lmstudio.MODELS[0], "messages": LONG, "stream": True}
    headers = {"authorization": f"Bearer {KEY}"}
    async with serve(lmstudio, llama_url) as served, httpx.AsyncClient(base_url=served.url, headers=headers) as client:
        answer = await client.post("/v1/chat/completions", json=asked)
    assert answer.status_code == 200
    assert answer.text.startswith('event: error\ndata: {"error":{"message":"The number of tokens to keep')


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}},
            "Invalid tool_choice type: 'object'. Supported string values: none, auto, required",
        ),
        ({"response_format": {"type": "json_object"}}, "'response_format.type' must be 'json_schema' or 'text'"),
    ],
    ids=["named tool", "json_object"],
)
async def test_it_does_not_know_every_form_of_a_wish(llama_url: str, asked: dict[str, Any], sentence: str) -> None:
    assert said(await failure(lmstudio, llama_url, **asked)) == (400, {"error": sentence})


async def test_a_model_it_does_not_have_and_a_wrong_key_get_an_object(llama_url: str) -> None:
    status, body = said(await failure(lmstudio, llama_url, model="nope"))
    assert (status, body["error"]["code"]) == (404, "model_not_found")
    status, body = said(await failure(lmstudio, llama_url, key="wrong"))
    assert (status, body["error"]["message"]) == (401, "Invalid LM Studio API token")


async def test_its_own_list_of_models_says_more(llama_url: str) -> None:
    async with serve(lmstudio, llama_url) as served, httpx.AsyncClient(base_url=served.url) as client:
        (row,) = (await client.get("/api/v0/models")).json()["data"]
    assert (row["state"], row["loaded_context_length"]) == ("loaded", lmstudio.CONTEXT)
