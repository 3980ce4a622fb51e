"""A script applies its faults in order and remembers what it saw."""

import asyncio

import httpx
import pytest

from gateway.demo.standins import vllm
from gateway.demo.standins.faults import Refuse, Slow
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

CHAT = "/v1/chat/completions"
BODY = {"model": vllm.MODELS[0], "messages": [{"role": "user", "content": "Hello"}]}


def connect(url: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=url, timeout=20, trust_env=False)


async def test_faults_are_used_up_in_order_and_then_otherwise_applies(llama_url: str) -> None:
    script = Script(Refuse(500), None, Refuse(429), otherwise=Refuse(503))
    async with Served(vllm.app(llama_url, script=script)) as served, connect(served.url) as client:
        statuses = [(await client.post(CHAT, json=BODY)).status_code for _ in range(5)]
        script.add(Refuse(504))
        script.otherwise = None
        statuses += [(await client.post(CHAT, json=BODY)).status_code for _ in range(2)]
    assert statuses == [500, 200, 429, 503, 503, 504, 200]


async def test_probes_use_up_no_faults_unless_faults_are_everywhere(llama_url: str) -> None:
    script = Script(Refuse(500))
    async with Served(vllm.app(llama_url, script=script)) as served, connect(served.url) as client:
        healthy = await client.get("/health")
        failed = await client.post(CHAT, json=BODY)
        script.everywhere = True
        script.add(Refuse(503))
        sick = await client.get("/health")
    assert [answer.status_code for answer in (healthy, failed, sick)] == [200, 500, 503]
    assert [seen.path for seen in script.requests] == ["/health", CHAT, "/health"]


async def test_a_request_is_remembered_with_headers_and_body(llama_url: str) -> None:
    script = Script()
    async with Served(vllm.app(llama_url, script=script)) as served, connect(served.url) as client:
        await client.post(CHAT, json=BODY, headers={"X-Trace": "t1"})
    (seen,) = script.generations
    assert (seen.method, seen.path, seen.headers["x-trace"], seen.json) == ("POST", CHAT, "t1", BODY)
    assert (seen.status, seen.chunks, seen.complete, seen.disconnected) == (200, 1, True, False)


async def test_a_client_that_leaves_before_the_headers_is_noticed(llama_url: str) -> None:
    script = Script(Slow())
    app = vllm.app(llama_url, script=script)
    async with asyncio.timeout(20), Served(app) as served, connect(served.url) as client:
        asking = asyncio.create_task(client.post(CHAT, json=BODY))
        await script.arrived(1)
        asking.cancel()
        await script.requests[0].closed.wait()
    assert (script.requests[0].disconnected, script.requests[0].chunks) == (True, 0)
