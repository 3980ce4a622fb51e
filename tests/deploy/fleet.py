"""A gateway and its upstreams, made so that every metric has something to say."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from gateway.demo.fleet import DemoFleet, ServerSpec
from gateway.demo.standins import ollama, together, vllm
from gateway.demo.standins.faults import Refuse, Slow
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from tests.background import Background
from tests.process import GatewayProcess
from tests.redis_server import RedisServer

SMALL, LARGE = "llama-3.1-8b-instruct", "llama-3.3-70b-instruct"
KEYS = {
    "search": "search-key-0123456789abcdef",
    "support": "support-key-0123456789abcdef",
    "hasty": "hasty-key-0123456789abcdef",
}
LIMITS = {"support": {"usd_per_day": 0.05}, "hasty": {"rpm": 2}}
HOSTED_KEY = "together-key-0123456789abcdef"
SECRET = "secret-of-the-tests-0123456789abcdef0123456789"
HELD_SECONDS = 0.3  # for which the one place of a backend is taken
OLLAMA_ID = "llama3.1:8b"


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that runs."""

    gateway: GatewayProcess
    scripts: dict[str, Script]  # of the stand-ins, by backend
    targets: dict[str, str]  # what Prometheus scrapes, by job
    redis: RedisServer


def route(name: str, models: list[str], prefer: list[str], **more: Any) -> dict[str, Any]:
    """A route under its own name, with a fixed order."""
    return {"name": name, "match": {"model": [name]}, "models": models, "prefer": prefer, **more}


def routes() -> list[dict[str, Any]]:
    """One for each thing that a metric counts."""
    once, house = {"attempts": 1}, {"require": {"location": "hosted"}}
    return [
        route("chat", [SMALL], ["gpu", "hosted"]),
        route("laptop", [SMALL], ["laptop"]),
        route("small", [SMALL, LARGE], ["hosted", "gpu"], size="smallest", **house),
        route("careful", [SMALL, LARGE], ["hosted"], size="smallest", escalate=["invalid_json"], **house),
        route("failover", [SMALL], ["closed", "gpu"]),
        route("shaky", [SMALL], ["shaky"], require={"regions": ["moon"]}, retry=once, mid_stream="error"),
        route("narrow", [SMALL], ["narrow"], require={"regions": ["alley"]}, retry=once),
        route("tired", [SMALL], ["tired"], require={"regions": ["bed"]}, retry=once),
        route("cached", [SMALL], ["hosted"], cache={"ttl": "1h"}),
        route("rush", [SMALL], ["self_hosted"], burst={"when": {"ttft": "1ms"}, "back_below": "1ms"}),
        route("compared", [SMALL], ["gpu"], shadow={"models": [LARGE], "share": 1}),
        {
            "name": "broken",
            "match": {"model": ["broken"], "when": "size(request.messages) != 2 || request.messages[1].name == 'a'"},
            "models": [SMALL],
        },
    ]


def policy(urls: dict[str, str]) -> dict[str, Any]:
    """The policy of the fleet; `urls` by backend."""
    retires = (datetime.now(UTC) + timedelta(days=9)).date().isoformat()
    small, large = {"input": 1.0, "output": 1.0}, {"input": 9.0, "output": 9.0}
    return {
        "version": 1,
        "backends": {
            "gpu": {"provider": "vllm", "url": urls["gpu"], "models": {SMALL: {"id": SMALL}}},
            "laptop": {"provider": "ollama", "url": urls["laptop"], "models": {SMALL: {"id": OLLAMA_ID}}},
            "hosted": {
                "provider": "together",
                "url": urls["hosted"],
                "api_key": HOSTED_KEY,
                "models": {
                    SMALL: {"id": SMALL, "price": small, "retires": retires},
                    LARGE: {"id": LARGE, "price": large},
                },
            },
            "shaky": {"provider": "vllm", "url": urls["shaky"], "region": "moon", "models": {SMALL: {"id": SMALL}}},
            "narrow": {
                "provider": "vllm",
                "url": urls["narrow"],
                "region": "alley",
                "models": {SMALL: {"id": SMALL}},
                "limits": {"concurrency": 1},
            },
            "tired": {"provider": "vllm", "url": urls["tired"], "region": "bed", "models": {SMALL: {"id": SMALL}}},
            "closed": {"provider": "vllm", "url": urls["closed"], "models": {SMALL: {"id": SMALL}}},
        },
        "routes": routes(),
        "callers": {name: {"key": key, "limits": LIMITS.get(name, {})} for name, key in KEYS.items()},
    }


@contextmanager
def fleet(directory: Path) -> Iterator[Fleet]:
    """Start everything; end everything."""
    with ExitStack() as stack:
        background = stack.enter_context(Background())
        servers = DemoFleet()
        (server,) = background.run(servers.start((ServerSpec("small", (SMALL,), slots=4),), directory))
        stack.callback(lambda: background.run(servers.stop()))
        scripts = {name: Script() for name in ("gpu", "laptop", "hosted", "shaky")}
        scripts["tired"] = Script(otherwise=Refuse(429, {"retry-after": "60"}))
        scripts["narrow"] = Script(otherwise=Slow(seconds=HELD_SECONDS))

        def served(app: ASGIApp) -> str:
            one = Served(app)
            background.run(one.__aenter__())
            stack.callback(lambda: background.run(one.__aexit__(None, None, None)))
            return one.url

        urls = {
            "gpu": served(vllm.app(server.url, models=(SMALL,), script=scripts["gpu"])),
            "laptop": served(ollama.app(server.url, script=scripts["laptop"])),
            "hosted": served(together.app(server.url, key=HOSTED_KEY, models=(SMALL, LARGE), script=scripts["hosted"])),
            "shaky": served(vllm.app(server.url, models=(SMALL,), script=scripts["shaky"])),
            "narrow": served(vllm.app(server.url, models=(SMALL,), script=scripts["narrow"])),
            "tired": served(vllm.app(server.url, models=(SMALL,), script=scripts["tired"])),
            "closed": "http://127.0.0.1:9",
        }
        file = directory / "policy.yaml"
        file.write_text(json.dumps(policy(urls)))
        redis = stack.enter_context(RedisServer())
        env = {"GATEWAY_STORE_URL": redis.url, "GATEWAY_SECRET": SECRET}
        gateway = stack.enter_context(GatewayProcess("serve", "--policy", str(file), env=env))
        targets = {"llama-gateway": gateway.admin, "vllm": urls["gpu"], "llama_cpp": server.url}
        yield Fleet(gateway, scripts, targets, redis)
