"""LiteLLM's proxy: one worker, a key to check, ten deployments of one model, an exact cache where asked for."""

import json
from collections.abc import Sequence
from pathlib import Path

from ..peers import LITELLM, environment
from ..proc import free_port
from .base import Launch

KEY = "sk-bench-6f1d2c3b4a5968778695a4b3c2d1e0f9"  # it refuses to start with a weak one


def config(ports: Sequence[int]) -> dict[str, object]:
    """Its configuration; answers come from the cache only where a request says so."""
    models = [
        {
            "model_name": "bench-model",
            "litellm_params": {
                "model": "openai/bench-model",
                "api_base": f"http://127.0.0.1:{port}/v1",
                "api_key": "x",
            },
        }
        for port in ports
    ]
    cache = {"cache": True, "cache_params": {"type": "local", "mode": "default_off"}}
    return {"model_list": models, "litellm_settings": cache, "general_settings": {"master_key": KEY}}


class LiteLLM:
    """Installed from PyPI into an environment of its own."""

    name = "litellm"

    def prepare(self) -> str | None:
        """Install it unless it is there."""
        return LITELLM.install()

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Write its file (JSON is YAML) and return the command that serves it."""
        port, file = free_port(), folder / "litellm.yaml"
        file.write_text(json.dumps(config(ports), indent=1))
        where = ("--host", "127.0.0.1", "--port", str(port), "--num_workers", "1")
        return Launch(
            argv=(str(LITELLM.path), "--config", str(file), *where),
            port=port,
            ready="/health/liveliness",
            headers=(f"Authorization: Bearer {KEY}",),
            cached_model="bench-model",
            cached={"cache": {"use-cache": True}},
            first_requests=100,
            slow=True,
            env=environment({"LITELLM_LOG": "ERROR"}),
        )
