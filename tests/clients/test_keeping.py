"""Two gateways on one Redis in front of a real llama.cpp: what one of them has had answered, the other gives again."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from tests.process import ADMIN_KEY, GatewayProcess
from tests.redis_server import RedisServer
from tests.world import KEY, SMALL, World, backend

SECRET = "a-secret-of-the-tests-0123456789abcdef"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module")
def pair(
    whole: World, redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GatewayProcess, GatewayProcess]]:
    """Two gateways with the same policy and the same store."""
    file: Path = tmp_path_factory.mktemp("pair") / "policy.yaml"
    policy = {
        "version": 1,
        "backends": {"small": backend(whole.servers[0].url, SMALL)},
        "routes": [{"name": "kept", "match": {"model": ["kept"]}, "models": [SMALL], "cache": {"ttl": "1h"}}],
        "callers": {"tests": {"key": KEY}, "others": {"key": "others-key-0123456789abcdef"}},
    }
    file.write_text(json.dumps(policy))
    env = {"GATEWAY_STORE_URL": redis.url, "GATEWAY_SECRET": SECRET}
    with (
        GatewayProcess("serve", "--policy", str(file), env=env) as one,
        GatewayProcess("serve", "--policy", str(file), env=env) as other,
    ):
        yield one, other


def ask(gateway: GatewayProcess, prompt: str, key: str = KEY, headers: Any = None, **fields: Any) -> httpx.Response:
    """An answer of a gateway."""
    body = {"model": "kept", "messages": [{"role": "user", "content": prompt}], **fields}
    given = {"authorization": f"Bearer {key}", **(headers or {})}
    return httpx.post(f"{gateway.data}/v1/chat/completions", json=body, headers=given, timeout=60)


def said(gateway: GatewayProcess, prompt: str, stream: bool) -> str:
    """The same by OpenAI's SDK."""
    client = OpenAI(base_url=f"{gateway.data}/v1", api_key=KEY)
    messages: Any = [{"role": "user", "content": prompt}]
    if not stream:
        return client.chat.completions.create(model="kept", messages=messages).choices[0].message.content or ""
    chunks = list(client.chat.completions.create(model="kept", messages=messages, stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)


Pair = tuple[GatewayProcess, GatewayProcess]


@pytest.mark.parametrize("stream", [False, True])
def test_answer_of_one_gateway_is_a_hit_at_the_other(pair: Pair, stream: bool) -> None:
    prompt = f"Say hello, please ({stream})."
    first = said(pair[0], prompt, stream)
    assert said(pair[1], prompt, stream) == first
    asked: Any = {"stream": True} if stream else {}
    hit = ask(pair[1], prompt, **asked)
    assert hit.headers["x-gateway-cache"] == "hit"
    assert hit.headers["cache-status"].startswith("llama-gateway; hit; ttl=")
    assert 0 <= int(hit.headers["age"]) < 60
    assert ask(pair[1], prompt, key="others-key-0123456789abcdef").headers["x-gateway-cache"] == "miss"


def test_same_requests_at_the_same_time_are_one(pair: Pair) -> None:
    fields: Any = {"stream": True, "max_tokens": 200}
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(pair[0], "Tell me a long story.", **fields), range(8)))
    found = sorted(answer.headers["x-gateway-cache"] for answer in answers)
    assert found.count("miss") == 1
    assert len({answer.text for answer in answers}) == 1


def test_purge_forgets_a_callers_answers_at_both_gateways(pair: Pair) -> None:
    ask(pair[0], "Remember this.")
    assert ask(pair[1], "Remember this.").headers["x-gateway-cache"] == "hit"
    url, headers = f"{pair[1].admin}/admin/cache/purge", {"authorization": f"Bearer {ADMIN_KEY}"}
    assert httpx.post(url, json={"caller": "nobody"}, headers=headers).json() == {"purged": 0}
    assert httpx.post(url, json={"caller": "tests", "route": "kept"}, headers=headers).json()["purged"] >= 1
    assert ask(pair[0], "Remember this.").headers["x-gateway-cache"] == "miss"
    assert httpx.post(url, headers=headers).json()["purged"] >= 1
    assert httpx.post(url, json={"caler": "tests"}, headers=headers).status_code == 422
    assert httpx.post(url).status_code == 401


def test_request_with_a_key_is_done_once_by_both_gateways_together(pair: Pair) -> None:
    once = {"idempotency-key": "order-1", "cache-control": "no-cache, no-store"}
    first = ask(pair[0], "Do this once.", headers=once, temperature=1)
    again = ask(pair[1], "Do this once.", headers=once, temperature=1)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert ask(pair[1], "Do something else.", headers=once).status_code == 422


def test_requests_go_on_without_the_store(pair: Pair, redis: RedisServer) -> None:
    ask(pair[0], "Is the store there?")
    redis.kill()
    answer = ask(pair[0], "Is the store there?", headers={"idempotency-key": "order-2"})
    assert (answer.status_code, answer.headers["x-gateway-cache"]) == (200, "miss")
    assert answer.headers["x-idempotency"] == "unavailable"
