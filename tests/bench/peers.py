"""The gateways we compare ourselves with: each installed from its own package index into a folder of its own."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build"
PEERS = BUILD / "peers"
INSTALL_SECONDS = 600
LOCAL = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}  # it fetches nothing when it starts
OURS = ("GATEWAY_", "OTEL_", "LITELLM_", "PORTKEY_")  # settings of whoever measures must not reach what is measured


@dataclass(frozen=True, slots=True)
class Peer:
    """A package of Python's or Node's index, and the program that it brings."""

    name: str  # of its folder
    package: str
    program: str  # below its folder
    node: bool = False
    pins: Mapping[str, str] = field(default_factory=dict)  # versions of what it needs, where the newest breaks it

    @property
    def folder(self) -> Path:
        """Where it is installed."""
        return PEERS / self.name

    @property
    def path(self) -> Path:
        """The program."""
        return self.folder / self.program

    def install(self) -> str | None:
        """Install it unless it is there; why it could not be."""
        if self.path.exists():
            return None
        if self.node and not shutil.which("npm"):
            return "npm is not installed"
        try:
            for argv in self.commands():
                subprocess.run(argv, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=True)
        except subprocess.CalledProcessError as error:
            return f"installing {self.package} failed: {error.stderr.strip()[-300:]}"
        except subprocess.TimeoutExpired:
            return f"installing {self.package} took more than {INSTALL_SECONDS} s"
        return None if self.path.exists() else f"{self.package} brings no {self.program}"

    def commands(self) -> list[list[str]]:
        """What installs it."""
        if self.node:
            where = ["--prefix", str(self.folder)]
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / "package.json").write_text(json.dumps({"overrides": dict(self.pins)}))
            return [["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *where, self.package]]
        pip = [str(self.folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        return [[sys.executable, "-m", "venv", str(self.folder)], [*pip, self.package]]

    def version(self) -> str:
        """What is installed; empty when nothing is."""
        if self.node:
            file = self.folder / "node_modules" / self.package.rpartition("@")[0] / "package.json"
            return str(json.loads(file.read_text())["version"]) if file.exists() else ""
        name = self.package.partition("[")[0].replace("-", "_")
        found = sorted(self.folder.glob(f"lib/python*/site-packages/{name}-*.dist-info"))
        return found[0].name.removesuffix(".dist-info").rpartition("-")[2] if found else ""


LITELLM = Peer("litellm", "litellm[proxy]", "bin/litellm")
PORTKEY = Peer(
    "portkey",
    "@portkey-ai/gateway@1.15.2",
    "node_modules/@portkey-ai/gateway/build/start-server.js",
    node=True,
    pins={"@hono/node-server": "1.13.5"},  # its own repository's; its range allows newer ones, with which all fails
)
SMG = Peer("sglang-router", "sglang-router", "bin/sglang-router")
VLLM_ROUTER = Peer("vllm-router", "vllm-router", "bin/vllm-router")
ALL = (LITELLM, PORTKEY, SMG, VLLM_ROUTER)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Our environment without the settings of any gateway, and with those that keep a peer from fetching anything."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    return {**clean, **LOCAL, **(more or {})}


def versions() -> dict[str, str]:
    """The peers that are installed, and their versions."""
    return {peer.name: version for peer in ALL if (version := peer.version())}
