"""What the metrics say of limits: rejections, and what is left of budgets. Names come from configuration alone."""

from collections import Counter
from collections.abc import Iterator

from gateway.stores.limits import NANO, Dates
from gateway.types import Caller, Level, Subject


class LimitTally:
    """Counts what was refused, and remembers what was last seen of each budget."""

    def __init__(self) -> None:
        self.rejections: Counter[tuple[str, str]] = Counter()  # by caller and limit; a team's begin with `team_`
        self.spent: dict[tuple[str, bool], tuple[Level, Dates]] = {}

    def beside(self) -> "LimitTally":
        """One that counts rejections with this one, and money for itself."""
        other = LimitTally()
        other.rejections = self.rejections
        return other

    def rejected(self, caller: Caller, subject: Subject, kind: str) -> None:
        """A request was refused."""
        self.rejections[caller.name, subject.prefix + kind] += 1

    def seen(self, levels: tuple[Level, ...], when: Dates) -> None:
        """So much was spent."""
        for level in levels:
            limits = level.subject.limits
            if limits.usd_per_day is not None or limits.usd_per_month is not None:
                self.spent[level.subject.name, level.subject.team] = (level, when)

    def known(self, subject: Subject) -> tuple[Level, Dates] | None:
        """What was last seen of a subject's money, and when."""
        return self.spent.get((subject.name, subject.team))

    def remaining(self, today: Dates) -> Iterator[tuple[str, str, float]]:
        """Caller or team, limit, and the US dollars that are left of it today."""
        for level, when in self.spent.values():
            subject, limits = level.subject, level.subject.limits
            if limits.usd_per_day is not None:
                used = level.day if when.day == today.day else 0
                yield subject.name, f"{subject.prefix}usd_per_day", limits.usd_per_day - used / NANO
            if limits.usd_per_month is not None:
                used = level.month if when.month == today.month else 0
                yield subject.name, f"{subject.prefix}usd_per_month", limits.usd_per_month - used / NANO
