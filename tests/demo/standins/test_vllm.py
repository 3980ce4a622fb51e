"""What only vLLM does on the wire."""

from typing import Any

import httpx
import openai as sdk
import pytest

from gateway.demo.standins import vllm
from gateway.demo.standins.faults import Refuse
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
MODEL = vllm.MODELS[0]
CHAT = "/v1/chat/completions"


def connect(url: str) -> Any:
    return sdk.AsyncOpenAI(api_key="none", base_url=f"{url}/v1", max_retries=0, timeout=20)


async def test_usage_of_a_stream_comes_only_if_asked_for_and_in_a_chunk_of_its_own(llama_url: str) -> None:
    async with Served(vllm.app(llama_url)) as served, connect(served.url) as client:
        plain = [chunk async for chunk in await client.chat.completions.create(model=MODEL, messages=ASK, stream=True)]
        asked = await client.chat.completions.create(
            model=MODEL, messages=ASK, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in asked]
    assert all(chunk.usage is None for chunk in plain)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.completion_tokens > 0


async def test_a_wrong_key_gets_a_string_and_health_stays_open(llama_url: str) -> None:
    async with Served(vllm.app(llama_url, key="k")) as served, httpx.AsyncClient(base_url=served.url) as client:
        refused = await client.post(CHAT, json={"model": MODEL, "messages": ASK})
        healthy = await client.get("/health")
    assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
    assert (healthy.status_code, healthy.content) == (200, b"")


async def test_an_unknown_model_has_an_integer_code(llama_url: str) -> None:
    async with Served(vllm.app(llama_url)) as served, httpx.AsyncClient(base_url=served.url) as client:
        error = (await client.post(CHAT, json={"model": "nope", "messages": ASK})).json()["error"]
    assert (error["code"], error["type"], error["param"]) == (404, "NotFoundError", "model")
    assert error["message"].startswith("The model `nope` does not exist.")


async def test_a_busy_engine_answers_503_without_retry_after(llama_url: str) -> None:
    script = Script(Refuse(503))
    async with Served(vllm.app(llama_url, script=script)) as served, connect(served.url) as client:
        with pytest.raises(sdk.InternalServerError) as caught:
            await client.chat.completions.create(model=MODEL, messages=ASK)
    assert caught.value.response.json()["error"]["type"] == "Service Unavailable"
    assert "retry-after" not in caught.value.response.headers


async def test_a_request_id_becomes_part_of_the_answers_id_and_an_alias_is_answered_by_name(llama_url: str) -> None:
    app = vllm.app(llama_url, models=(MODEL, "llama"))
    async with Served(app) as served, connect(served.url) as client:
        answer = await client.chat.completions.create(
            model="llama", messages=ASK, extra_headers={"X-Request-Id": "abc"}
        )
    assert (answer.id, answer.model) == ("chatcmpl-abc", MODEL)


async def test_it_counts_finished_requests_as_vllm_does(llama_url: str) -> None:
    async with Served(vllm.app(llama_url)) as served, connect(served.url) as client:
        await client.chat.completions.create(model=MODEL, messages=ASK)
        async for _ in await client.chat.completions.create(model=MODEL, messages=ASK, stream=True):
            pass
        async with httpx.AsyncClient(base_url=served.url) as plain:
            metrics = (await plain.get("/metrics")).text
    labels = f'{{engine="0",model_name="{MODEL}"}}'
    for name in ("time_to_first_token", "inter_token_latency", "e2e_request_latency", "request_queue_time"):
        assert f"vllm:{name}_seconds_count{labels} 2.0" in metrics
    assert f'vllm:request_success_total{{engine="0",finished_reason="stop",model_name="{MODEL}"}} 2.0' in metrics
    assert f"vllm:prefix_cache_hits_total{labels}" in metrics


async def test_it_tells_its_version_models_load_metrics_and_token_counts(llama_url: str) -> None:
    async with Served(vllm.app(llama_url)) as served, httpx.AsyncClient(base_url=served.url) as client:
        model = (await client.get("/v1/models")).json()["data"][0]
        version = (await client.get("/version")).json()
        load = (await client.get("/load")).json()
        metrics = (await client.get("/metrics")).text
        tokens = (await client.post("/tokenize", json={"model": MODEL, "prompt": "The llama"})).json()
    assert (model["owned_by"], model["max_model_len"], model["root"]) == ("vllm", vllm.CONTEXT, MODEL)
    assert version == {"version": vllm.VERSION}
    assert load["server_load"] >= 0
    assert f'vllm:num_requests_waiting{{engine="0",model_name="{MODEL}"}} 0.0' in metrics
    assert tokens["count"] == len(tokens["tokens"]) > 1
