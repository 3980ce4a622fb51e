"""The last requests, with their plans, in memory."""

from collections import OrderedDict
from itertools import islice

from gateway.outcomes import Outcome, Record, Shadowed

KEPT = 1000
CANDIDATES = 20_000  # of all plans in memory together: those of large fleets would take a hundred megabytes


class RequestLog:
    """An observer that remembers."""

    def __init__(self, kept: int = KEPT, candidates: int = CANDIDATES) -> None:
        self.kept = kept
        self.candidates = candidates
        self.records: OrderedDict[str, Record] = OrderedDict()
        self.plans: OrderedDict[str, int] = OrderedDict()  # how many candidates those have that are here still
        self.held = 0  # all of them
        self.shadows: dict[str, Shadowed] = {}  # by request

    def attempted(self, outcome: Outcome) -> None:
        """Attempts come with their request's record."""

    def answered(self, record: Record) -> None:
        """Keep a record and let the oldest go."""
        self.records[record.id] = record
        if record.plan is not None:
            count = len(record.plan.choices) + len(record.plan.rejected)
            self.held += count - self.plans.pop(record.id, 0)
            self.plans[record.id] = count
        if len(self.records) > self.kept:
            id, _ = self.records.popitem(last=False)
            self.held -= self.plans.pop(id, 0)
            self.shadows.pop(id, None)
        while self.held > self.candidates and len(self.plans) > 1:
            id, count = self.plans.popitem(last=False)
            self.held -= count
            self.records[id] = self.records[id]._replace(plan=None)

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
