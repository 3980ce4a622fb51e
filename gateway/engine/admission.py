"""Whom the gateway takes on: when it is too busy, the least important requests are refused first and at once."""

import asyncio
import os
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gateway.errors import InvalidRequest, Shed
from gateway.types import Class

SHARES: dict[Class, float] = {"critical": 1.0, "default": 0.95, "sheddable": 0.8, "batch": 0.6}  # most important first
LATE: dict[Class, float] = {"critical": 5.0}  # the lag of a loop is cured by refusing the others: of what is too much
HEADER = "x-gateway-class"
LOOK_EVERY = 0.1  # seconds between two looks at the event loop's lag
LAG_SAMPLES = 3  # that must agree: one long step of the loop is no overload
MEMORY_EVERY = 1.0  # seconds between two looks at the memory
RETRY_AFTER = 1.0  # seconds


class Most(NamedTuple):
    """What is too much: requests in flight, seconds of event-loop lag, shares of the memory allowed."""

    in_flight: int = 10_000
    lag: float = 0.1
    memory: float = 0.85
    memory_idle: float = 0.5  # up to which memory says nothing: it stays in use when the load is gone


MOST = Most()


def caps(lag: float, memory: float | None, most: Most = MOST) -> dict[Class, int]:
    """Requests in flight below which each class is taken on, with so many seconds of lag and that share of memory."""
    late = lag / most.lag
    held = 0.0 if memory is None else (memory - most.memory_idle) / (most.memory - most.memory_idle)
    return {
        class_: round(share * most.in_flight) if late < LATE.get(class_, share) and held < share else 0
        for class_, share in SHARES.items()
    }


def class_of(header: str | None, own: Class) -> Class:
    """The class of a request: the caller's own, or a less important one that `x-gateway-class` asks for.

    Nobody raises their own class. Raises InvalidRequest for a word that is no class.
    """
    if header is None:
        return own
    word = header.strip().lower()
    ranks = list(SHARES)
    for rank, class_ in enumerate(ranks):
        if word == class_:
            return ranks[max(rank, ranks.index(own))]
    raise InvalidRequest(f"The header {HEADER} must be one of {', '.join(ranks)}.", param=HEADER)


class Admission:
    """Counts the requests in flight and refuses those that are too many for their class.

    A request pays one comparison: what each class may have is worked out ten times a second, beside the requests.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        most: Most = MOST,
        memory: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.clock = clock
        self.most = most
        self.memory = memory
        self.in_flight = 0
        self.caps = caps(0.0, None, most)
        self.shed: Counter[Class] = Counter()
        self.samples = deque([0.0] * LAG_SAMPLES, maxlen=LAG_SAMPLES)  # seconds that the last looks were late
        self.due = 0.0
        self.timer: asyncio.TimerHandle | None = None

    def enter(self, class_: Class) -> None:
        """One more request; whoever enters leaves. Raises Shed."""
        if self.in_flight >= self.caps[class_]:
            self.shed[class_] += 1
            message = f"The gateway is too busy for requests of class '{class_}'; ask again in {RETRY_AFTER:.0f} s."
            raise Shed(message, retry_after=RETRY_AFTER)
        self.in_flight += 1

    def leave(self) -> None:
        """That request is over."""
        self.in_flight -= 1

    @property
    def lag(self) -> float:
        """Seconds by which the event loop is late, again and again."""
        return min(self.samples)

    def start(self) -> None:
        """Begin to look at the running loop; again is once."""
        if self.timer is None:
            self.set()

    def stop(self) -> None:
        """End it."""
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def set(self) -> None:
        """Set the timer."""
        self.due = self.clock() + LOOK_EVERY
        self.timer = asyncio.get_running_loop().call_later(LOOK_EVERY, self.look)

    def look(self) -> None:
        """The timer: how late it is, how much memory is in use, and what that leaves to each class."""
        self.samples.append(max(0.0, self.clock() - self.due))
        self.caps = caps(self.lag, self.memory(), self.most)
        self.set()


class Memory:
    """The share of the memory allowed (cgroup v2) that this process holds; looked up once a second at most."""

    def __init__(
        self,
        clock: Callable[[], float],
        proc: Path = Path("/proc/self"),
        cgroups: Path = Path("/sys/fs/cgroup"),
    ) -> None:
        self.clock = clock
        self.proc = proc
        self.cgroups = cgroups
        self.known: float | None = None
        self.next = float("-inf")

    def share(self) -> float | None:
        """The share, 1 for all of it; None where there is no limit, or no such files."""
        now = self.clock()
        if now >= self.next:
            self.next = now + MEMORY_EVERY
            self.known = self.read()
        return self.known

    def read(self) -> float | None:
        """The share, as the files have it now."""
        limit, pages = self.limit(), text(self.proc / "statm").split()
        if limit is None or len(pages) < 2:
            return None
        return int(pages[1]) * os.sysconf("SC_PAGE_SIZE") / limit

    def limit(self) -> int | None:
        """Bytes that this process's group may hold, or the groups around it: the least of them."""
        group = next((line[3:] for line in text(self.proc / "cgroup").splitlines() if line.startswith("0::/")), None)
        if group is None:
            return None
        folder = self.cgroups / group.lstrip("/")
        found: list[int] = []
        for place in (folder, *folder.parents):
            if place.is_relative_to(self.cgroups):
                most = text(place / "memory.max").strip()  # digits, or "max"
                found += [int(most)] if most.isdecimal() and int(most) > 0 else []
        return min(found, default=None)


def text(path: Path) -> str:
    """A small file; empty when it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
