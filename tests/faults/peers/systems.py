"""The other gateways, by default and as their documentation tunes them for faults: configuration, command, headers."""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.peers import LITELLM, PORTKEY, Peer
from tests.faults.policies import Back, Cell

TIMEOUT, FIRST_TOKEN = 30, 10  # seconds, where a peer is tuned
RETRIES = 2
COOLDOWN = 5  # seconds: LiteLLM's own default; longer, and it would be late to see that the primary is back
KEY = "sk-wall-6f1d2c3b4a5968778695a4b3c2d1e0f9"
WORTH_RETRYING = (429, 500, 502, 503, 504)
LITELLM_TUNED: Mapping[str, Any] = {
    "num_retries": RETRIES,
    "timeout": TIMEOUT,
    "stream_timeout": FIRST_TOKEN,
    "allowed_fails": 1,  # without it a lone deployment is never cooled down
    "cooldown_time": COOLDOWN,
}
PORTKEY_TUNED: Mapping[str, Any] = {
    "request_timeout": FIRST_TOKEN * 1000,
    "retry": {"attempts": RETRIES, "on_status_codes": WORTH_RETRYING, "use_retry_after_header": True},
}


def group(cell: Cell, back: Back) -> str:
    """The name under which LiteLLM knows a backend: the primary's is what is asked for."""
    return cell.name if back is cell.backs[0] else f"{cell.name}-{back.role}"


def litellm_config(cells: Iterable[Cell], wall: str, tuned: bool) -> str:
    """LiteLLM's configuration (JSON is YAML): each backend a model group, the others of its cell the fallbacks."""
    chosen = list(cells)
    models = [
        {
            "model_name": group(cell, back),
            "litellm_params": {"model": f"openai/{cell.id(back)}", "api_base": f"{wall}/v1", "api_key": KEY},
        }
        for cell in chosen
        for back in cell.backs
    ]
    behind = [{cell.name: [group(cell, back) for back in cell.backs[1:]]} for cell in chosen]
    extra = {**LITELLM_TUNED, "context_window_fallbacks": behind} if tuned else {}
    settings = {"router_settings": {"fallbacks": behind, **extra}, "general_settings": {"master_key": KEY}}
    return json.dumps({"model_list": models, **settings}, indent=1)


def portkey_config(cell: Cell, wall: str, tuned: bool) -> str:
    """Portkey's, which comes with each request: targets in order; tuned, it falls back on failures alone."""
    extra = PORTKEY_TUNED if tuned else {}
    targets = [
        {
            "provider": "openai",
            "api_key": KEY,
            "custom_host": f"{wall}/v1",
            "override_params": {"model": cell.id(back)},
            **extra,
        }
        for back in cell.backs
    ]
    when = {"on_status_codes": [408, *WORTH_RETRYING]} if tuned else {}
    return json.dumps({"strategy": {"mode": "fallback", **when}, "targets": targets}, separators=(",", ":"))


def litellm_command(port: int, folder: Path, cells: Sequence[Cell], wall: str, tuned: bool) -> list[str]:
    """Write its file; the command that serves it."""
    file = folder / "litellm.yaml"
    file.write_text(litellm_config(cells, wall, tuned))
    where = ["--host", "127.0.0.1", "--port", str(port), "--num_workers", "1"]
    return [str(LITELLM.path), "--config", str(file), *where]


def portkey_command(port: int, folder: Path, cells: Sequence[Cell], wall: str, tuned: bool) -> list[str]:
    """It needs no file."""
    return ["node", str(PORTKEY.path), f"--port={port}", "--headless"]


@dataclass(frozen=True, slots=True)
class System:
    """A gateway with a way to configure it."""

    name: str
    peer: Peer
    tuned: bool
    command: Callable[[int, Path, Sequence[Cell], str, bool], list[str]]
    ready: str  # answers 200 when it is
    in_headers: bool = False  # whether its configuration comes with each request

    def headers(self, cell: Cell, wall: str) -> dict[str, str]:
        """What a request for a cell has besides."""
        return {"x_portkey_config": portkey_config(cell, wall, self.tuned)} if self.in_headers else {}


SYSTEMS = {
    system.name: system
    for system in (
        System("litellm", LITELLM, False, litellm_command, "/health/liveliness"),
        System("litellm-tuned", LITELLM, True, litellm_command, "/health/liveliness"),
        System("portkey", PORTKEY, False, portkey_command, "/", in_headers=True),
        System("portkey-tuned", PORTKEY, True, portkey_command, "/", in_headers=True),
    )
}
