"""A limiter whose reservations are taken down too, so that a process which is killed has spent them."""

from collections.abc import Callable
from typing import Protocol

from gateway.stores.limits import NANO, Lease, Limiter, Need, dates, month_of, nano
from gateway.stores.reservations import Reserved, Spent
from gateway.types import Caller


class Recorded:
    """A Limiter around another. A request that reserves no money is not looked at."""

    def __init__(self, limiter: Limiter, reserved: Reserved, wall: Callable[[], float]) -> None:
        self.limiter = limiter
        self.reserved = reserved
        self.wall = wall

    async def acquire(self, caller: Caller, need: Need) -> Lease:
        """Reserve, and take it down; raises what the limiter does."""
        lease = await self.limiter.acquire(caller, need)
        if need.nano:
            team = "" if caller.team is None else caller.team.name
            self.reserved.opened(need.id, caller.name, team, "", need.nano / NANO, self.wall())
        return lease

    def settle(self, lease: Lease, tokens: int, nano: int) -> None:
        """Settle, and forget the reservation."""
        self.limiter.settle(lease, tokens, nano)
        if lease.need.nano:
            self.reserved.closed(lease.need.id)


class Seeded(Protocol):
    """A limiter that begins with what was spent before."""

    def seed(self, name: str, team: bool, day: int, month: int) -> None:
        """What somebody had spent today and this month, in nano-dollars."""
        ...


def seed(limiter: Seeded, spent: Callable[[int, int], list[Spent]], unix: float) -> None:
    """Let a limiter begin with what was spent this day and month (UTC), so that a budget outlives the process."""
    today = dates(unix).day
    for one in spent(today, first_of_month(today)):
        limiter.seed(one.name, one.team, nano(one.day) or 0, nano(one.month) or 0)


def first_of_month(day: int) -> int:
    """The first day of the month of a day; days since 1970."""
    first = day
    while month_of(first - 1) == month_of(day):
        first -= 1
    return first
