"""Records and outcomes to observe."""

from typing import Any

from gateway.outcomes import Measured, Record, Shadowed
from gateway.types import Price
from tests.routing.samples import deployment, fault, outcome, usage

A = deployment("a", price=Price(1.0, 2.0), id="meta/a")
B = deployment("b", "llama-3.1-8b-instruct", id="meta/b", kind="ollama")
WON = outcome(A, 3.0, first=1.0, usage=usage(100, 21), cost=0.25)
LOST = fault(B, 1.0)


def record(**facts: Any) -> Record:
    """A request that went well, unless told otherwise."""
    usual: dict[str, Any] = {
        "id": "req_1",
        "at": 1_800_000_000.0,
        "outcome": "success",
        "status": 200,
        "duration": 3.0,
        "asked": "auto",
        "original": "auto",
        "caller": "search",
        "stream": True,
        "generation": "g1",
        "route": "chat",
        "deployment": A,
        "attempts": (WON,),
        "cache": "miss",
        "usage": WON.usage,
        "cost": 0.25,
        "ttft": 1.0,
        "overhead": (("request", 0.001), ("response", 0.0002)),
    }
    return Record(**(usual | facts))


def shadowed(**facts: Any) -> Shadowed:
    """A request that was mirrored and whose answers were compared, unless told otherwise."""
    usual: dict[str, Any] = {
        "id": "req_1",
        "route": "chat",
        "outcome": "success",
        "deployment": B,
        "cost": 0.5,
        "answer": Measured(A, 21, 80, 3.0, 1.0, 0.25, ("stop",)),
        "shadow": Measured(B, 42, 160, 6.0, 0.5, 0.5, ("length",), "invalid_json"),
        "ratios": (("length", 2.0), ("ttft", 0.5), ("seconds", 2.0), ("cost", 2.0)),
    }
    return Shadowed(**(usual | facts))
