"""What was spent, summed up by caller, team, route, model, backend or day."""

import sqlite3
from typing import Literal, NamedTuple

By = Literal["caller", "team", "route", "model", "backend", "day"]
DAY = 86_400


class Sum(NamedTuple):
    """What one of them has used; US dollars. `day` is days since 1970 where it is by day, else `name` says whose."""

    name: str | int
    requests: int
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float
    own_usd: float  # own hardware's cost by the time it was used: an estimate, and not part of `usd`
    estimated_usd: float  # the part of `usd` whose tokens were not counted by the upstream
    unpriced: int  # attempts whose price is not known, which `usd` lacks


COLUMNS = (
    "sum(requests), sum(attempts), sum(prompt), sum(completion), sum(cached), total(usd), total(own_usd),"
    " total(estimated_usd), sum(unpriced)"
)
QUERIES = {
    by: f"SELECT {by}, {COLUMNS} FROM spend WHERE day BETWEEN ? AND ? GROUP BY {by} ORDER BY {order}"  # noqa: S608
    for by, order in (
        ("caller", "total(usd) DESC, caller"),
        ("team", "total(usd) DESC, team"),
        ("route", "total(usd) DESC, route"),
        ("model", "total(usd) DESC, model"),
        ("backend", "total(usd) DESC, backend"),
        ("day", "day"),
    )
}
OF_CALLER = f"SELECT day, {COLUMNS} FROM spend WHERE caller = ? AND day BETWEEN ? AND ? GROUP BY day ORDER BY day"  # noqa: S608


def spend(db: sqlite3.Connection, by: By, first: int, last: int) -> list[Sum]:
    """The sums from one day to another, both included; the dearest first, or day after day."""
    return [Sum(*row) for row in db.execute(QUERIES[by], (first, last))]


def by_day_of(db: sqlite3.Connection, caller: str, first: int, last: int) -> list[Sum]:
    """A caller's sums, day after day."""
    return [Sum(*row) for row in db.execute(OF_CALLER, (caller, first, last))]
