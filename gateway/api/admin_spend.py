"""What was spent: the ledger's sums in the admin plane, as JSON and as CSV."""

import csv
import io
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, HTTPException, Query, Response
from pydantic import BaseModel, ConfigDict

from gateway.api.admin_shapes import Shape
from gateway.api.answers import problems, told
from gateway.stores.books import Books
from gateway.stores.spend import By, Sum, spend
from gateway.stores.state import StateAway, StateRefused
from gateway.types import Json

DAY = 86_400
MONTH = 31  # days that are shown without `from`
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would run


class SumRow(BaseModel):
    """What one of them has used; US dollars. Its first key is named by `by`."""

    model_config = ConfigDict(extra="allow")
    requests: int
    attempts: int
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int
    usd: float
    own_usd: float
    estimated_usd: float
    unpriced: int


class Spend(Shape):
    """Sums from one day to another (UTC), both included, and their total."""

    by: str
    first: str
    last: str
    rows: list[SumRow]
    total: SumRow


def spend_router(books: Books | None, wall: Callable[[], float] = time.time) -> APIRouter:
    """The path /admin/spend."""
    router = APIRouter(prefix="/admin")

    @router.get(
        "/spend",
        response_model=Spend,
        responses={200: {"content": {"text/csv": {}}}, **problems(422, 503)},
    )
    def spent(
        by: By = "caller",
        first: Annotated[date | None, Query(alias="from", description="A day (UTC); a month ago without it.")] = None,
        last: Annotated[date | None, Query(alias="to", description="A day (UTC), included; today without it.")] = None,
        format: Literal["json", "csv"] = "json",
    ) -> Response:
        """What was spent by whom, on which route, model or backend, or day by day; the dearest first."""
        end = int(wall() // DAY) if last is None else number(last)
        begin = max(end - MONTH + 1, number(date.min)) if first is None else number(first)
        if begin > end:
            raise HTTPException(422, "`from` is after `to`. Exchange them.")
        rows = sums(books, by, begin, end)
        if format == "csv":
            return Response(table(rows, by), media_type="text/csv; charset=utf-8")
        total = {**sum_row(added(rows), by)}
        total.pop(by)
        days = {"first": day(begin), "last": day(end)}
        return told({"by": by, **days, "rows": [sum_row(row, by) for row in rows], "total": total})

    return router


def sums(books: Books | None, by: By, first: int, last: int) -> list[Sum]:
    """The ledger's sums; raises HTTPException when it cannot be read."""
    if books is None or books.state.empty:
        return []
    try:
        return books.state.read(lambda db: spend(db, by, first, last))
    except (StateAway, StateRefused) as exc:
        raise HTTPException(503, f"The ledger cannot be read now: {exc}") from exc


def number(when: date) -> int:
    """A day by its number since 1970."""
    return when.toordinal() - date(1970, 1, 1).toordinal()


def day(number: int) -> str:
    """The day of a number, as it is written."""
    return datetime.fromtimestamp(number * DAY, UTC).date().isoformat()


def sum_row(row: Sum, by: By) -> Json:
    """A sum as JSON-ready values."""
    values = row._asdict()
    name = values.pop("name")
    return {by: day(int(name)) if by == "day" else name, **values}


def added(rows: list[Sum]) -> Sum:
    """The total of sums."""
    columns = list(zip(*[row[1:] for row in rows], strict=True)) or [(0,)] * (len(Sum._fields) - 1)
    return Sum(0, *[sum(column) for column in columns])


def table(rows: list[Sum], by: By) -> str:
    """Sums as CSV; a name that a spreadsheet would run is quoted."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([by, *Sum._fields[1:]])
    for row in rows:
        name, *values = sum_row(row, by).values()
        writer.writerow([f"'{name}" if str(name).startswith(FORMULA) else name, *values])
    return out.getvalue()
