"""Who is next at a backend that is full: by class, then by turns between callers. What is full, the statistics say."""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from gateway.engine.admission import SHARES
from gateway.errors import Shed
from gateway.routing.book import StatsBook
from gateway.types import Backend, Class, Deployment

LATE = 0.5  # seconds in the queue that are long ...
LASTING = 1.0  # ... and if they are for so many seconds, the newest goes first: the oldest may be given up by then
WEIGHT = 0.2  # of a new sample in the moving average of the pace
BATCH_WAIT = 30.0  # seconds that a request of class batch waits at least: nobody sits in front of it
RETRY_LEAST, RETRY_MOST = 1.0, 30.0  # seconds of a Retry-After


class Place(NamedTuple):
    """What is waited for, by whom and until when, by the clock."""

    deployment: Deployment
    class_: Class
    caller: str
    deadline: float


class Waiter:
    """One request in the queue; the future is done when it has a slot, or an error."""

    __slots__ = ("arrived", "future", "place")

    def __init__(self, place: Place, arrived: float) -> None:
        self.place = place
        self.arrived = arrived
        self.future: asyncio.Future[None] = asyncio.get_running_loop().create_future()


Waiters = OrderedDict[Waiter, None]  # in order of arrival


class Line:
    """The waiters of one class."""

    def __init__(self, late: float, lasting: float) -> None:
        self.late = late
        self.lasting = lasting
        self.all = Waiters()
        self.callers: OrderedDict[str, Waiters] = OrderedDict()  # whose turn it is comes first
        self.late_since: float | None = None

    def add(self, waiter: Waiter) -> None:
        """One more; a caller who was not waiting has their turn after those who were."""
        self.all[waiter] = None
        self.callers.setdefault(waiter.place.caller, Waiters())[waiter] = None

    def remove(self, waiter: Waiter) -> None:
        """One less; nothing if it is gone already."""
        if waiter not in self.all:
            return
        del self.all[waiter]
        theirs = self.callers[waiter.place.caller]
        del theirs[waiter]
        if not theirs:
            del self.callers[waiter.place.caller]
        if not self.all:
            self.late_since = None

    def take(self, now: float, fits: Callable[[Deployment], bool]) -> Waiter | None:
        """The next one whose deployment takes one more, taken out; None when there is none."""
        if not self.all:
            return None
        waiter = self.next(self.lags(now), fits)
        if waiter is not None:
            if not waiter.future.done():  # else it was cancelled a moment ago, which costs nobody's turn
                self.callers.move_to_end(waiter.place.caller)
            self.remove(waiter)
        return waiter

    def next(self, newest: bool, fits: Callable[[Deployment], bool]) -> Waiter | None:
        """The next one whose deployment takes one more: of each caller in turn the oldest first, or the newest."""
        for theirs in self.callers.values():
            for waiter in reversed(theirs) if newest else theirs:
                if fits(waiter.place.deployment):
                    return waiter
        return None

    def crowd(self, caller: str) -> Waiter | None:
        """The newest waiter of whoever has most of them; None if the caller would then have as many."""
        most = max(self.callers.values(), key=len, default=Waiters())
        fair = len(most) > len(self.callers.get(caller, ())) + 1
        return next(reversed(most)) if fair else None

    def lags(self, now: float) -> bool:
        """Whether somebody has been waiting for too long, for longer than a moment."""
        since = next(iter(self.all)).arrived + self.late
        if now <= since:
            self.late_since = None
            return False
        self.late_since = since if self.late_since is None else self.late_since
        return now - self.late_since > self.lasting


class Queue:
    """Those who wait for one backend; every class has its share of the `depth`.

    A slot is handed from one to the next without being free between them: while somebody waits for it, none is free.
    """

    def __init__(
        self,
        backend: Backend,
        book: StatsBook,
        clock: Callable[[], float],
        late: float = LATE,
        lasting: float = LASTING,
    ) -> None:
        self.backend = backend
        self.book = book
        self.clock = clock
        self.waiting = 0
        self.lines: dict[Class, Line] = {class_: Line(late, lasting) for class_ in SHARES}
        self.shed: Counter[Class] = Counter()
        self.pace = 0.0  # seconds between two slots that became free while somebody waited
        self.moved = 0.0  # when the queue began, or last moved

    def takes(self, deployment: Deployment) -> bool:
        """Whether a deployment takes one more request now: by its backend's limit, and by what it bears itself."""
        book, limit = self.book, self.backend.concurrency
        if limit is not None and book.in_flight.get(self.backend.name, 0) >= limit:
            return False
        bears = book.limit(deployment)
        return bears is None or book.asked.get(deployment.name, 0) < bears

    async def slot(self, place: Place) -> None:
        """Wait for a slot, which is then held in the statistics until the attempt starts. Raises Shed."""
        if self.takes(place.deployment):
            self.book.take(place.deployment)
        else:
            await self.wait(place)

    def give_back(self, deployment: Deployment) -> None:
        """A slot that was held is not needed: the next in the queue has it, if there is one."""
        self.book.untake(deployment)
        self.freed()

    def freed(self) -> None:
        """A request to the backend is over."""
        if self.waiting:
            now = self.clock()
            self.pace += WEIGHT * (now - self.moved - self.pace)
            self.moved = now
            self.hand(now)

    def resize(self, backend: Backend) -> None:
        """The backend as a new policy has it: more slots are handed out at once, fewer as they are given back."""
        self.backend = backend
        self.hand(self.clock())

    async def wait(self, place: Place) -> None:
        """Wait in the queue."""
        waiter = self.join(place)
        timer = asyncio.get_running_loop().call_later(place.deadline - waiter.arrived, self.expire, waiter)
        try:
            await waiter.future
        except asyncio.CancelledError:
            self.abandon(waiter)
            raise
        finally:
            timer.cancel()

    def join(self, place: Place) -> Waiter:
        """The new waiter; raises Shed when there is no room, or no time, for it."""
        now = self.clock()
        if place.deadline <= now:
            raise self.refusal(place.class_, "and there is no time to wait")
        if not self.room(place):
            raise self.refusal(place.class_, "and so is the queue for it")
        if self.waiting >= self.share(place.class_):
            self.make_room(place)
        if not self.waiting:
            self.moved = now
        waiter = Waiter(place, now)
        self.lines[place.class_].add(waiter)
        self.waiting += 1
        return waiter

    def share(self, class_: Class) -> int:
        """Places of the queue up to which a class may fill it."""
        return ceil(self.backend.queue * SHARES[class_])

    def room(self, place: Place) -> bool:
        """Whether there is room for one more; somebody else has to make it, if the queue is full and that is fair."""
        return self.waiting < self.share(place.class_) or self.least(place) is not None

    def make_room(self, place: Place) -> None:
        """Drop whoever has to make room."""
        last = self.least(place)
        if last is not None:
            self.drop(last, "and others need its queue more")

    def least(self, place: Place) -> Waiter | None:
        """Who would make room: the newest of the least important class, or of a caller who has more in the queue."""
        for lower, line in reversed(self.lines.items()):
            if lower == place.class_:
                return line.crowd(place.caller)
            if line.all:
                return next(reversed(line.all))
        return None

    def hand(self, now: float) -> None:
        """Give free slots to those who are next."""
        while self.waiting and (waiter := self.next(now)) is not None:
            self.waiting -= 1
            if not waiter.future.done():
                self.book.take(waiter.place.deployment)
                waiter.future.set_result(None)

    def next(self, now: float) -> Waiter | None:
        """The next waiter that can have a slot, taken out of its line."""
        limit = self.backend.concurrency
        if limit is not None and self.book.in_flight.get(self.backend.name, 0) >= limit:
            return None
        found = (line.take(now, self.takes) for line in self.lines.values())
        return next((waiter for waiter in found if waiter is not None), None)

    def expire(self, waiter: Waiter) -> None:
        """The timer: the waiter's deadline has passed."""
        if not waiter.future.done():
            self.drop(waiter, "and stayed so for as long as this request could wait")

    def drop(self, waiter: Waiter, reason: str) -> None:
        """End the wait of one that gets no slot."""
        self.leave(waiter)
        if not waiter.future.done():
            waiter.future.set_exception(self.refusal(waiter.place.class_, reason))

    def abandon(self, waiter: Waiter) -> None:
        """The waiter's task was cancelled: a slot that it was given a moment ago goes to the next."""
        if waiter.future.cancelled():
            self.leave(waiter)
        elif waiter.future.exception() is None:
            self.give_back(waiter.place.deployment)

    def leave(self, waiter: Waiter) -> None:
        """Take a waiter out of its line, unless it was taken out already."""
        line = self.lines[waiter.place.class_]
        self.waiting -= waiter in line.all
        line.remove(waiter)

    def refusal(self, class_: Class, reason: str) -> Shed:
        """The error for one that gets no slot, with the time that those who wait may take; it is counted."""
        self.shed[class_] += 1
        seconds = min(RETRY_MOST, max(RETRY_LEAST, self.waiting * self.pace))
        message = f"Backend '{self.backend.name}' is busy, {reason}; ask again in {seconds:.0f} s."
        return Shed(message, retry_after=seconds)


class Queues:
    """The queue of each backend that somebody has waited for."""

    def __init__(self, book: StatsBook, clock: Callable[[], float]) -> None:
        self.book = book
        self.clock = clock
        self.all: dict[str, Queue] = {}

    def of(self, backend: Backend) -> Queue:
        """The queue of a backend."""
        queue = self.all.get(backend.name)
        if queue is None:
            queue = self.all[backend.name] = Queue(backend, self.book, self.clock)
        return queue

    def freed(self, backend: str) -> None:
        """A request to that backend is over."""
        queue = self.all.get(backend)
        if queue is not None:
            queue.freed()

    def keep(self, backends: Mapping[str, Backend]) -> None:
        """The policy has changed: its limits hold for those who wait already, too."""
        for name, queue in self.all.items():
            if name in backends:
                queue.resize(backends[name])

    def give_back(self, deployment: Deployment) -> None:
        """A slot that was held is not needed."""
        self.all[deployment.backend].give_back(deployment)

    async def slot(self, places: Sequence[Place], backends: Mapping[str, Backend]) -> int:
        """Wait for a slot at the first of some places that has room for one who waits; returns its index. Raises Shed.

        They are in the order in which they are wanted.
        """
        queues = [self.of(backends[place.deployment.backend]) for place in places]
        rooms = (index for index, place in enumerate(places) if queues[index].room(place))
        at = next(rooms, 0)
        await queues[at].slot(places[at])
        return at


def patience(backend: Backend, class_: Class) -> float:
    """Seconds that a request of a class may wait for a slot of a backend."""
    return max(backend.queue_wait, BATCH_WAIT) if class_ == "batch" else backend.queue_wait
