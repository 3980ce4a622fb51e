"""The shared store in every kind of trouble, end to end: gateways of their own processes on a real Redis."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis

from gateway.demo.fleet import DemoFleet, ServerSpec
from tests.background import Background
from tests.process import GatewayProcess
from tests.redis_server import RedisServer
from tests.world import SMALL, backend

SECRET = "pepper-of-the-tests-0123456789abcdef"
KEYS = {name: f"key-of-{name}-0123456789abcdef" for name in ("budgeted", "lenient", "rated", "free", "shared")}
TOKENS = 8  # of an answer
BUDGET = 0.005  # US dollars: less than all requests cost, and more than a few may
HUNG = 5  # seconds, in which anything must be answered


def policy(url: str) -> dict[str, Any]:
    """One backend at a price, and callers with limits of each kind."""
    limits: dict[str, dict[str, Any]] = {
        "budgeted": {"limits": {"usd_per_day": 5}},
        "lenient": {"limits": {"usd_per_day": 5}, "on_store_failure": "local"},
        "rated": {"limits": {"rpm": 100_000, "concurrency": 1000}},
        "free": {},
        "shared": {"limits": {"usd_per_day": BUDGET}},
    }
    return {
        "version": 1,
        "backends": {"small": backend(url, SMALL)},
        "routes": [{"name": "auto", "match": {"model": ["auto"]}, "models": [SMALL]}],
        "callers": {name: {"key": KEYS[name], **more} for name, more in limits.items()},
    }


class Pair:
    """Two gateways on one Redis."""

    def __init__(self, gateways: list[GatewayProcess], redis: RedisServer) -> None:
        self.gateways = gateways
        self.redis = redis
        self.client = httpx.AsyncClient(timeout=HUNG, limits=httpx.Limits(max_connections=400))

    async def ask(self, caller: str, gateway: int = 0) -> httpx.Response:
        """One request; that it is answered in time is part of every test."""
        body = {"model": "auto", "max_tokens": TOKENS, "messages": [{"role": "user", "content": "Hello"}]}
        head = {"authorization": f"Bearer {KEYS[caller]}"}
        url = f"{self.gateways[gateway].data}/v1/chat/completions"
        return await self.client.post(url, json=body, headers=head)

    async def statuses(self) -> dict[str, int]:
        """What each caller gets."""
        return {name: (await self.ask(name)).status_code for name in ("budgeted", "lenient", "rated", "free")}

    async def metric(self, name: str) -> float:
        """A value of the first gateway's metrics; 0 where it is not there."""
        text = (await self.client.get(f"{self.gateways[0].admin}/metrics")).text
        found = [line.rsplit(" ", 1)[1] for line in text.splitlines() if line.startswith(name)]
        return float(found[0]) if found else 0.0

    async def told(self, count: int) -> None:
        """Wait until the log has so many lines of the store."""
        async with asyncio.timeout(HUNG):
            while len(changes(self)) < count:
                await asyncio.sleep(0.02)

    async def up(self, wanted: bool) -> None:
        """Wait until the gateways have noticed."""
        end = time.monotonic() + 20
        while time.monotonic() < end:
            await self.ask("rated")
            if await self.metric('gateway_store_up{store="redis"}') == float(wanted):
                return
            await asyncio.sleep(0.05)
        raise AssertionError("The gateway has not noticed.")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Background, Pair]]:
    """A server, a Redis, two gateways."""
    directory: Path = tmp_path_factory.mktemp("state")
    with ExitStack() as stack:
        background = stack.enter_context(Background())
        fleet = DemoFleet()
        servers = background.run(fleet.start((ServerSpec("small", (SMALL,)),), directory))
        stack.callback(lambda: background.run(fleet.stop()))
        redis = stack.enter_context(RedisServer())
        file = directory / "policy.yaml"
        file.write_text(json.dumps(policy(servers[0].url)))
        gateways = []
        for number in range(2):
            env = {
                "GATEWAY_STORE_URL": redis.url,
                "GATEWAY_SECRET": SECRET,
                "GATEWAY_STATE_DIR": str(directory / f"state-{number}"),
            }
            gateways.append(stack.enter_context(GatewayProcess("serve", "--policy", str(file), env=env)))
        yield background, Pair(gateways, redis)


def changes(pair: Pair) -> list[str]:
    """The lines of the first gateway's log that tell of the store."""
    lines = [line for line in pair.gateways[0].printed if "store.down" in line or "store.up" in line]
    return ["down" if "store.down" in line else "up" for line in lines]


async def through(pair: Pair, count: int) -> int:
    """How many of so many concurrent requests of the shared caller were answered, by both gateways together."""
    found = await asyncio.gather(*[pair.ask("shared", number % 2) for number in range(count)])
    assert {one.status_code for one in found} <= {200, 429}
    refused = [one for one in found if one.status_code == 429]
    assert {one.json()["error"]["code"] for one in refused} <= {"insufficient_quota"}
    return sum(one.status_code == 200 for one in found)


def test_two_gateways_never_spend_more_than_one_budget(world: tuple[Background, Pair]) -> None:
    background, pair = world

    async def scenario() -> None:
        answered = await through(pair, 150)
        spent = 0.0
        for name, value in pair.redis.client.hgetall("gateway:limits:{shared}:caller:shared").items():
            spent = int(value) / 1e9 if name == b"by_day" else spent
        assert 0 < answered < 150
        assert spent <= BUDGET

    background.run(scenario())


@pytest.mark.parametrize("trouble", ["killed", "frozen", "full", "read-only", "password", "emptied"])
def test_a_store_in_trouble_costs_nobody_but_closed_budgets(world: tuple[Background, Pair], trouble: str) -> None:
    background, pair = world

    async def scenario() -> None:
        assert await pair.statuses() == {"budgeted": 200, "lenient": 200, "rated": 200, "free": 200}
        before = len(changes(pair))
        begin(pair.redis, trouble)
        if trouble != "emptied":
            await pair.up(False)
            assert await pair.statuses() == {"budgeted": 503, "lenient": 200, "rated": 200, "free": 200}
            refused = await pair.ask("budgeted")
            assert refused.json()["error"]["code"] == "store_unavailable"
            assert refused.headers["x-should-retry"] == "true"
            assert await pair.metric('gateway_store_fallback_total{store="redis",use="budget"}') > 0
        end(pair.redis, trouble)
        await pair.up(True)
        assert await pair.statuses() == {"budgeted": 200, "lenient": 200, "rated": 200, "free": 200}
        if trouble != "emptied":
            await pair.told(before + 2)
            assert changes(pair)[before:] == ["down", "up"]

    background.run(scenario())


def begin(redis: RedisServer, trouble: str) -> None:
    """Make trouble."""
    if trouble == "killed":
        redis.kill()
    elif trouble == "frozen":
        redis.freeze()
    elif trouble == "full":
        redis.client.config_set("maxmemory", 1)
    elif trouble == "read-only":
        redis.client.replicaof("127.0.0.1", "1")
    elif trouble == "password":
        client = redis.client
        client.config_set("requirepass", "another")
        client.client_kill_filter(_type="normal", skipme=True)
    else:
        redis.client.flushall()
        redis.client.script_flush()


def end(redis: RedisServer, trouble: str) -> None:
    """End it."""
    if trouble == "killed":
        redis.start()
    elif trouble == "frozen":
        redis.thaw()
    elif trouble == "full":
        redis.client.config_set("maxmemory", 0)
    elif trouble == "read-only":
        redis.client.replicaof("NO", "ONE")
    elif trouble == "password":
        Redis(port=redis.port, password="another").config_set("requirepass", "")
