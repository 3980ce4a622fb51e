"""The versions of the policy that were in force: when, by what, and what each has changed."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from gateway.config.loading import Loaded

KEPT = 20
MADE = 3  # of them whose policies are kept as they were made; others are made again of their text

By = Literal["start", "file", "secret", "signal", "admin", "rollback"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a version changes: in a line, and as the fields of a log line."""

    text: str = ""
    facts: Mapping[str, object] = field(default_factory=dict)


Preview = Callable[[Loaded, Loaded], Callable[[], Change]]  # called in the loop; what it gives takes long


class Version(NamedTuple):
    """One version; `at` is the Unix time from which it was in force."""

    generation: str
    at: float
    by: By
    change: str
    loaded: Loaded


class History:
    """The last versions, the newest last."""

    def __init__(self, kept: int = KEPT) -> None:
        self.versions: deque[Version] = deque(maxlen=kept)

    def add(self, version: Version) -> None:
        """One more; the same text once more, made with other secrets, takes the place of the newest."""
        newest = self.versions[-1] if self.versions else None
        if newest is None or newest.generation != version.generation or version.by == "rollback":
            self.versions.append(version)
        else:
            self.versions[-1] = newest._replace(loaded=version.loaded)

    def spare(self) -> list[Loaded]:
        """Forget what was made of all but the newest, and return it: to let go of it takes a while."""
        found = []
        for index, one in enumerate(list(self.versions)[:-MADE]):
            if one.loaded.policy is not None:
                found.append(one.loaded)
                self.versions[index] = one._replace(loaded=replace(one.loaded, policy=None, spec=None))
        return found

    def of(self, generation: str) -> Version | None:
        """The newest of a generation."""
        return next((one for one in reversed(self.versions) if one.generation == generation), None)

    def before(self, generation: str) -> Version | None:
        """What was in force before a generation came: rollbacks do not count, so that several go further back."""
        made = [one for one in self.versions if one.by != "rollback"]
        while made and made[-1].generation != generation:
            made.pop()
        return next((one for one in reversed(made) if one.generation != generation), None)


def unseen(old: Loaded, new: Loaded) -> Callable[[], Change]:
    """The preview where nobody looks."""
    return Change
