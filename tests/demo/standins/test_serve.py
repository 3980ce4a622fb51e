"""A served app answers on its own port and stops in bounded time, whatever is still open."""

import asyncio

import httpx
import pytest
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from gateway.demo.standins import vllm
from gateway.demo.standins.faults import Silent
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

BODY = {"model": vllm.MODELS[0], "messages": [{"role": "user", "content": "Hello"}], "stream": True}


async def test_it_stops_although_a_stream_is_open(llama_url: str) -> None:
    script = Script(Silent(after_chunks=1))
    async with asyncio.timeout(20), httpx.AsyncClient(timeout=20, trust_env=False) as client:
        async with Served(vllm.app(llama_url, script=script)) as served:
            request = client.build_request("POST", f"{served.url}/v1/chat/completions", json=BODY)
            response = await client.send(request, stream=True)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            await response.aread()
    assert script.requests[0].closed.is_set()


async def test_nobody_listens_once_it_has_stopped() -> None:
    async with Served(Starlette()) as served:
        url = served.url
    async with httpx.AsyncClient(trust_env=False) as client:
        with pytest.raises(httpx.ConnectError):
            await client.get(url)


async def test_an_app_that_cannot_start_raises() -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no"})

    with pytest.raises(RuntimeError, match="failed to start"):
        async with Served(broken):
            pass
