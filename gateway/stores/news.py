"""What the writer's thread has to say: held until the event loop, to which the log belongs, says it."""

from collections import deque
from typing import Literal, NamedTuple

import structlog

MOST = 100  # that are held
Level = Literal["info", "warning", "error"]
log = structlog.get_logger()


class Event(NamedTuple):
    """A line for the log."""

    level: Level
    name: str
    facts: dict[str, object]


class News:
    """Events in their order."""

    def __init__(self) -> None:
        self.held: deque[Event] = deque(maxlen=MOST)

    def tell(self, level: Level, name: str, **facts: object) -> None:
        """One more; from any thread."""
        self.held.append(Event(level, name, facts))

    def pour(self) -> None:
        """Write all of them to the log."""
        while self.held:
            event = self.held.popleft()
            getattr(log, event.level)(event.name, **event.facts)
