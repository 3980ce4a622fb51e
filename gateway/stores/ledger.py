"""The ledger: a row for each attempt, with its tokens, its price and where that comes from."""

import sqlite3
from collections.abc import Callable, Iterator
from typing import NamedTuple

from gateway.outcomes import Outcome, Record, Shadowed
from gateway.types import Deployment

DAY = 86_400
COPY = 1000  # in place of an attempt's number: the request's copy, which a route mirrors
UNSETTLED = -1  # the same of a reservation that was charged because nobody settled it
MOST_TOKENS = 10**12  # an upstream may say anything, and a column holds no more than 64 bits
GATEWAY = ""  # who pays for what no caller has asked for
Hourly = Callable[[str], float | None]  # what a backend costs an hour, used or not; US dollars
TeamOf = Callable[[str], str]


class Row(NamedTuple):
    """An attempt as it is written; columns as in the table."""

    request: str
    n: int
    at: float
    day: int
    caller: str
    team: str
    route: str
    model: str
    backend: str
    outcome: str
    error_type: str = ""
    prompt: int | None = None
    completion: int | None = None
    cached: int | None = None
    estimated: bool = False
    price_input: float | None = None
    price_output: float | None = None
    price_cached: float | None = None
    price_source: str = "none"
    usd: float | None = 0.0
    own_usd: float = 0.0
    seconds: float = 0.0


INSERT = f"INSERT INTO attempts ({', '.join(Row._fields)}) VALUES ({', '.join('?' * len(Row._fields))})"  # noqa: S608
INSERT_NEW = f"{INSERT} ON CONFLICT DO NOTHING"


class Head(NamedTuple):
    """What the rows of one request share."""

    request: str
    at: float
    caller: str
    team: str
    route: str


def rows_of(record: Record, team: str, hourly: Hourly) -> Iterator[Row]:
    """A row for each attempt of a request."""
    head = Head(record.id, record.at, record.caller, team, record.route)
    for n, outcome in enumerate(record.attempts):
        yield row(head, n, outcome, hourly)


def row(head: Head, n: int, outcome: Outcome, hourly: Hourly) -> Row:
    """The row of an attempt. One without content is free, and marked: its upstream may see it otherwise."""
    deployment, usage, price = outcome.deployment, outcome.usage, outcome.deployment.price
    seconds = outcome.ended - outcome.started
    return Row(
        head.request,
        n,
        head.at,
        int(head.at // DAY),
        head.caller,
        head.team,
        head.route,
        deployment.model,
        deployment.backend,
        outcome.outcome,
        outcome.error_type,
        None if usage is None else min(usage.prompt, MOST_TOKENS),
        None if usage is None else min(usage.completion, MOST_TOKENS),
        None if usage is None else min(usage.cached, MOST_TOKENS),
        usage is None or usage.estimated,
        None if price is None else price.input,
        None if price is None else price.output,
        None if price is None else price.cached_input,
        source_of(deployment),
        0.0 if usage is None else outcome.cost,
        own_usd(deployment, seconds, hourly),
        seconds,
    )


def copied(told: Shadowed, at: float, hourly: Hourly) -> Row | None:
    """The row of a request's copy, which the gateway pays for itself; None when nobody was asked."""
    deployment, shadow = told.deployment, told.shadow
    if deployment is None:
        return None
    seconds = 0.0 if shadow is None else shadow.seconds
    return Row(
        request=told.id,
        n=COPY,
        at=at,
        day=int(at // DAY),
        caller=GATEWAY,
        team="",
        route=told.route,
        model=deployment.model,
        backend=deployment.backend,
        outcome=told.outcome,
        error_type=told.error_type,
        completion=None if shadow is None or shadow.tokens is None else min(shadow.tokens, MOST_TOKENS),
        estimated=shadow is None or shadow.tokens is None,
        price_source=source_of(deployment),
        usd=told.cost if told.cost is not None or priced(deployment) else None,
        own_usd=own_usd(deployment, seconds, hourly),
        seconds=seconds,
    )


def source_of(deployment: Deployment) -> str:
    """Where a price comes from: `policy`, `catalogue`, `own_hardware` (no price a token), or `unknown`."""
    if deployment.price is not None:
        return deployment.price_source
    return "own_hardware" if deployment.location == "self_hosted" else "unknown"


def priced(deployment: Deployment) -> bool:
    """Whether it is known what a token costs."""
    return deployment.price is not None or deployment.location == "self_hosted"


def own_usd(deployment: Deployment, seconds: float, hourly: Hourly) -> float:
    """The share of own hardware's cost: an estimate, its time by the slots that it works on at once."""
    rate = hourly(deployment.backend)
    return 0.0 if not rate else max(0.0, seconds) * rate / 3600 / max(1, deployment.slots)


def late(db: sqlite3.Connection, outcome: Outcome, hourly: Hourly) -> Row | None:
    """The row of an attempt that ended after its request; None where that is not (yet) in the log."""
    others = "SELECT at, caller, team, route, n FROM attempts WHERE request = ? AND n < ? ORDER BY n DESC"
    alone = "SELECT at, caller, ?, route, -1 FROM requests WHERE id = ?"
    found = (
        db.execute(others, (outcome.request, COPY)).fetchone() or db.execute(alone, ("", outcome.request)).fetchone()
    )
    if found is None:
        return None
    *known, n = found
    return row(Head(outcome.request, *known), n + 1, outcome, hourly)


def row_of_nobody(outcome: Outcome, at: float, hourly: Hourly) -> Row:
    """The row of an attempt whose request nobody has told of."""
    return row(Head(outcome.request, at, GATEWAY, "", ""), 0, outcome, hourly)
