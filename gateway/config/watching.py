"""Watches the files of the policy, through their directories: renames and symlink swaps are seen that way."""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing, suppress
from pathlib import Path

import structlog
from watchfiles import awatch

from gateway.config.live import LivePolicy
from gateway.config.prints import Print, Prints, prints
from gateway.config.problems import Problem, clean

log = structlog.get_logger()

LOOK_SECONDS = 10.0  # between two looks at the files when no change was announced
SETTLED_SECONDS = 0.3  # files must stay as they are before they are read
SHRUNK_SECONDS = 5.0  # the same, when less than half of one is left: it may be half written
DEBOUNCE = 100  # milliseconds
LINKS = 40  # on the way to a file; the system follows no more

Directories = frozenset[tuple[Path, int]]  # with their inodes: one that is made anew is another one


class Watcher:
    """Reloads the policy when a file that it is made of has changed, and has settled."""

    def __init__(self, live: LivePolicy) -> None:
        self.live = live
        self.done: Prints = {}  # what the last reload was for

    async def watch(self) -> None:
        """Look at every change, for ever."""
        if self.live.reader is None:
            return
        while True:
            try:
                await self.follow()
            except (OSError, RuntimeError) as exc:
                # No watches left, say: looking now and then still works.
                log.warning("policy.unwatched", file=str(self.live.path), reason=str(exc))
                await asyncio.sleep(LOOK_SECONDS)
                await self.look()

    async def follow(self) -> None:
        """Look whenever something changes in the directories, and now and then besides, until they are others."""
        found = await self.directories()
        if not found:
            raise FileNotFoundError("its directory is not there")
        paths, wait = {path for path, _ in found}, int(LOOK_SECONDS * 1000)
        changes = awatch(
            *paths, recursive=False, watch_filter=None, debounce=DEBOUNCE, rust_timeout=wait, yield_on_timeout=True
        )
        async with aclosing(changes):
            async for _ in changes:
                await self.look()
                if await self.directories() != found:
                    return

    async def directories(self) -> Directories:
        """Where the files are, and where those are that symlinks lead to."""
        files = list(self.live.known)
        return await self.live.aside(lambda: directories(files))

    async def look(self) -> None:
        """Reload if there is anything else in the files than what was last read, once they have settled."""
        seen = await self.seen()
        while self.news(seen):
            shrunk = self.shrunk(seen)
            if shrunk is not None and "shrunk" not in self.live.refused:
                self.live.refuse("shrunk", (half_gone(shrunk),))
            await asyncio.sleep(SETTLED_SECONDS if shrunk is None else SHRUNK_SECONDS)
            again = await self.seen()
            if again == seen:
                await self.reload(seen)
                again = await self.seen()
            seen = again
        self.live.refused.pop("shrunk", None)

    def news(self, seen: Prints) -> bool:
        """Whether this is neither what is known nor what a reload was for already."""
        return seen != self.live.known and seen != self.done

    async def seen(self) -> Prints:
        """What the files are now."""
        live = self.live
        files, secrets = list(live.files), list(live.secrets)
        return await live.aside(lambda: prints(files, secrets))

    async def reload(self, seen: Prints) -> None:
        """Read what has changed; a secret alone changes the policy in force too, where that is not the file's."""
        live = self.live
        secret = all(live.files.get(file) == found for file, found in seen.items() if file in live.files)
        if secret and (live.pinned or live.problems):
            await live.renew()
        if (secret and live.pinned) or await live.reload_settled("secret" if secret else "file", seen):
            self.done = seen

    def shrunk(self, seen: Prints) -> Path | None:
        """A file that has lost more than half of what the policy in force was made of."""
        for file, text in self.live.loaded.texts.items():
            found: Print | None = seen.get(file)
            if found is not None and found.size * 2 < len(text):
                return file
        return None


def half_gone(file: Path) -> Problem:
    """The problem of a file that may be half written."""
    message = (
        f"More than half of {clean(str(file), 200)} is gone, as if it were half written. It is read when it has stayed "
        f"as it is for {SHRUNK_SECONDS:g} s; if that is meant, reload it yourself: SIGHUP or POST /admin/policy/reload."
    )
    return Problem("LG029", "error", str(file), 1, 1, message)


def directories(files: Iterable[Path]) -> Directories:
    """The directories of files, and of whatever their symlinks lead to, as far as they are there."""
    found = set()
    for place in {hop.parent for file in files for hop in hops(file)}:
        with suppress(OSError):
            found.add((place, place.stat().st_ino))
    return frozenset(found)


def hops(file: Path) -> list[Path]:
    """A file, the links on its way, and what it is in the end."""
    found, way = [file], file.absolute()
    for _ in range(LINKS):
        link = next((part for part in (*reversed(way.parents), way) if part.is_symlink()), None)
        if link is None:
            break
        found.append(link)
        with suppress(OSError):
            way = link.parent / link.readlink() / way.relative_to(link)
    return [*found, way]
