"""What a target of the benchmark has to tell: how to make it ready, and how to launch it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Launch:
    """A process to start and how to talk to it; it is ready when `ready` answers 200."""

    argv: tuple[str, ...]  # empty: nothing to start, something else listens on the port already
    port: int
    ready: str = "/health"
    path: str = "/v1/chat/completions"
    headers: tuple[str, ...] = ()
    model: str = "bench-model"
    cached_model: str | None = None  # the model whose answers come from an exact cache, if it has one
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Target(Protocol):
    """A thing that stands between the caller and the upstream; started and stopped once a round."""

    @property
    def name(self) -> str:
        """Return the word for it on the command line and in the table."""

    def prepare(self) -> str | None:
        """Install what is missing; return why it has to be left out, if it has to."""

    def launch(self, upstream_port: int, folder: Path) -> Launch:
        """Write its configuration into an empty folder and return how to start it."""
