"""Every fault goes wrong in the one way it is for, and the request after it is answered normally."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.demo.standins import ollama, vllm
from gateway.demo.standins.faults import (
    Cut,
    Drop,
    ErrorEvent,
    Malformed,
    NoDone,
    NoUsage,
    Refuse,
    Silent,
    Slow,
    html_502,
)
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

CHAT = "/v1/chat/completions"
BODY = {"model": vllm.MODELS[0], "messages": [{"role": "user", "content": "Tell me about llamas."}], "seed": 3}
STREAM = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
PATIENCE = 20  # seconds no test needs


@asynccontextmanager
async def upstream(llama_url: str, *faults: Any, **how: Any) -> AsyncIterator[tuple[httpx.AsyncClient, Script]]:
    script = Script(*faults, **how)
    app = vllm.app(llama_url, script=script)
    async with (
        asyncio.timeout(PATIENCE),
        Served(app) as served,
        httpx.AsyncClient(base_url=served.url, timeout=PATIENCE, trust_env=False) as client,
    ):
        yield client, script


def events(text: str) -> list[str]:
    return [event.removeprefix("data: ") for event in text.split("\n\n") if event]


async def test_a_refusal_has_status_headers_and_the_providers_body_or_its_own(llama_url: str) -> None:
    own = Refuse(418, body={"tea": True})
    async with upstream(llama_url, Refuse(503, {"Retry-After": "3"}, message="busy"), own) as (client, _):
        busy, tea, normal = [await client.post(CHAT, json=BODY) for _ in range(3)]
    assert (busy.status_code, busy.headers["retry-after"]) == (503, "3")
    assert busy.json()["error"] == {"message": "busy", "type": "Service Unavailable", "param": None, "code": 503}
    assert (tea.status_code, tea.json()) == (418, {"tea": True})
    assert normal.status_code == 200


async def test_a_proxys_502_is_html(llama_url: str) -> None:
    async with upstream(llama_url, html_502()) as (client, _):
        answer = await client.post(CHAT, json=BODY)
    assert (answer.status_code, answer.headers["content-type"]) == (502, "text/html")
    assert answer.text.startswith("<html>")


async def test_slow_headers_come_when_the_test_says_so(llama_url: str) -> None:
    now = asyncio.Event()
    async with upstream(llama_url, Slow(until=now)) as (client, script):
        waiting = asyncio.create_task(client.post(CHAT, json=BODY))
        await script.arrived(1)
        status_before = script.requests[0].status
        now.set()
        answer = await waiting
    assert status_before is None
    assert answer.status_code == 200


async def test_a_silent_upstream_sends_headers_and_goes_on_when_the_test_says_so(llama_url: str) -> None:
    now = asyncio.Event()
    async with (
        upstream(llama_url, Silent(until=now)) as (client, script),
        client.stream("POST", CHAT, json=STREAM) as response,
    ):
        chunks_before = script.requests[0].chunks
        now.set()
        text = (await response.aread()).decode()
    assert (response.status_code, chunks_before) == (200, 0)
    assert events(text)[-1] == "[DONE]"


async def test_silence_may_fall_after_some_chunks(llama_url: str) -> None:
    async with upstream(llama_url, Silent(after_chunks=2)) as (client, script):
        async with client.stream("POST", CHAT, json=STREAM) as response:
            lines = response.aiter_lines()
            got = [line for line in [await anext(lines) for _ in range(4)] if line]
        await script.requests[0].closed.wait()
    assert len(got) == 2
    assert (script.requests[0].disconnected, script.requests[0].chunks) == (True, 2)


async def test_a_dropped_connection_ends_before_the_headers(llama_url: str) -> None:
    async with upstream(llama_url, Drop()) as (client, script):
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await client.post(CHAT, json=BODY)
        await script.requests[0].closed.wait()
        assert (await client.post(CHAT, json=BODY)).status_code == 200
    assert script.requests[0].status is None
    assert not script.requests[0].disconnected


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
async def test_a_cut_answer_ends_after_its_bytes(llama_url: str, body: dict[str, Any]) -> None:
    async with upstream(llama_url, Cut(after_bytes=40)) as (client, script):
        async with client.stream("POST", CHAT, json=body) as response:
            with pytest.raises(httpx.RemoteProtocolError):
                await response.aread()
        await script.requests[0].closed.wait()
    assert response.num_bytes_downloaded == 40
    assert (script.requests[0].complete, script.requests[0].disconnected) == (False, False)


async def test_an_error_event_comes_under_http_200_after_its_chunks(llama_url: str) -> None:
    async with upstream(llama_url, ErrorEvent(after_chunks=2, status=500, message="out of memory")) as (client, _):
        answer = await client.post(CHAT, json=STREAM)
    *chunks, error, done = events(answer.text)
    assert answer.status_code == 200
    assert len(chunks) == 2
    assert json.loads(error)["error"]["message"] == "out of memory"
    assert done == "[DONE]"


async def test_an_error_event_leaves_a_whole_answer_alone(llama_url: str) -> None:
    async with upstream(llama_url, ErrorEvent()) as (client, _):
        assert (await client.post(CHAT, json=BODY)).json()["choices"]


async def test_one_event_is_malformed_and_the_rest_is_not(llama_url: str) -> None:
    async with upstream(llama_url, Malformed(after_chunks=1)) as (client, _):
        answer = await client.post(CHAT, json=STREAM)
    first, broken, *rest = events(answer.text)
    assert json.loads(first)
    with pytest.raises(ValueError, match=r"line 1"):
        json.loads(broken)
    assert rest[-1] == "[DONE]"


@pytest.mark.parametrize("body", [BODY, STREAM], ids=["whole", "stream"])
async def test_usage_is_missing(llama_url: str, body: dict[str, Any]) -> None:
    async with upstream(llama_url, NoUsage(), None) as (client, _):
        without, normal = [(await client.post(CHAT, json=body)).text for _ in range(2)]
    assert "usage" not in without
    assert "choices" in without
    assert "usage" in normal


async def test_ollamas_counts_are_missing(llama_url: str) -> None:
    script = Script(NoUsage())
    body = {"model": "llama3.1:8b", "messages": BODY["messages"]}
    async with Served(ollama.app(llama_url, script=script)) as served, httpx.AsyncClient(base_url=served.url) as client:
        last = json.loads((await client.post("/api/chat", json=body)).text.splitlines()[-1])
    assert last["done"]
    assert "eval_count" not in last
    assert "total_duration" in last


async def test_done_is_missing_but_the_response_ends_in_good_order(llama_url: str) -> None:
    async with upstream(llama_url, NoDone()) as (client, script):
        answer = await client.post(CHAT, json=STREAM)
    assert json.loads(events(answer.text)[-1])["usage"]
    assert script.requests[0].complete
