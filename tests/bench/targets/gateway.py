"""This project's gateway with everything on: key check, limits, ten deployments, four terms, metrics, request log."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from ..peers import environment
from ..proc import free_port
from .base import Launch

KEY = "bench-key-0123456789abcdef0123456789abcdef"
DEPLOYMENTS = 10
CONTEXT = 131_072  # tokens
COMMAND = Path(sys.executable).with_name("llama-gateway")
LIMITS = {"rpm": 1_000_000_000, "tpm": 1_000_000_000, "usd_per_day": 1_000_000}  # counted, and never reached


def _backend(index: int, port: int, context: int) -> dict[str, object]:
    """Return one deployment; their prices differ, so that there is something to choose by."""
    price = {"input": round(0.10 + index / 100, 2), "output": round(0.20 + index / 100, 2)}
    return {
        "provider": "vllm",
        "url": f"http://127.0.0.1:{port}",
        "models": {"llama-3.1-8b-instruct": {"id": "bench-model", "price": price, "context": context}},
    }


def _route(model: str, **extra: object) -> dict[str, object]:
    weights = {"cost": 0.3, "latency": 0.3, "size": 0.2, "failures": 0.2}
    models = ["llama-3.1-8b-instruct"]
    return {"name": model, "match": {"model": [model]}, "models": models, "optimize": weights, **extra}


def policy(ports: Sequence[int], deployments: int = DEPLOYMENTS, context: int = CONTEXT) -> dict[str, object]:
    """Return the policy the gateway is measured with: one plain route, and one that looks into a cache."""
    backends = {f"server-{i}": _backend(i, ports[i % len(ports)], context) for i in range(deployments)}
    return {
        "version": 1,
        "backends": backends,
        "routes": [_route("bench"), _route("bench-cache", cache={"ttl": "1h", "mode": "exact"})],
        "callers": {"bench": {"key": KEY, "limits": LIMITS}},
    }


class Gateway:
    """`llama-gateway serve` from the environment that runs the benchmark."""

    name = "gateway"

    def __init__(self, deployments: int = DEPLOYMENTS, context: int = CONTEXT) -> None:
        self._deployments = deployments
        self._context = context

    def prepare(self) -> str | None:
        """Nothing is installed: `make env` has done it, or not."""
        return None if COMMAND.exists() else f"{COMMAND.name} is not installed beside this Python (make env)"

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Write the policy (JSON is YAML) and return the command that serves it."""
        port, admin_port, file = free_port(), free_port(), folder / "policy.yaml"
        file.write_text(json.dumps(policy(ports, self._deployments, self._context), indent=1))
        listening = ("--port", str(port), "--admin-port", str(admin_port))
        return Launch(
            argv=(str(COMMAND), "serve", "--policy", str(file), *listening),
            port=port,
            ready="/readyz",
            headers=(f"Authorization: Bearer {KEY}",),
            model="bench",
            cached_model="bench-cache",
            missing_model="bench-cache",
            env=environment({"GATEWAY_STATE_DIR": str(folder / "state"), "GATEWAY_DRAIN_ACCEPT_SECONDS": "0"}),
        )
