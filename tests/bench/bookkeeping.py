"""What callers, ledger and request log cost a request: `python -m tests.bench.bookkeeping`.

On the request's path: finding the caller by its key, and what the journal takes down. In the writer's thread: turning
that into rows, and SQLite. CPU of this process, in microseconds a request; the median of several rounds.
"""

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import NamedTuple

from gateway.api.door import Door
from gateway.outcomes import Outcome, Record, Sketch
from gateway.routing.planner import plan
from gateway.stores.books import Books, Wants
from gateway.stores.callers import FileCallers, Key, StoredCaller, digest_of
from gateway.stores.keyring import Keyring
from gateway.stores.request_file import Wanted, page
from gateway.stores.retention import Bounds
from gateway.stores.state import StateFile
from gateway.types import ChatRequest, Usage
from tests.routing.samples import policy

from .planning import NOW, fleet

ROUNDS, REQUESTS, CALLERS, CANDIDATES = 9, 1000, 1000, 10
WALL = 1_800_000_000.0
PEPPER = b"pepper-of-the-measurement"


class Figure(NamedTuple):
    """One line of the table."""

    name: str
    microseconds: float


def requests(round: int) -> list[Record]:
    """Requests of one round, each with a plan of ten candidates and an attempt that went well."""
    route, book = fleet(CANDIDATES)
    asked = ChatRequest("bench", "auto", {"messages": []}, prompt_tokens=500, max_tokens=200)
    made = plan(asked, route, book, NOW, 0.5)
    first = made.choices[0].deployment
    usage = Usage(500, 200)
    won = Outcome(first, "success", "ok", 1.0, 3.0, 1.5, usage, 0.0005, answered=first.id)
    sketch = Sketch("auto", WALL, True, 500, 200, caller="caller-7")
    found = []
    for number in range(REQUESTS):
        id = f"req_{round:08x}{number:016x}"
        found.append(
            Record(
                id,
                WALL,
                "success",
                200,
                2.0,
                "auto",
                "auto",
                "caller-7",
                "chat",
                True,
                "g1",
                route.name,
                first,
                (won._replace(request=id),),
                made,
                made.reason,
                "miss",
                usage,
                0.0005,
                0.0,
                0.5,
                (("request", 0.0001), ("response", 0.0001)),
                sketch=sketch,
            )
        )
    return found


def spent(work: Callable[[], object]) -> float:
    """CPU of some work, in microseconds a request."""
    begun = time.process_time()
    work()
    return (time.process_time() - begun) / REQUESTS * 1e6


def look_up(directory: Path) -> Callable[[], object]:
    """Finding a thousand callers by their keys, one after the other."""
    store = FileCallers(StateFile.open(directory / "callers"))
    keys = [f"lg-{number:043d}" for number in range(CALLERS)]

    async def fill() -> Keyring:
        for number, key in enumerate(keys):
            await store.put(StoredCaller(f"caller-{number}", (Key(digest_of(PEPPER, key), WALL),)))
        ring = Keyring(store, PEPPER)
        await ring.refresh()
        return ring

    door, rules = Door(asyncio.run(fill())), policy()
    return lambda: [door.find(key, rules) for key in keys]


def observe(kept: Books, records: list[Record]) -> None:
    """What the engine tells the journal."""
    for record in records:
        kept.journal.attempted(record.attempts[0])
        kept.journal.answered(record)


def books(directory: Path, days: float) -> Books:
    """Books that keep the request log for so many days; for none, the ledger alone."""
    state = StateFile.open(directory)
    return Books(state, Wants(lambda backend: 4.2, lambda caller: "", lambda told: {}), Bounds(days))


def figures(directory: Path) -> list[Figure]:
    """All of them."""
    finding = look_up(directory)
    both, ledger = books(directory / "both", 7.0), books(directory / "ledger", 0.0)
    found: dict[str, list[float]] = {}
    for round in range(ROUNDS):
        records = requests(round)
        steps: tuple[tuple[str, Callable[[], object]], ...] = (
            ("caller by key, 1000 stored", finding),
            ("journal, on the path", lambda records=records: observe(both, records)),  # type: ignore[misc]
            ("rows of ledger and log", both.journal.gather),
            ("ledger and log written", both.writer.flush),
            ("- (the same for the ledger alone)", lambda records=records: observe(ledger, records)),  # type: ignore[misc]
            ("rows of the ledger alone", ledger.journal.gather),
            ("the ledger alone written", ledger.writer.flush),
            ("a page of 100 requests, in all", lambda: both.state.read(lambda db: page(db, Wanted(), "", 100))),
        )
        for name, work in steps:
            found.setdefault(name, []).append(spent(work))
    for kept in (both, ledger):
        kept.writer.disconnect()
    found["a page of 100 requests, in all"] = [value * REQUESTS for value in found["a page of 100 requests, in all"]]
    size = (both.state.path.stat().st_size) / (ROUNDS * REQUESTS)
    return [
        *(Figure(name, median(values)) for name, values in found.items()),
        Figure("(bytes on disk a request)", size),
    ]


def main() -> int:
    """Measure, and print a table."""
    with tempfile.TemporaryDirectory(prefix="gateway-bookkeeping-") as directory:
        for figure in figures(Path(directory)):
            print(f"{figure.name:38} {figure.microseconds:8.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
