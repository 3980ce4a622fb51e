"""An event loop whose clock moves only when everybody waits: hours pass in microseconds, always in the same way."""

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


class Selector(selectors.DefaultSelector):
    """Instead of waiting, moves the loop's clock; raises when nothing could ever happen again."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready: list[tuple[selectors.SelectorKey, int]] = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise RuntimeError("Everybody waits and no timer is set: this would hang for ever.")
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop in virtual time, which begins at a thousand seconds."""

    def __init__(self) -> None:
        self.now = 1000.0
        selector = Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        """Virtual seconds."""
        return self.now


def run(scenario: Coroutine[Any, Any, Result]) -> Result:
    """What a scenario returns, in virtual time; everything it has left behind is closed."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(scenario)


def now() -> float:
    """The running loop's time: the clock of a scenario."""
    return asyncio.get_running_loop().time()
