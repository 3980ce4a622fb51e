"""The routers in Rust of SGLang and vLLM, whose wheels come from PyPI: least loaded of two, no key to check."""

from collections.abc import Sequence
from pathlib import Path

from ..peers import SMG, VLLM_ROUTER, Peer, environment
from ..proc import free_port
from .base import Launch

QUIET = ("--policy", "power_of_two", "--log-level", "error")


class Router:
    """One of them; each server is a worker."""

    def __init__(self, name: str, peer: Peer, verb: tuple[str, ...], ready: str) -> None:
        self.name = name
        self._peer = peer
        self._verb = verb
        self._ready = ready

    def prepare(self) -> str | None:
        """Install it unless it is there."""
        return self._peer.install()

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Return the command that serves it."""
        port = free_port()
        workers = [f"http://127.0.0.1:{worker}" for worker in ports]
        listening = ("--host", "127.0.0.1", "--port", str(port), "--prometheus-port", str(free_port()))
        started = ("--worker-startup-check-interval", "1", "--worker-startup-timeout-secs", "60")
        return Launch(
            argv=(str(self._peer.path), *self._verb, "--worker-urls", *workers, *listening, *QUIET, *started),
            port=port,
            ready=self._ready,
            first_requests=200,
            env=environment(),
        )


def smg() -> Router:
    """SGLang's, called SMG."""
    return Router("smg", SMG, ("launch",), "/readiness")


def vllm_router() -> Router:
    """vLLM's."""
    return Router("vllm-router", VLLM_ROUTER, (), "/health")
