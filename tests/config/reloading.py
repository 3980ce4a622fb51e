"""A policy file that is read again and again, in virtual time and without threads."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gateway.catalogue import Catalogue
from gateway.config.live import LivePolicy
from gateway.config.loading import Loaded
from gateway.config.reader import Reader
from gateway.config.watching import Watcher
from gateway.routing.policy import Policy
from tests.engine.virtual_time import now

Result = TypeVar("Result")
CATALOGUE = Catalogue.load()
OPEN = """version: 1
backends:
  a: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
"""
KEYED = OPEN + "callers:\n  team: {key: a-key-of-sixteen-c}\n"
BAD = OPEN.replace("vllm", "vlm")


async def inline(work: Callable[[], Result]) -> Result:
    """The work, done at once: virtual time does not wait for threads."""
    return work()


class Recorder:
    """A reader that remembers what it read when."""

    def __init__(self, path: Path) -> None:
        self.reader = Reader(path, {}, CATALOGUE)
        self.reads: list[tuple[float, bytes]] = []
        self.instead: Callable[[], Loaded] | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.reader.path

    def read(self) -> Loaded:
        """The policy as it is now."""
        loaded = self.reader.read() if self.instead is None else self.instead()
        self.reads.append((round(now() - 1000.0, 3), loaded.source))
        return loaded

    def again(self, loaded: Loaded) -> Loaded:
        """The policy as it was."""
        return self.reader.again(loaded)


class File:
    """A policy file, the policy made of it, and who watches it."""

    def __init__(self, directory: Path, text: str = OPEN) -> None:
        self.path = directory / "policy.yaml"
        self.path.write_text(text)
        self.recorder = Recorder(self.path)
        self.live = LivePolicy(self.recorder.reader.read(), self.recorder, inline)
        self.watcher = Watcher(self.live)
        self.told: list[Policy] = []
        self.live.listeners.append(self.told.append)

    @property
    def reads(self) -> list[tuple[float, str]]:
        """What was read when, by virtual time."""
        return [(at, text.decode()) for at, text in self.recorder.reads]

    @property
    def codes(self) -> list[str]:
        """What is wrong with the file that was refused."""
        return [problem.code for problem in self.live.problems]

    @property
    def generations(self) -> list[tuple[str, str]]:
        """The versions kept, with what each came by."""
        return [(version.generation, version.by) for version in self.live.history.versions]

    def writes(self, text: str) -> Callable[[], object]:
        """A write for later."""
        return lambda: self.path.write_text(text)

    async def change(self, text: str) -> str:
        """Write a text and wait until it is read; the generation in force then."""
        self.path.write_text(text)
        await self.watcher.look()
        return self.live.current.generation

    async def reload(self, text: str) -> list[str]:
        """Write a text and reload as an operator would; the codes of its problems."""
        self.path.write_text(text)
        return [problem.code for problem in await self.live.reload()]


def with_secret(directory: Path) -> File:
    """A policy whose key is in a file of its own, `secret`."""
    held, url = directory / "secret", 'url: "http'
    held.write_text("first-0123456789abcdef")
    return File(directory, OPEN.replace(url, f'api_key: "file:{held}", {url}'))
