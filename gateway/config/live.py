"""The policy in force: one reference, swapped as a whole; a bad file never replaces a good one."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import time
from typing import Protocol, TypeVar

import structlog

from gateway.config.gently import dismantle, in_small_steps
from gateway.config.loading import Loaded, Problem
from gateway.config.prints import Print, Prints, print_of
from gateway.config.reader import Source
from gateway.config.versions import By, Change, History, Preview, Version, unseen
from gateway.routing.policy import Policy

log = structlog.get_logger()
Result = TypeVar("Result")

MOST = 2  # reloads by signals at once: one that runs, and one that will see whatever has changed since
DEFECT = "The gateway failed while it read the policy; its log has the reason. The last good policy stays in force."


class Aside(Protocol):
    """Does work that takes long, where it does not hold up the loop."""

    def __call__(self, work: Callable[[], Result], /) -> Awaitable[Result]:
        """What the work returns."""
        ...


class LivePolicy:
    """Holds the current policy; reads its files again when told, and goes back to a version that was in force."""

    def __init__(self, loaded: Loaded, reader: Source | None = None, aside: Aside = asyncio.to_thread) -> None:
        assert loaded.policy is not None
        self.current = loaded.policy
        self.loaded = loaded  # what the current policy was made of
        self.reader = reader
        self.aside = aside
        self.preview: Preview = unseen
        self.listeners: list[Callable[[Policy], None]] = []
        self.refused: dict[str, tuple[Problem, ...]] = {}  # what was refused last -> why
        self.changed = time()  # Unix time of the last swap
        self.pinned = False  # by a rollback, until the file changes
        self.history = History()
        self.history.add(Version(self.current.generation, self.changed, "start", "", loaded))
        self.lock = asyncio.Lock()  # one reload at a time: the last one wins
        self.tasks: set[asyncio.Task[object]] = set()
        self.files: Prints = texts_of(loaded)  # as they were last read
        self.secrets: Prints = dict(loaded.secrets)  # the same of files that hold secrets

    def policy(self) -> Policy:
        """The policy in force."""
        return self.current

    @property
    def path(self) -> Path | None:
        """The file, or the first of them; None without one."""
        return None if self.reader is None else self.reader.path

    @property
    def known(self) -> Prints:
        """All files that the policy is made of, as they were last read: a change of any is worth a reload."""
        return {} if self.reader is None else {**self.secrets, **self.files}

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Why the files as they are now are not in force; none while they are, or while a rollback holds them off."""
        return tuple(problem for problems in self.refused.values() for problem in problems)

    async def reload(self, by: By = "admin") -> tuple[Problem, ...]:
        """Read the files again: their policy takes over, or its problems are returned and nothing changes."""
        async with self.lock:
            if self.reader is not None:
                await self.follow(await self.made(self.reader.read), by)
            return self.problems

    async def reload_settled(self, by: By, seen: Prints) -> bool:
        """The same, unless something else is read than what was `seen`: then the files are being written still."""
        async with self.lock:
            loaded = None if self.reader is None else await self.made(self.reader.read)
            if loaded is None or differs(loaded, seen):
                return False
            await self.follow(loaded, by)
            return True

    async def follow(self, loaded: Loaded, by: By) -> None:
        """Take what was read, or refuse it."""
        self.files = texts_of(loaded) or self.files
        self.note_secrets(loaded)
        if loaded.policy is None:
            self.refuse("file", loaded.problems)
        elif self.unlocks(loaded.policy, by):
            self.refuse("file", (self.unlocked(),))
        else:
            self.refused = {}
            await self.adopt(loaded, by)

    async def renew(self) -> None:
        """Make the policy in force once more: what `file:` stands for has changed, and its own text may be gone."""
        async with self.lock:
            if self.reader is None:
                return
            reader, before = self.reader, self.loaded
            loaded = await self.made(lambda: reader.again(before))
            self.note_secrets(loaded)
            if loaded.policy is None:
                self.refuse("secret", loaded.problems)
                return
            self.refused.pop("secret", None)
            await self.adopt(loaded, "secret")

    async def rollback(self, generation: str | None = None) -> Version:
        """Go back to a version, else to the one before, and stay there until the file changes; raises LookupError."""
        async with self.lock:
            if generation is None:
                wanted, found = "version before this one", self.history.before(self.current.generation)
            else:
                wanted, found = f"version '{generation[:64]}'", self.history.of(generation)
            if self.reader is None or found is None:
                raise LookupError(f"There is no {wanted} among those kept; see GET /admin/policy/versions.")
            reader, kept = self.reader, found.loaded
            loaded = await self.made(lambda: reader.again(kept))
            if loaded.policy is None:
                reason = first(loaded.problems)
                if kept.policy is None:
                    raise LookupError(f"Version '{found.generation}' cannot be made again. {reason}")
                # A secret of then is gone, say: what was made then is still better than what is wrong now.
                log.warning("policy.rolled_back_as_it_was", generation=found.generation, first=reason)
                loaded = kept
            self.note_secrets(loaded)
            await self.adopt(loaded, "rollback")
            return self.history.versions[-1]

    def announce(self) -> None:
        """Reload soon: a signal has said so."""
        if len(self.tasks) < MOST:
            task: asyncio.Task[object] = asyncio.get_running_loop().create_task(self.reload("signal"))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def adopt(self, loaded: Loaded, by: By) -> None:
        """Look what changes, then let it be in force."""
        change = Change()
        if loaded.policy is not None and loaded.policy.generation != self.current.generation:
            change = await self.guarded(self.preview(self.loaded, loaded), Change("it is not known what has changed"))
        self.take(loaded, by, change)
        spare = self.history.spare()
        if spare:
            await self.guarded(lambda: dismantle(spare), None)

    def take(self, loaded: Loaded, by: By, change: Change) -> None:
        """This policy is in force now."""
        policy, before = loaded.policy, self.current
        assert policy is not None
        self.current, self.loaded, self.changed = policy, loaded, time()
        self.pinned = by == "rollback" or (by == "secret" and self.pinned)
        self.history.add(Version(policy.generation, self.changed, by, change.text, loaded))
        if policy.generation != before.generation:
            facts = {"generation": policy.generation, "before": before.generation, "by": by}
            log.info("policy.changed", **facts, **change.facts)
        else:
            log.info("policy.renewed", generation=policy.generation, by=by)
        for listener in self.listeners:
            listener(policy)

    def refuse(self, what: str, problems: tuple[Problem, ...]) -> None:
        """The policy in force stays; say why."""
        self.refused[what] = problems
        facts = {"file": str(self.path), "problems": len(problems), "keeps": self.current.generation}
        log.error("policy.refused", **facts, first=first(problems))

    def note_secrets(self, loaded: Loaded) -> None:
        """Remember the secrets that were read, besides those of the policy in force."""
        self.secrets = {file: seen for file, seen in self.secrets.items() if file in self.loaded.secrets}
        self.secrets |= loaded.secrets

    def unlocks(self, policy: Policy, by: By) -> bool:
        """Whether a change that nobody has told us of would remove the last caller: it would let everybody in."""
        return by in ("file", "secret") and bool(self.current.callers) and not policy.callers

    def unlocked(self) -> Problem:
        """The problem of a file whose callers have gone."""
        message = (
            "The file has no callers any more, which would open the gateway. If that is meant, reload it yourself: "
            "SIGHUP or POST /admin/policy/reload."
        )
        return Problem("LG063", "error", str(self.path), 1, 1, message)

    async def made(self, work: Callable[[], Loaded]) -> Loaded:
        """What reading gives; a defect of ours is a problem of the file, and no end of watching it."""
        problem = Problem("LG090", "error", str(self.path), 1, 1, DEFECT)
        return await self.guarded(work, Loaded(None, (problem,), b""))

    async def guarded(self, work: Callable[[], Result], instead: Result) -> Result:
        """What the work returns, done aside; something else, and a traceback in the log, when it fails."""
        try:
            return await self.aside(lambda: in_small_steps(work))
        except Exception:
            log.exception("policy.failed", file=str(self.path))
            return instead


def texts_of(loaded: Loaded) -> dict[Path, Print | None]:
    """The policy's own files as they were read."""
    return {file: print_of(loaded.texts[file]) if file in loaded.texts else None for file in loaded.files}


def differs(loaded: Loaded, seen: Prints) -> bool:
    """Whether something else was read than what was seen."""
    read: Prints = {**texts_of(loaded), **loaded.secrets}
    return any(file in seen and seen[file] != found for file, found in read.items())


def first(problems: tuple[Problem, ...]) -> str:
    """The first problem that keeps a policy from being used."""
    return next((one.message for one in problems if one.severity == "error"), "")
