"""The last requests, with their plans, in memory."""

from collections import OrderedDict
from itertools import islice

from gateway.types import Outcome, Record, Shadowed

KEPT = 1000


class RequestLog:
    """An observer that remembers."""

    def __init__(self, kept: int = KEPT) -> None:
        self.kept = kept
        self.records: OrderedDict[str, Record] = OrderedDict()
        self.shadows: dict[str, Shadowed] = {}  # by request

    def attempted(self, outcome: Outcome) -> None:
        """Attempts come with their request's record."""

    def answered(self, record: Record) -> None:
        """Keep a record and let the oldest go."""
        self.records[record.id] = record
        if len(self.records) > self.kept:
            id, _ = self.records.popitem(last=False)
            self.shadows.pop(id, None)

    def shadowed(self, told: Shadowed) -> None:
        """Keep what came of mirroring a request as long as its record."""
        if told.id in self.records:
            self.shadows[told.id] = told

    def last(self, count: int) -> list[Record]:
        """The last records, newest first."""
        return list(islice(reversed(self.records.values()), count))

    def get(self, id: str) -> Record | None:
        """The record of a request."""
        return self.records.get(id)

    def shadow(self, id: str) -> Shadowed | None:
        """What came of mirroring a request."""
        return self.shadows.get(id)
