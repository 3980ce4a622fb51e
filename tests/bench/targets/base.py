"""What a target of the benchmark has to tell: how to make it ready, and how to launch it."""

import os
from collections.abc import Mapping, Sequence
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
    missing_model: str | None = None  # the model of which every question is looked for in a cache, and is not there
    cached: Mapping[str, object] = field(default_factory=dict)  # what a request has to say besides, to be answered so
    slow: bool = False  # a crowd comes but once, and is waited for longer
    first_requests: int = 0  # until it runs as it will: asked before anything is measured
    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Target(Protocol):
    """A thing that stands between the caller and the upstream; started and stopped once a round."""

    @property
    def name(self) -> str:
        """Return the word for it on the command line and in the table."""

    def prepare(self) -> str | None:
        """Install what is missing; return why it has to be left out, if it has to."""

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Write its configuration into an empty folder and return how to start it; `ports` are the upstream's."""
