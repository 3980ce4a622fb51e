"""Reads a policy from its files, and reads what was read once more: with the secrets of today."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Protocol

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, load, read


def today() -> date:
    """The day, in UTC."""
    return datetime.now(UTC).date()


class Source(Protocol):
    """Where a policy comes from."""

    @property
    def path(self) -> Path:
        """The file, or the first of them."""
        ...

    def read(self) -> Loaded:
        """The policy as its files are now."""
        ...

    def again(self, loaded: Loaded) -> Loaded:
        """The policy that was in the files once; what `file:` and variables stand for is read anew."""
        ...


@dataclass(frozen=True, slots=True)
class Reader:
    """Where a policy is, and what is needed to read it."""

    path: Path
    env: Mapping[str, str]
    catalogue: Catalogue

    def read(self) -> Loaded:
        """The policy as its files are now."""
        return load(self.path, self.env, self.catalogue, today())

    def again(self, loaded: Loaded) -> Loaded:
        """The policy that was in the files once; what `file:` and variables stand for is read anew."""

        def kept(file: Path, limit: int) -> bytes:
            if file not in loaded.texts:
                raise FileNotFoundError(2, "it could not be read then", str(file))
            return loaded.texts[file]

        return read(loaded.source, str(self.path), self.env, self.catalogue, today(), opener=kept)
