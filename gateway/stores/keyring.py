"""Whose key it is: the callers of the policy and those that were made at run time, as they were last read."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Protocol

import structlog

from gateway.errors import StoreAway
from gateway.stores.callers import LONGEST, CallerStore, StoredCaller, digest_of
from gateway.stores.state import StateAway, StateRefused
from gateway.types import Caller, Team

FOLLOW_SECONDS = 1.0  # between two looks at what has changed
LEASE = 300.0  # seconds for which callers of a shared store are believed while it is away
log = structlog.get_logger()


class Known(Protocol):
    """The callers and teams of a policy."""

    @property
    def callers(self) -> Mapping[bytes, Caller]: ...
    @property
    def teams(self) -> Mapping[str, Team]: ...


class Keyring:
    """Stored callers by the digest of their keys. Looking one up reads memory; `follow` keeps that fresh.

    `lease` is how long, in seconds, they are believed while the store is away: then their keys are refused as the
    store's fault, never as theirs. Without one they are believed for good.
    """

    def __init__(
        self,
        store: CallerStore,
        pepper: bytes,
        lease: float | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.store = store
        self.pepper = pepper
        self.lease = lease
        self.clock = clock
        self.stored: tuple[StoredCaller, ...] = ()
        self.needed = lease is not None  # whether a key is asked for, even if the policy has no callers
        self.up = True
        self.seen: int | None = None  # the store's count of changes, when they were read
        self.checked = clock()  # when the store last answered
        self.made_for: Known | None = None  # the policy that `table` was made for
        self.table: dict[bytes, tuple[Caller, float | None]] = {}

    def find(self, key: str, policy: Known, now: float) -> Caller | None:
        """Whose key it is, at `now` in Unix time; None for nobody's. Raises StoreAway when that is not known."""
        if not self.needed or len(key) > LONGEST:
            return None
        if self.lease is not None and self.clock() - self.checked > self.lease:
            raise StoreAway("The store of the callers has been away for too long to believe what it said.")
        if policy is not self.made_for:
            self.lay_out(policy)
        found = self.table.get(digest_of(self.pepper, key))
        if found is None or (found[1] is not None and found[1] <= now):
            return None
        return found[0]

    def lay_out(self, policy: Known) -> None:
        """Put the stored callers beside those of a policy; of one that both have, the policy says what it may do."""
        written = {caller.name: caller for caller in policy.callers.values()}
        self.table = {
            key.digest: (written.get(caller.name) or caller.caller(policy.teams), key.expires)
            for caller in self.stored
            for key in caller.keys
        }
        self.made_for = policy

    async def refresh(self) -> bool:
        """Look for a change; True when the callers are others now. Raises StateAway, StateRefused or StoreAway.

        Once there has been a caller a key is needed, also when the last one has gone: what was locked stays so until
        the gateway is started anew.
        """
        count = await self.store.changes()
        if count == self.seen:
            self.checked = self.clock()
            return False
        fresh = tuple(await self.store.all())
        self.checked = self.clock()
        self.needed = bool(fresh) or (self.needed and self.seen is not None)
        others = fresh != self.stored
        self.stored, self.seen, self.made_for = fresh, count, None
        return others

    async def follow(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Keep up with the store, for as long as this is awaited."""
        while True:
            await self.tried()
            await sleep(FOLLOW_SECONDS)

    async def tried(self) -> None:
        """Look once; what goes wrong is said once."""
        try:
            changed = await self.refresh()
        except (StateAway, StateRefused, StoreAway) as exc:
            self.needed = self.needed or self.seen is None  # whoever may have a key is not known: nobody gets in free
            if self.up:
                log.warning("callers.unread", reason=str(exc), keeps=len(self.stored))
            self.up = False
            return
        self.up = True
        if changed:
            log.info("callers.changed", callers=len(self.stored))


class Teams:
    """The team of each caller by name; for the writer's thread, which must not touch the keyring's own table."""

    def __init__(self, policy: Callable[[], Known], stored: Callable[[], tuple[StoredCaller, ...]]) -> None:
        self.policy = policy
        self.stored = stored
        self.made_for: tuple[Known, tuple[StoredCaller, ...]] | None = None
        self.names: dict[str, str] = {}

    def of(self, caller: str) -> str:
        """The name of a caller's team; empty without one."""
        policy, stored = self.policy(), self.stored()
        if self.made_for is None or policy is not self.made_for[0] or stored is not self.made_for[1]:
            written = {one.name: one.team.name for one in policy.callers.values() if one.team is not None}
            self.names = {one.name: one.team or "" for one in stored} | written
            self.made_for = policy, stored
        return self.names.get(caller, "")


class NoCallers:
    """The store where there is none."""

    async def changes(self) -> int:
        """Nothing ever changes."""
        return 0

    async def all(self) -> list[StoredCaller]:
        """Nobody."""
        return []

    async def put(self, caller: StoredCaller) -> bool:
        """Nothing can be kept."""
        raise StateAway("This gateway was started without a state directory.")

    async def remove(self, name: str) -> bool:
        """Nothing can be removed."""
        return False


def no_keyring() -> Keyring:
    """A keyring without keys."""
    return Keyring(NoCallers(), b"")
