"""Faults that only Bedrock and Replicate have, from a caller to their stand-ins and back."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.demo.fleet import DemoFleet, ServerSpec
from gateway.demo.standins import bedrock, replicate
from gateway.demo.standins.faults import Refuse
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from tests.process import GatewayProcess

PATIENCE = 60  # seconds no test needs
MODEL = "llama-3.1-8b-instruct"
AWS = {"AWS_ACCESS_KEY_ID": bedrock.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": bedrock.SECRET_KEY}
FALLBACK = {"provider": "llama_cpp", "models": {MODEL: {"id": MODEL, "context": 8192}}}

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A llama.cpp server behind all stand-ins."""
    fleet = DemoFleet()
    with asyncio.Runner() as runner:
        spec = ServerSpec("faults", (MODEL,))
        (server,) = runner.run(fleet.start([spec], tmp_path_factory.mktemp("toy")))
        yield server.url
        runner.run(fleet.stop())


@dataclass
class Way:
    """A caller's way through a gateway."""

    client: httpx.AsyncClient
    gateway: GatewayProcess

    async def ask(self, stream: bool = False) -> httpx.Response:
        """One answer."""
        body = {"model": "way", "stream": stream, "max_tokens": 16, "messages": [{"role": "user", "content": "Hello."}]}
        return await self.client.post("/v1/chat/completions", json=body)

    async def rows(self) -> list[dict[str, Any]]:
        """What the gateway knows of its requests, the last one first."""
        found: list[dict[str, Any]] = (await self.client.get(f"{self.gateway.admin}/admin/requests")).json()
        return found


@asynccontextmanager
async def replicated(app: Any, tmp_path: Path, llama_url: str) -> AsyncIterator[Way]:
    """A way that leads to a Replicate."""
    async with Served(app) as served, way(tmp_path, replicating(served.url), llama_url, {}) as found:
        yield found


@asynccontextmanager
async def way(tmp_path: Path, first: dict[str, Any], llama_url: str, env: dict[str, str]) -> AsyncIterator[Way]:
    """A gateway that prefers one backend and has another."""
    backends = {"first": first, "second": {**FALLBACK, "url": llama_url}}
    route = {"name": "way", "match": {"model": ["way"]}, "models": [MODEL], "prefer": ["first", "second"]}
    file = tmp_path / "policy.yaml"
    file.write_text(json.dumps({"version": 1, "backends": backends, "routes": [route]}))
    gateway = GatewayProcess("serve", "--policy", str(file), env=env)
    async with asyncio.timeout(PATIENCE):
        await asyncio.to_thread(gateway.__enter__)
        async with httpx.AsyncClient(base_url=gateway.data, timeout=PATIENCE) as client:
            try:
                yield Way(client, gateway)
            finally:
                await asyncio.to_thread(gateway.stop)


def backends_of(answers: list[httpx.Response]) -> list[tuple[int, str]]:
    """Status and backend of each answer."""
    return [(answer.status_code, answer.headers["x-gateway-backend"]) for answer in answers]


def mistimed(directory: Path, seconds: int) -> dict[str, str]:
    """The environment of a process whose clock is wrong by so much."""
    (directory / "sitecustomize.py").write_text(
        f"import time\nright = time.time\ntime.time = lambda: right() + {seconds}\n"
    )
    return {"PYTHONPATH": str(directory)}


@pytest.mark.parametrize("wrong", [-600, 600], ids=["behind", "ahead"])
async def test_wrong_clock_is_learned_of_once_and_no_caller_notices(tmp_path: Path, llama_url: str, wrong: int) -> None:
    script = Script()
    async with Served(bedrock.app(llama_url, script=script)) as served:
        model = {"id": bedrock.ON_DEMAND, "context": 8192}
        first = {"provider": "bedrock", "url": served.url, "region": bedrock.REGION, "models": {MODEL: model}}
        async with way(tmp_path, first, llama_url, {**AWS, **mistimed(tmp_path, wrong)}) as found:
            answers = [await found.ask(stream) for stream in (True, False, True)]
    assert backends_of(answers) == [(200, "first")] * 3
    assert [seen.status for seen in script.generations] == [403, 200, 200, 200]


def replicating(url: str) -> dict[str, Any]:
    """A backend of Replicate's, for a caller who waits a second for the first word."""
    served = {"id": replicate.MODELS[0], "context": 8192}
    return {"provider": "replicate", "url": url, "api_key": KEY, "models": {MODEL: served}}


@pytest.mark.parametrize("stream", [True, False])
async def test_prediction_that_starts_slowly_is_waited_for(tmp_path: Path, llama_url: str, stream: bool) -> None:
    boot, script = asyncio.Event(), Script()
    async with replicated(replicate.app(llama_url, script=script, boot=boot, hold=0.01), tmp_path, llama_url) as found:
        asked = asyncio.create_task(found.ask(stream))
        await script.arrived(1 if stream else 4)  # three looks in vain: it is 'starting'
        boot.set()
        assert backends_of([await asked]) == [(200, "first")]
    assert not [seen for seen in script.requests if seen.path.endswith("/cancel")]


async def test_looks_that_are_refused_for_their_number_are_repeated(tmp_path: Path, llama_url: str) -> None:
    boot = asyncio.Event()
    script = Script(None, Refuse(429, {"retry-after": "0"}), Refuse(429, {"retry-after": "0"}), everywhere=True)
    async with replicated(replicate.app(llama_url, script=script, boot=boot, hold=0.01), tmp_path, llama_url) as found:
        asked = asyncio.create_task(found.ask())
        await script.arrived(3)
        boot.set()
        assert backends_of([await asked]) == [(200, "first")]
    assert [seen.status for seen in script.requests[:3]] == [201, 429, 429]


@pytest.mark.parametrize("end", ["failed", "canceled"])
@pytest.mark.parametrize("stream", [True, False])
async def test_prediction_that_ends_badly_is_answered_by_somebody_else(
    tmp_path: Path, llama_url: str, end: str, stream: bool
) -> None:
    async with replicated(ending(end), tmp_path, llama_url) as found:
        answer = await found.ask(stream)
        (row,) = await found.rows()
    assert backends_of([answer]) == [(200, "second")]
    assert row["attempts"] == 2


@pytest.mark.parametrize("stream", [True, False])
async def test_caller_who_leaves_cancels_the_prediction(tmp_path: Path, llama_url: str, stream: bool) -> None:
    script = Script()
    async with replicated(
        replicate.app(llama_url, script=script, boot=asyncio.Event(), hold=0.01), tmp_path, llama_url
    ) as found:
        asked = asyncio.create_task(found.ask(stream))
        count = 1 if stream else 2
        await script.arrived(count)
        asked.cancel()
        await script.arrived(count + 1)
        while not script.requests[-1].path.endswith("/cancel"):
            await script.arrived(len(script.requests) + 1)
        await script.requests[-1].closed.wait()
        assert script.requests[-1].status == 200


def ending(status: str) -> Any:
    """A Replicate whose predictions all end so."""
    said = {"id": "p1", "status": status, "error": "CUDA out of memory" if status == "failed" else None, "output": None}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return await lifespan(receive, send)
        body = json.dumps({**said, "urls": {}, "model": replicate.MODELS[0], "input": {}}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return app


async def lifespan(receive: Any, send: Any) -> None:
    """Nothing is to be started."""
    for word in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{word}.complete"})
