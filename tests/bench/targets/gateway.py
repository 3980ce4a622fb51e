"""This project's gateway with everything on: key check, a policy of ten deployments, metrics, request log."""

import json
import os
import sys
from pathlib import Path

from ..proc import free_port
from .base import Launch

KEY = "bench-key-0123456789abcdef0123456789abcdef"
DEPLOYMENTS = 10
COMMAND = Path(sys.executable).with_name("llama-gateway")
OURS = ("GATEWAY_", "OTEL_")  # settings of whoever runs the benchmark must not reach the process measured


def _backend(index: int, upstream_port: int) -> dict[str, object]:
    """Return one deployment; their prices differ, so that there is something to choose by."""
    price = {"input": round(0.10 + index / 100, 2), "output": round(0.20 + index / 100, 2)}
    return {
        "provider": "vllm",
        "url": f"http://127.0.0.1:{upstream_port}",
        "models": {"llama-3.1-8b-instruct": {"id": "bench-model", "price": price}},
    }


def _route(model: str, **extra: object) -> dict[str, object]:
    weights = {"cost": 0.4, "latency": 0.4, "size": 0.2}
    models = ["llama-3.1-8b-instruct"]
    return {"name": model, "match": {"model": [model]}, "models": models, "optimize": weights, **extra}


def policy(upstream_port: int) -> dict[str, object]:
    """Return the policy the gateway is measured with: one plain route and one that caches."""
    return {
        "version": 1,
        "backends": {f"server-{i}": _backend(i, upstream_port) for i in range(DEPLOYMENTS)},
        "routes": [_route("bench"), _route("bench-cache", cache={"ttl": "1h", "mode": "exact"})],
        "callers": {"bench": {"key": KEY}},
    }


class Gateway:
    """`llama-gateway serve` from the environment that runs the benchmark."""

    name = "gateway"

    def prepare(self) -> str | None:
        """Nothing is installed: `make env` has done it, or not."""
        return None if COMMAND.exists() else f"{COMMAND.name} is not installed beside this Python (make env)"

    def launch(self, upstream_port: int, folder: Path) -> Launch:
        """Write the policy (JSON is YAML) and return the command that serves it."""
        port, admin_port, file = free_port(), free_port(), folder / "policy.yaml"
        file.write_text(json.dumps(policy(upstream_port), indent=1))
        env = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        ports = ("--port", str(port), "--admin-port", str(admin_port))
        return Launch(
            argv=(str(COMMAND), "serve", "--policy", str(file), *ports),
            port=port,
            ready="/readyz",
            headers=(f"Authorization: Bearer {KEY}",),
            model="bench",
            cached_model="bench-cache",
            env={**env, "GATEWAY_STATE_DIR": str(folder / "state")},
        )
