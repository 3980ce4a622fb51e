"""One timer for one attempt: it ends the wait for an upstream that is silent for too long."""

import asyncio
from collections.abc import Callable
from types import TracebackType

from gateway.errors import FirstTokenTimeout, IdleTimeout, TotalTimeout, UpstreamError

SHORTEST = 0.25  # seconds between two looks while the caller, not the upstream, is being waited for


class Watch:
    """Cancels the wait of the current task when a limit passes, and turns that into the timeout's own error.

    A single loop timer that looks at the time of the last progress when it fires: arming it costs nothing per chunk.
    Only waiting for the upstream counts, never a caller who reads slowly.
    """

    def __init__(
        self, backend: str, first_token: float, idle: float, deadline: float, clock: Callable[[], float]
    ) -> None:
        self.backend = backend
        self.first_token = first_token
        self.idle = idle
        self.deadline = deadline  # of the same clock
        self.clock = clock
        self.begun = self.since = clock()
        self.waited = 0.0  # seconds spent on waiting for the upstream
        self.content = False
        self.waiting = False
        self.error: UpstreamError | None = None
        self.task: asyncio.Task[object] | None = None
        self.handle: asyncio.TimerHandle | None = None

    def arm(self) -> None:
        """Start to watch the current task."""
        self.task = asyncio.current_task()
        self.set(self.begun)

    def disarm(self) -> None:
        """Stop."""
        if self.handle is not None:
            self.handle.cancel()

    def __enter__(self) -> "Watch":
        """The wait for the next piece begins."""
        self.since = self.clock()
        self.waiting = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The wait is over: a cancellation of ours becomes the timeout's error, any other one stays."""
        self.waiting = False
        self.waited += self.clock() - self.since
        if self.error is None or self.task is None:
            return
        error, self.error = self.error, None
        if self.task.uncancel() == 0 and kind is asyncio.CancelledError:
            raise error from exc
        self.set(self.clock())  # the cancellation was swallowed, or is somebody else's

    def progress(self) -> None:
        """There is content: from now on the limit between two pieces counts, which may pass sooner than the first's."""
        if not self.content:
            self.content = True
            if self.handle is not None:
                self.handle.cancel()
                self.set(self.clock())

    def due(self) -> float:
        """When the nearest limit passes."""
        limit = self.since + self.idle if self.content else self.begun + self.first_token
        return min(limit, self.deadline)

    def fire(self) -> None:
        """The timer: either something has moved since it was set, or the wait ends."""
        now = self.clock()
        if not self.waiting or now < self.due():
            self.set(now)
        elif self.task is not None:
            self.error = self.expired(now)
            self.task.cancel()

    def set(self, now: float) -> None:
        """Set the timer to the nearest limit."""
        left = self.due() - now
        seconds = max(0.0, left) if self.waiting else max(SHORTEST, left)
        self.handle = asyncio.get_running_loop().call_later(seconds, self.fire)

    def expired(self, now: float) -> UpstreamError:
        """The error of the limit that has passed."""
        if now >= self.deadline:
            return TotalTimeout("The time for this request is used up; ask for less, or allow more time.")
        if self.content:
            return IdleTimeout(f"Backend '{self.backend}' stopped in the middle of its answer ({self.idle:g} s).")
        return FirstTokenTimeout(f"Backend '{self.backend}' sent no content within {self.first_token:g} s.")
