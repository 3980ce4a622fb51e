"""The policy in force: one reference, swapped as a whole; a bad file never replaces a good one."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from time import time

import structlog
from watchfiles import awatch

from gateway.config.loading import Loaded, Problem
from gateway.routing.policy import Policy

log = structlog.get_logger()

LOOK_SECONDS = 10.0  # between two looks at the file when no change was announced
SETTLED_SECONDS = 0.3  # a file must stay as it is before it is read
SHRUNK_SECONDS = 5.0  # the same, when less than half of it is left: it may be half written

Stamp = tuple[int, int, int]


class LivePolicy:
    """Holds the current policy and reads its file again when told, or when it changes."""

    def __init__(self, loaded: Policy, read: Callable[[], Loaded] | None = None, path: Path | None = None) -> None:
        self.current = loaded
        self.read = read
        self.path = path
        self.problems: tuple[Problem, ...] = ()  # of the last file that was refused
        self.changed = time()  # Unix time of the last swap
        self.stamp = None if path is None else stamp(path)
        self.listeners: list[Callable[[Policy], None]] = []

    def policy(self) -> Policy:
        """The policy in force."""
        return self.current

    def reload(self, told: bool = True) -> tuple[Problem, ...]:
        """Read the file again: its policy takes over, or its problems are returned and nothing changes.

        A change that nobody has `told` us of does not remove the last of the callers: it would let everybody in.
        """
        if self.read is None:
            return ()
        self.stamp = None if self.path is None else stamp(self.path)
        loaded = self.read()
        problems = loaded.problems
        if loaded.policy is not None and not told and self.current.callers and not loaded.policy.callers:
            problems = (self.unlocked(),)
        elif loaded.policy is not None:
            self.take(loaded.policy)
            return ()
        self.problems = problems
        log.error(
            "policy.refused",
            file=str(self.path),
            problems=len(problems),
            first=problems[0].message,
            keeps=self.current.generation,
        )
        return problems

    def take(self, policy: Policy) -> None:
        """This policy is in force now."""
        self.problems = ()
        if policy.generation != self.current.generation:
            log.info("policy.changed", generation=policy.generation, before=self.current.generation)
        self.current, self.changed = policy, time()
        for listener in self.listeners:
            listener(policy)

    def unlocked(self) -> Problem:
        """The problem of a file whose callers have gone."""
        message = (
            "The file has no callers any more, which would open the gateway. If that is meant, reload it yourself: "
            "SIGHUP or POST /admin/policy/reload."
        )
        return Problem("LG063", "error", str(self.path), 1, 1, message)

    async def watch(self) -> None:
        """Reload when the file changes; its directory is watched, so that renames and symlink swaps are seen."""
        if self.path is None:
            return
        while True:
            try:
                await self.follow(self.path)
            except (OSError, RuntimeError) as exc:
                # No watches left, or the directory is away: looking now and then still works.
                log.warning("policy.unwatched", file=str(self.path), reason=str(exc))
                await asyncio.sleep(LOOK_SECONDS)
                await self.look(self.path)

    async def follow(self, path: Path) -> None:
        """Look whenever something changes in the directory, and now and then besides."""
        wait = int(LOOK_SECONDS * 1000)
        async for _ in awatch(path.parent, recursive=False, debounce=100, rust_timeout=wait, yield_on_timeout=True):
            await self.look(path)

    async def look(self, path: Path) -> None:
        """Reload the file if it is another one, once it has settled."""
        seen = stamp(path)
        if seen is None or seen == self.stamp:
            return
        shrunk = self.stamp is not None and seen[1] * 2 < self.stamp[1]
        while True:
            await asyncio.sleep(SHRUNK_SECONDS if shrunk else SETTLED_SECONDS)
            again = stamp(path)
            if again == seen:
                break
            seen = again
        if seen is not None:
            self.reload(told=False)


def stamp(path: Path) -> Stamp | None:
    """What tells one state of a file from another: its time, its size, its inode; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
