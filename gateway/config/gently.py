"""Work of a reload, done in a thread so that the loop never waits long for the interpreter."""

import gc
import time
from collections.abc import Callable
from typing import TypeVar

from gateway.config.loading import Loaded

Result = TypeVar("Result")

MOMENT = 0.0002  # seconds
STEPS = (2000, 2, 10**9)  # new objects before a young collection, and how many before an older one


def in_small_steps(work: Callable[[], Result]) -> Result:
    """What the work returns; meanwhile the collector looks through little at a time, and never through everything.

    A collection is one step in which nothing else runs: 0.2 microseconds an object, and a large policy has many.
    """
    usual = gc.get_threshold()
    gc.set_threshold(*STEPS)
    try:
        return work()
    finally:
        gc.set_threshold(*usual)


def breathe() -> None:
    """Leave the interpreter to the loop for a moment."""
    time.sleep(MOMENT)


def dismantle(loaded: list[Loaded]) -> None:
    """Let go of policies piece by piece: at once would be one step in which nothing else runs."""
    while loaded:
        one = loaded.pop()
        policy, spec = one.policy, one.spec
        pieces: list[object] = [] if policy is None else [*policy.routes, *policy.model_routes.values()]
        pieces += [] if spec is None else [*spec.routes, *spec.backends.values()]
        del one, policy, spec
        while pieces:
            pieces.pop()
            breathe()
