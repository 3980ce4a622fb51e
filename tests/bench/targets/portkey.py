"""Portkey's gateway: one process of Node, configured by each request to balance between the servers."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from ..peers import PORTKEY, environment
from ..proc import free_port
from .base import Launch


def config(ports: Sequence[int]) -> str:
    """What each request says: any of the servers."""
    targets = [{"provider": "openai", "api_key": "x", "custom_host": f"http://127.0.0.1:{port}/v1"} for port in ports]
    return json.dumps({"strategy": {"mode": "loadbalance"}, "targets": targets}, separators=(",", ":"))


class Portkey:
    """Installed from npm into a folder of its own."""

    name = "portkey"

    def prepare(self) -> str | None:
        """Install it unless it is there."""
        return PORTKEY.install() if shutil.which("node") else "node is not installed"

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Return the command; its configuration is a header."""
        port = free_port()
        return Launch(
            argv=(shutil.which("node") or "node", str(PORTKEY.path), f"--port={port}", "--headless"),
            port=port,
            ready="/",
            headers=(f"x-portkey-config: {config(ports)}",),
            first_requests=500,
            env=environment({"NODE_ENV": "production"}),
        )
