"""How the process ends: not ready at once, no more callers a little later, and time for the answers under way."""

import asyncio
import signal
from typing import NamedTuple, Protocol

import structlog

from gateway.api.server import Listener

log = structlog.get_logger()


class Drain(NamedTuple):
    """Seconds in which callers are still taken after SIGTERM, and then those that running requests get."""

    accept: float = 5.0
    finish: float = 120.0


class Ready(Protocol):
    """Whoever says whether this process is ready."""

    draining: bool


class Leaving:
    """Ends two listeners when it is told to: the callers' first, the admin plane's when that is done."""

    def __init__(self, readiness: Ready, data: Listener, admin: Listener, drain: Drain) -> None:
        self.readiness = readiness
        self.data = data
        self.admin = admin
        self.drain = drain
        data.grace = drain.finish

    def listen(self, loop: asyncio.AbstractEventLoop) -> None:
        """Take over SIGTERM and SIGINT."""
        loop.add_signal_handler(signal.SIGTERM, self.told, self.drain.accept)
        loop.add_signal_handler(signal.SIGINT, self.told, 0.0)  # of somebody at a terminal: no balancer has to notice

    def told(self, accept: float) -> None:
        """A signal: the first one ends in good order, with so many seconds for callers still to come; another at once.

        Load balancers need those seconds to see that this process is not ready any more.
        """
        if self.readiness.draining:
            self.at_once()
            return
        self.readiness.draining = True
        log.info("gateway.draining", accept_seconds=accept, finish_seconds=self.drain.finish)
        self.data.leave()
        if accept > 0 and self.data.started:
            asyncio.get_running_loop().call_later(accept, self.close)
        else:
            self.close()

    def close(self) -> None:
        """Take no more callers."""
        self.data.should_exit = True

    def at_once(self) -> None:
        """Wait for nobody."""
        for one in (self.data, self.admin):
            one.force_exit = one.should_exit = True

    def gone(self) -> None:
        """The callers' listener has ended: nobody is left to look at."""
        log.info("gateway.drained", cut=self.data.cut)
        self.admin.should_exit = True
