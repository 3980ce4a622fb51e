"""Policies for the wall: a cell is one route with backends of its own, so that no cell's faults touch another's."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

MID_STREAM = "splice"  # what the policies ask for when a stream breaks
KEY = "canary-caller-key-0123456789abcdef"
SECRET = "canary-upstream-secret-0123456789abcdef"
SMALL, LARGE = "llama-3.1-8b-instruct", "llama-3.3-70b-instruct"
CONNECT, FIRST_TOKEN, IDLE, TOTAL = 2.0, 12.0, 20.0, 120.0  # seconds, before they are scaled
LETTERS = str.maketrans("0123456789", "abcdefghij")
SHORTEST_CONNECT = 0.5  # seconds that a loopback connection may take on a busy machine


@dataclass(frozen=True, slots=True)
class Back:
    """A backend of a cell."""

    fault: str  # the script that its model id names
    role: str = "primary"
    model: str = SMALL
    kind: str = "vllm"
    context: int = 8192
    url: str | None = None  # of the wall unless another is given
    concurrency: int | None = None
    foreign: bool = False  # whether its url is no way to the stage's wall


@dataclass(frozen=True, slots=True)
class Cell:
    """One route: its backends in the order in which they are preferred."""

    name: str
    backs: tuple[Back, ...]
    attempts: int = 3
    mid_stream: str = MID_STREAM
    total: float = TOTAL

    def id(self, back: Back) -> str:
        """The model id that the wall sees."""
        return f"{back.fault}.{self.name}.{back.role}"

    def role(self, role: str) -> Back:
        """The backend of that role."""
        return next(back for back in self.backs if back.role == role)


def pair(name: str, fault: str, kind: str = "vllm", fallback: str = "ok", **more: Any) -> Cell:
    """A failing backend, and a good one behind it."""
    return Cell(name, (Back(fault, kind=kind), Back(fallback, "fallback")), **more)


def alone(name: str, fault: str, kind: str = "vllm", **more: Any) -> Cell:
    """A failing backend without any other, asked once."""
    return Cell(name, (Back(fault, kind=kind),), **{"attempts": 1, **more})


def region(cell: Cell) -> str:
    """A place of the cell's own, in the form that Bedrock's regions have: digits as letters."""
    return f"eu-{'-'.join(re.findall('[a-z]+', cell.name.lower().translate(LETTERS)))}-1"


def duration(seconds: float) -> str:
    """Seconds as a policy writes them."""
    return f"{max(1, round(seconds * 1000))}ms"


def policy(cells: Iterable[Cell], wall: str, scale: float) -> str:
    """The policy's text (JSON is YAML)."""
    chosen = list(cells)
    backends = {f"{cell.name}-{back.role}": backend(cell, back, wall) for cell in chosen for back in cell.backs}
    timeouts = {
        "connect": duration(max(SHORTEST_CONNECT, CONNECT * scale)),
        "first_token": duration(FIRST_TOKEN * scale),
        "idle": duration(IDLE * scale),
    }
    text = {
        "version": 1,
        "backends": backends,
        "routes": [route(cell, timeouts, scale) for cell in chosen],
        "callers": {"tests": {"key": KEY}},
    }
    return json.dumps(text, indent=1)


def backend(cell: Cell, back: Back, wall: str) -> dict[str, Any]:
    """One backend with one model."""
    served = {"id": cell.id(back), "context": back.context, "price": {"input": 1, "output": 2}}
    limits = {} if back.concurrency is None else {"limits": {"concurrency": back.concurrency}}
    more = {"region": region(cell), "api_key": SECRET, **limits}
    return {"provider": back.kind, "url": back.url or wall, "models": {back.model: served}, **more}


def route(cell: Cell, timeouts: dict[str, str], scale: float) -> dict[str, Any]:
    """The route to a cell's backends alone."""
    return {
        "name": cell.name,
        "match": {"model": [cell.name]},
        "models": sorted({back.model for back in cell.backs}),
        "require": {"regions": [region(cell)]},
        "prefer": [f"{cell.name}-{back.role}" for back in cell.backs],
        "retry": {"attempts": cell.attempts},
        "timeouts": {**timeouts, "total": duration(cell.total * scale)},
        "mid_stream": cell.mid_stream,
    }
