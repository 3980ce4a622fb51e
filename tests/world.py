"""A whole small world on one machine: real llama.cpp servers, a stand-in that can be told to fail, a gateway."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.demo.fleet import DemoFleet, RunningServer, ServerSpec
from gateway.demo.standins import vllm
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from tests.background import Background
from tests.process import GatewayProcess

KEY = "caller-key-0123456789abcdef"
LIMITED = "limited-key-0123456789abcdef"
SMALL, LARGE = "llama-3.1-8b-instruct", "llama-3.3-70b-instruct"
TROUBLES = 8  # backends that are each one's own
SECRET = "upstream-secret-0123456789abcdef"  # of the stand-in; must never be seen by a caller


@dataclass(frozen=True, slots=True)
class World:
    """Everything that runs."""

    gateway: GatewayProcess
    servers: tuple[RunningServer, ...]
    script: Script  # of the stand-in behind the backend `shaky`
    background: Background
    policy: Path


def backend(url: str, model: str, kind: str = "llama_cpp", **more: Any) -> dict[str, Any]:
    """A backend with one model at an invented price."""
    return {"provider": kind, "url": url, "models": {model: {"id": model, "price": {"input": 1, "output": 2}}}, **more}


def troubled(index: int) -> dict[str, Any]:
    """A route to one backend alone: what befalls it rests nobody else."""
    return {
        "name": f"trouble-{index}",
        "match": {"model": [f"trouble-{index}"]},
        "models": [SMALL],
        "require": {"regions": [f"place-{index}"]},
        "retry": {"attempts": 1},
    }


def preferring(name: str, models: list[str], prefer: list[str], **more: Any) -> dict[str, Any]:
    """A route with a fixed order."""
    return {"name": name, "match": {"model": [name]}, "models": models, "prefer": prefer, **more}


def policy(small: str, large: str, shaky: str, closed: str) -> dict[str, Any]:
    """A policy with routes for each kind of trouble."""
    short = {"api_key": SECRET, "timeouts": {"first_token": "1s", "idle": "1s"}}
    troubles = {
        f"trouble-{index}": backend(shaky, SMALL, "vllm", region=f"place-{index}", **short) for index in range(TROUBLES)
    }
    return {
        "version": 1,
        "backends": {
            "small": backend(small, SMALL),
            "large": backend(large, LARGE),
            "shaky": backend(shaky, SMALL, "vllm", **short),
            "closed": backend(closed, SMALL),
            **troubles,
        },
        "routes": [
            preferring("auto", [SMALL, LARGE], ["small", "large"]),
            preferring("failover", [SMALL], ["closed", "shaky", "small"], retry={"attempts": 3}),
            preferring("shaky-first", [SMALL, LARGE], ["shaky", "small"], retry={"attempts": 2}, mid_stream="error"),
            preferring("cached", [SMALL], ["small"], cache={"ttl": "1h"}),
            *[troubled(index) for index in range(TROUBLES)],
        ],
        "org": {"licence_header": True},
        "callers": {"tests": {"key": KEY}, "limited": {"key": LIMITED, "routes": ["auto"]}},
    }


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """Start everything; end everything."""
    with ExitStack() as stack:
        background = stack.enter_context(Background())
        fleet = DemoFleet()
        specs = (ServerSpec("small", (SMALL,)), ServerSpec("large", (LARGE,)))
        servers = background.run(fleet.start(specs, directory))
        stack.callback(lambda: background.run(fleet.stop()))
        script = Script()
        served = Served(vllm.app(servers[0].url, key=SECRET, models=(SMALL,), script=script))
        background.run(served.__aenter__())
        stack.callback(lambda: background.run(served.__aexit__(None, None, None)))
        file = directory / "policy.yaml"
        text = policy(servers[0].url, servers[1].url, served.url, "http://127.0.0.1:9")
        file.write_text(json.dumps(text))
        gateway = stack.enter_context(GatewayProcess("serve", "--policy", str(file)))
        yield World(gateway, servers, script, background, file)
