"""What a new policy changes, looked at before it takes over: its entries, and the last requests planned by both."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy

from gateway.config.gently import breathe
from gateway.config.loading import Loaded
from gateway.config.versions import Change
from gateway.outcomes import Sketch
from gateway.policytools.diff import Difference, difference
from gateway.policytools.logged import LoggedRequest
from gateway.policytools.replay import Replay, replay
from gateway.policytools.versions import Version
from gateway.routing.book import StatsBook
from gateway.telemetry.requests import RequestLog

ACTIONS = (("added", "+"), ("removed", "-"), ("changed", "~"))
NAMED = 10  # entries that a line tells by name; of more, how many


class Preview:
    """Compares a policy with the one in force; a snapshot is taken in the loop, the work is for a thread."""

    def __init__(self, requests: RequestLog, book: StatsBook, clock: Callable[[], float]) -> None:
        self.requests = requests
        self.book = book
        self.clock = clock

    def __call__(self, old: Loaded, new: Loaded) -> Callable[[], Change]:
        """The work; nothing in it is shared with the loop."""
        last = [(record.id, record.sketch) for record in self.requests.last(self.requests.kept) if record.sketch]
        book, now = snapshot(self.book), self.clock()
        return lambda: compared(old, new, last, book, now)


def snapshot(book: StatsBook) -> StatsBook:
    """The statistics as they are now, which a thread may read while others are learnt."""
    made = StatsBook()
    for name, value in vars(book).items():
        setattr(made, name, copy(value))
    made.spendings = {what: deque(spent) for what, spent in book.spendings.items()}
    return made


def compared(old: Loaded, new: Loaded, last: Iterable[tuple[str, Sketch]], book: StatsBook, now: float) -> Change:
    """What changes."""
    found = difference(version(old), version(new))
    assert old.policy is not None
    assert new.policy is not None
    replayed = replay(old.policy, new.policy, gently(last), book, now)
    facts = {**entries(found), **fates(replayed), "privacy": [leak.text for leak in found.privacy]}
    return Change(line(facts), facts)


def version(loaded: Loaded) -> Version:
    """A policy as the comparison wants it; how it was written is not looked at, since no value is shown."""
    assert loaded.spec is not None
    assert loaded.policy is not None
    return Version(loaded.policy.generation, loaded.spec, loaded.policy, {})


def gently(last: Iterable[tuple[str, Sketch]]) -> Iterator[LoggedRequest]:
    """The requests, each after a moment in which the loop can run."""
    for id, sketch in last:
        breathe()
        yield LoggedRequest(sketch, id)


def entries(found: Difference) -> dict[str, list[str]]:
    """The names that came, went or changed, by section and action; those alone that there are."""
    by: dict[str, list[str]] = {}
    for change in found.changes:
        if change.section != "deployments":  # they follow from backends and models
            names = by.setdefault(f"{change.section}_{change.action}", [])
            if change.name not in names:
                names.append(change.name)
    return by


def fates(found: Replay) -> dict[str, object]:
    """What becomes of the last requests."""
    return {
        "requests": found.requests,
        "other_route": found.route_changes,
        "other_model": found.model_changes,
        "other_backend": found.backend_changes,
        "fail_now": found.fails_now.count,
        "lost_privacy": found.lost_privacy.count,
    }


def line(facts: Mapping[str, object]) -> str:
    """All of it in one line for people."""
    sections = dict.fromkeys(key.rpartition("_")[0] for key, value in facts.items() if key.endswith(SUFFIXES))
    parts = [f"{section}: {words}" for section in sections if (words := named(section, facts))]
    moved = [f"{facts[key]} {words}" for key, words in MOVES if facts[key]]
    total = facts["requests"]
    parts.append(f"of the last {total} requests {', '.join(moved) or 'none fares differently'}")
    privacy = facts["privacy"]
    assert isinstance(privacy, list)
    return "; ".join([*parts, *privacy])


SUFFIXES = ("_added", "_removed", "_changed", "_moved")
MOVES = (
    ("other_route", "take another route"),
    ("other_model", "another model"),
    ("other_backend", "another backend"),
    ("fail_now", "fail"),
    ("lost_privacy", "may leave the house"),
)


def named(section: str, facts: Mapping[str, object]) -> str:
    """The entries of one section, with their marks."""
    words = []
    for action, mark in ACTIONS:
        names = facts.get(f"{section}_{action}", [])
        assert isinstance(names, list)
        shown = [f"{mark}{name or section}" for name in names[:NAMED]]
        words += [*shown, f"{mark}{len(names) - NAMED} more"] if len(names) > NAMED else shown
    return " ".join([*words, *(["in another order"] if f"{section}_moved" in facts else [])])
