"""The policy in force: one reference, swapped as a whole; a bad file never replaces a good one."""

from collections.abc import Callable
from pathlib import Path
from time import time

import structlog
from watchfiles import awatch

from gateway.config.loading import Loaded, Problem
from gateway.routing.policy import Policy

log = structlog.get_logger()


class LivePolicy:
    """Holds the current policy and reads its file again when told."""

    def __init__(self, loaded: Policy, read: Callable[[], Loaded] | None = None, path: Path | None = None) -> None:
        self.current = loaded
        self.read = read
        self.path = path
        self.problems: tuple[Problem, ...] = ()  # of the last file that was refused
        self.changed = time()  # Unix time of the last swap
        self.listeners: list[Callable[[Policy], None]] = []

    def policy(self) -> Policy:
        """The policy in force."""
        return self.current

    def reload(self) -> tuple[Problem, ...]:
        """Read the file again: its policy takes over, or its problems are returned and nothing changes."""
        if self.read is None:
            return ()
        loaded = self.read()
        if loaded.policy is None:
            self.problems = loaded.problems
            log.error(
                "policy.refused",
                file=str(self.path),
                problems=len(loaded.problems),
                first=str(loaded.problems[0].message),
                keeps=self.current.generation,
            )
            return loaded.problems
        self.problems = ()
        if loaded.policy.generation != self.current.generation:
            log.info("policy.changed", generation=loaded.policy.generation, before=self.current.generation)
        self.current, self.changed = loaded.policy, time()
        for listener in self.listeners:
            listener(loaded.policy)
        return ()

    async def watch(self) -> None:
        """Reload when the file changes; its directory is watched, so that renames and symlink swaps are seen."""
        if self.path is None:
            return
        before = stamp(self.path)
        async for _ in awatch(self.path.parent, recursive=False, debounce=200):
            now = stamp(self.path)
            if now != before:
                before = now
                self.reload()


def stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells one state of a file from another; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
