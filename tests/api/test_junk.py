"""Whatever strangers send makes no new series: no model, no key and no path of theirs is a label."""

import asyncio
import time
from collections.abc import MutableMapping
from datetime import date
from typing import Any

import orjson
import pytest

from gateway.app import Gateway, build
from gateway.catalogue import Catalogue
from gateway.config.live import LivePolicy
from gateway.config.loading import read

WARM = 50  # rounds after which every kind of error has come up
KEY = "caller-key-0123456789abcdef"
POLICY = f"""version: 1
backends:
  own: {{provider: vllm, url: "http://127.0.0.1:9", models: {{llama-3.1-8b-instruct: {{id: x}}}}}}
callers:
  team: {{key: {KEY}}}
""".encode()


def scope(method: str, path: str, headers: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """A request as an ASGI server hands it over."""
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("203.0.113.9", 1),
        "server": ("127.0.0.1", 4080),
        "scheme": "http",
        "http_version": "1.1",
    }


async def send(gateway: Gateway, path: str, key: str, model: str) -> int:
    """One request to the data plane; the status."""
    body = orjson.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    headers = [(b"authorization", f"Bearer {key}".encode()), (b"content-length", str(len(body)).encode())]
    statuses: list[int] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def reply(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await gateway.data(scope("POST", path, headers), receive, reply)
    return statuses[0]


async def junk(gateway: Gateway, number: int) -> None:
    """A model, a key and a path that nobody has heard of."""
    chat = "/v1/chat/completions"
    assert await send(gateway, chat, KEY, f"junk-model-{number}") == 404
    assert await send(gateway, chat, f"junk-key-{number}", "auto") in (401, 429)  # it is asked to stop at last
    assert await send(gateway, f"/v1/junk-path-{number}", KEY, "auto") == 404


async def scrape(gateway: Gateway) -> str:
    """What `/metrics` says."""
    sent: list[bytes] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def reply(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            sent.append(message["body"])

    await gateway.admin(scope("GET", "/metrics", []), receive, reply)
    return b"".join(sent).decode()


@pytest.mark.parametrize("count", [5_000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_junk_of_strangers_makes_no_series(count: int) -> None:
    loaded = read(POLICY, "policy.yaml", {}, Catalogue.load(), date(2026, 11, 24))

    async def scenario() -> tuple[str, str]:
        gateway = build(LivePolicy(loaded), "admin-key", clock=time.monotonic)
        for number in range(WARM):
            await junk(gateway, -1 - number)
        before = await scrape(gateway)
        for number in range(count):
            await junk(gateway, number)
        return before, await scrape(gateway)

    before, after = asyncio.run(scenario())
    assert before.count("\n") == after.count("\n")
    assert "junk" not in after
    rejected = 'gateway_requests_total{backend="",model="",outcome="rejected",route=""}'
    assert f"{rejected} {float(2 * (count + WARM))}" in after
