"""Limits in the memory of one process; its buckets drain by the monotonic clock, so that a clock set back or ahead
neither stops nor frees anybody, and a day that has begun does not begin again."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakSet

from gateway.stores.limits import (
    DAY,
    LATE_SECONDS,
    LEASE_SECONDS,
    NO_DATES,
    RENEW_SECONDS,
    Dates,
    Lease,
    Need,
    dates,
    drained,
    refusal,
    refused,
    subjects,
    too_large,
)
from gateway.stores.limits_tally import LimitTally
from gateway.types import Caller, Level, Subject


@dataclass(slots=True)
class Account:
    """What a subject has used: buckets as they were at `at`, open leases by their end, money of the latest dates."""

    at: float
    requests: float = 0.0
    tokens: float = 0.0
    open: dict[str, float] = field(default_factory=dict)
    dates: Dates = NO_DATES
    day: int = 0  # nano-dollars
    month: int = 0

    def drain(self, subject: Subject, now: float) -> None:
        """Let the buckets drain until now."""
        limits, seconds = subject.limits, now - self.at
        self.requests = drained(self.requests, limits.rpm, seconds)
        self.tokens = drained(self.tokens, limits.tpm, seconds)
        self.at = now

    def turn(self, today: Dates) -> None:
        """A new day, or month, has begun; one that is over does not begin again where a clock is set back an hour."""
        if not self.dates.day - 1 <= today.day <= self.dates.day:
            self.day = 0
            self.month = self.month if today.month == self.dates.month else 0
            self.dates = today

    def spend(self, when: Dates, nano: int) -> None:
        """Count money of a date; one that is over counts no more."""
        if when.day > self.dates.day:
            self.turn(when)
        if when.day == self.dates.day:
            self.day = max(0, self.day + nano)
        if when.month == self.dates.month:
            self.month = max(0, self.month + nano)

    def flying(self, subject: Subject, now: float) -> int:
        """Open leases; those that are over do not count where there is a limit."""
        count, most = len(self.open), subject.limits.concurrency
        if most is None or count < most:
            return count
        return sum([until > now for until in self.open.values()])


class Known(NamedTuple):
    """Whose limits hold for a caller, and what they have used."""

    caller: Caller
    accounts: tuple[tuple[Subject, Account], ...]


class MemoryLimits:
    """A Limiter for one gateway alone."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        tally: LimitTally | None = None,
    ) -> None:
        self.clock = clock
        self.wall = wall
        self.tally = tally or LimitTally()
        self.accounts: dict[tuple[str, bool], Account] = {}
        self.known: dict[str, Known] = {}
        self.today = NO_DATES
        self.leases: WeakSet[Lease] = WeakSet()  # a lease that nobody holds any more is not renewed

    async def acquire(self, caller: Caller, need: Need) -> Lease:
        """Reserve, for caller and team together; raises LimitReached, BudgetSpent and TooLarge."""
        known = self.known.get(caller.name)
        if known is None or known.caller is not caller:
            known = self.known[caller.name] = Known(caller, self.accounts_of(subjects(caller)))
        return self.acquired(caller, known.accounts, need)

    def accounts_of(self, found: tuple[Subject, ...]) -> tuple[tuple[Subject, Account], ...]:
        """The accounts of subjects."""
        return tuple([(subject, self.account(subject.name, subject.team)) for subject in found])

    def account(self, name: str, team: bool) -> Account:
        """The account of a caller or a team."""
        account = self.accounts.get((name, team))
        if account is None:
            account = self.accounts[name, team] = Account(self.clock())
        return account

    def acquired(self, caller: Caller, accounts: tuple[tuple[Subject, Account], ...], need: Need) -> Lease:
        """A lease on the limits of these accounts."""
        now, unix = self.clock(), self.wall()
        if int(unix // DAY) != self.today.day:
            self.today = dates(unix)
        for subject, account in accounts:
            account.drain(subject, now)
            account.turn(self.today)
            level = told(subject, account, account.flying(subject, now))
            if (kind := refusal(level, need)) is not None:
                self.tally.rejected(caller, subject, kind)
                levels = tuple([told(*pair, pair[1].flying(pair[0], now)) for pair in accounts])
                raise too_large(subject, need) or refused(levels, level, kind, need, unix)
        for subject, account in accounts:
            reserve(subject, account, need, now)
        levels = tuple([told(subject, account, len(account.open)) for subject, account in accounts])
        lease = Lease(caller, need, levels, accounts[0][1].dates)
        self.tally.seen(levels, lease.dates)
        self.leases.add(lease)
        return lease

    def settle(self, lease: Lease, tokens: int, nano: int) -> None:
        """Put what was used in the place of what was reserved, once."""
        self.leases.discard(lease)
        need = lease.need
        more = tokens - need.tokens
        for subject, *_ in lease.levels:
            account = self.accounts[subject.name, subject.team]
            if account.open.pop(need.id, None) is None:
                continue
            if subject.limits.tpm is not None:
                if more > 0:  # what was used beyond the reservation begins to drain now
                    account.drain(subject, self.clock())
                account.tokens = max(0.0, account.tokens + more)
            if need.nano or nano:
                account.spend(lease.dates, nano - need.nano)
                self.tally.seen((told(subject, account, 0),), account.dates)

    async def keep(self) -> None:
        """Prolong leases for ever."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            self.renew()

    async def close(self) -> None:
        """Nothing is left to tell anybody."""

    def renew(self) -> None:
        """Prolong every lease that somebody holds, and forget those that nobody has settled for long."""
        until = self.clock() + LEASE_SECONDS
        for lease in list(self.leases):
            for one in lease.levels:
                account = self.accounts[one.subject.name, one.subject.team]
                if lease.need.id in account.open:
                    account.open[lease.need.id] = until
        forgotten = self.clock() - LATE_SECONDS
        for account in self.accounts.values():
            account.open = {id: until for id, until in account.open.items() if until > forgotten}

    def seed(self, name: str, team: bool, day: int, month: int) -> None:
        """What a subject had spent today and this month, in nano-dollars, before this process began; never less."""
        account = self.account(name, team)
        account.turn(dates(self.wall()))
        account.day, account.month = max(day, account.day), max(month, account.month)

    def forget(self, found: tuple[Subject, ...], when: Dates, nano: int) -> None:
        """Money that somebody else counts now."""
        for _, account in self.accounts_of(found):
            account.spend(when, -nano)


def told(subject: Subject, account: Account, flying: int) -> Level:
    """What a subject has used."""
    return Level(subject, account.requests, account.tokens, flying, account.day, account.month)


def reserve(subject: Subject, account: Account, need: Need, now: float) -> None:
    """Take what is needed; a bucket without a limit stays empty, for the day when there is one."""
    if subject.limits.rpm is not None:
        account.requests += need.requests
    if subject.limits.tpm is not None:
        account.tokens += need.tokens
    account.open[need.id] = now + LEASE_SECONDS
    if need.nano:
        account.day += need.nano
        account.month += need.nano
