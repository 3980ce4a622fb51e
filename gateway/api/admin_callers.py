"""The callers' part of the admin plane: who they are, what they have spent, and their keys."""

import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Response
from pydantic import BaseModel, Field

from gateway.api.admin_drafts import documented, shaped
from gateway.api.admin_shapes import Name, Number, Shape
from gateway.api.admin_spend import sum_row
from gateway.api.answers import problems, told
from gateway.config.keys import HOUR, KeyRefused, Keys, NewCallerSpec
from gateway.config.live import LivePolicy
from gateway.errors import StoreAway
from gateway.stores.books import Books
from gateway.stores.callers import StoredCaller
from gateway.stores.keyring import Keyring
from gateway.stores.spend import by_day_of
from gateway.stores.state import StateAway, StateFile, StateRefused
from gateway.types import Caller, Json, Limits

DAY = 86_400
DAYS = 31  # of spending that are shown of one caller
GRACE_HOURS = 24.0  # for which the old key is good after a rotation
MOST_HOURS = 24.0 * 90
Done = TypeVar("Done")


class KeyRow(Shape):
    """A key of a caller: when it was made, and from when it is not known any more; Unix time."""

    made: float
    expires: Number


class Budget(Shape):
    """A budget in US dollars: by whom (`caller`, `team`) and for how long, what is spent, and what is left."""

    of: str
    period: str
    limit: float
    spent: float
    left: float


class CallerRow(Shape):
    """A caller: its terms, its keys where they were made here, and what it has spent; US dollars, Unix time."""

    name: str
    source: str
    routes: list[str] | None
    models: list[str] | None
    limits: dict[str, Number]
    team: str | None
    class_: Annotated[str, Field(alias="class")]
    metadata: dict[str, str]
    made: Number
    expires: Number
    on_store_failure: str
    keys: list[KeyRow]
    usd_today: float
    usd_this_month: float


class CallerStory(BaseModel):
    """A caller with its budgets and what it has spent day by day."""

    caller: CallerRow
    budgets: list[Budget]
    days: list[Json]


class Created(Shape):
    """A caller's new key: it is shown this once."""

    name: str
    key: str
    old_key_until: Number


class Rotation(Shape):
    """For how long the old key is good still, in hours."""

    grace_hours: Annotated[float, Field(ge=0, le=MOST_HOURS, allow_inf_nan=False)] = GRACE_HOURS


class Revoked(Shape):
    """No key of this caller is known any more."""

    name: Name
    revoked: bool


class Office:
    """Where callers are looked up and changed."""

    def __init__(
        self, live: LivePolicy, keyring: Keyring, books: Books | None, wall: Callable[[], float] = time.time
    ) -> None:
        self.live = live
        self.keyring = keyring
        self.keys = Keys(keyring.store, keyring.pepper, wall)
        self.state: StateFile | None = None if books is None else books.state
        self.books = books
        self.wall = wall

    def everybody(self) -> Iterator[tuple[Caller, StoredCaller | None]]:
        """Every caller, those of the policy first; whoever is in both is the policy's."""
        policy = self.live.current
        written = {caller.name: caller for caller in policy.callers.values()}
        yield from ((caller, None) for caller in written.values())
        for stored in self.keyring.stored:
            if stored.name not in written:
                yield stored.caller(policy.teams), stored

    def spent(self) -> dict[tuple[str, bool], tuple[float, float]]:
        """What callers and teams have spent today and this month."""
        today, first = days_of(self.wall())
        found = [] if self.books is None else self.books.spent(today, first)
        return {(one.name, one.team): (one.day, one.month) for one in found}

    def rows(self) -> list[Json]:
        """Every caller with what it has spent."""
        spent = self.spent()
        return [row(caller, stored, spent) for caller, stored in self.everybody()]

    def story(self, name: str) -> Json | None:
        """One caller; None when there is none of that name."""
        spent, today = self.spent(), int(self.wall() // DAY)
        for caller, stored in self.everybody():
            if caller.name == name:
                return {
                    "caller": row(caller, stored, spent),
                    "budgets": [*budgets(caller, spent)],
                    "days": self.days(name, today),
                }
        return None

    def days(self, name: str, today: int) -> list[Json]:
        """What a caller has spent, day by day."""
        if self.state is None or self.state.empty:
            return []
        try:
            sums = self.state.read(lambda db: by_day_of(db, name, today - DAYS + 1, today))
        except (StateAway, StateRefused):
            return []
        return [sum_row(one, "day") for one in sums]


def days_of(now: float) -> tuple[int, int]:
    """Today and the first of the month (UTC), in days since 1970."""
    today = int(now // DAY)
    return today, today - datetime.fromtimestamp(today * DAY, UTC).day + 1


def row(caller: Caller, stored: StoredCaller | None, spent: dict[tuple[str, bool], tuple[float, float]]) -> Json:
    """A caller in a line."""
    day, month = spent.get((caller.name, False), (0.0, 0.0))
    return {
        "name": caller.name,
        "source": "policy" if stored is None else "stored",
        "routes": None if caller.routes is None else sorted(caller.routes),
        "models": None if caller.models is None else sorted(caller.models),
        "limits": caller.limits._asdict(),
        "team": None if caller.team is None else caller.team.name,
        "class": caller.class_,
        "metadata": dict(caller.metadata),
        "made": None if stored is None else stored.made,
        "expires": caller.expires,
        "on_store_failure": caller.on_store_failure,
        "keys": [] if stored is None else [{"made": key.made, "expires": key.expires} for key in stored.keys],
        "usd_today": day,
        "usd_this_month": month,
    }


def budgets(caller: Caller, spent: dict[tuple[str, bool], tuple[float, float]]) -> Iterator[Json]:
    """The budgets that hold for a caller."""
    whose: list[tuple[str, str, Limits]] = [("caller", caller.name, caller.limits)]
    if caller.team is not None:
        whose.append(("team", caller.team.name, caller.team.limits))
    for of, name, limits in whose:
        used = spent.get((name, of == "team"), (0.0, 0.0))
        for period, limit, amount in zip(
            ("day", "month"), (limits.usd_per_day, limits.usd_per_month), used, strict=True
        ):
            if limit is not None:
                left = max(0.0, limit - amount)
                yield {"of": of, "period": period, "limit": limit, "spent": amount, "left": left}


async def guarded(change: Awaitable[Done], office: Office) -> Done:
    """What a change gives, once it is in force here; raises HTTPException."""
    try:
        done = await change
    except KeyRefused as exc:
        raise HTTPException(exc.status, str(exc)) from exc
    except (StateAway, StateRefused, StoreAway) as exc:
        raise HTTPException(503, f"The keys cannot be changed now: {exc}") from exc
    await office.keyring.tried()
    return done


def callers_router(office: Office) -> APIRouter:
    """The paths under /admin/callers."""
    router = APIRouter(prefix="/admin/callers")
    wrong = problems(400, 404, 409, 413, 422, 503)

    @router.get("", response_model=list[CallerRow])
    def callers() -> Response:
        """Everybody with a key, from the policy and from here; never a key, nor anything made of one."""
        return told(office.rows())

    @router.get("/{name}", response_model=CallerStory, responses=problems(404))
    def caller(name: str) -> Response:
        """One caller: its terms, its budgets and what it has spent."""
        found = office.story(name)
        if found is None:
            raise HTTPException(404, f"There is no caller '{name[:64]}'; see GET /admin/callers.")
        return told(found)

    @router.post("", status_code=201, response_model=Created, responses=wrong, openapi_extra=documented(NewCallerSpec))
    async def create(spec: Annotated[NewCallerSpec, Depends(shaped(NewCallerSpec))]) -> Response:
        """A caller with a key. The key is in this answer and nowhere else."""
        made = await guarded(office.keys.create(spec, office.live.current), office)
        return told({"name": made.caller.name, "key": made.key, "old_key_until": None}, 201)

    @router.post("/{name}/rotate", response_model=Created, responses=wrong, openapi_extra=documented(Rotation))
    async def rotate(name: str, rotation: Annotated[Rotation, Depends(shaped(Rotation))]) -> Response:
        """Another key for a caller; the old one is good for some hours more."""
        made = await guarded(office.keys.rotate(name, rotation.grace_hours * HOUR), office)
        return told({"name": name, "key": made.key, "old_key_until": made.old_until})

    @router.delete("/{name}", response_model=Revoked, responses=problems(404, 409, 503))
    async def revoke(name: str) -> Response:
        """From now on no key of a caller is known."""
        await guarded(office.keys.revoke(name), office)
        return told({"name": name, "revoked": True})

    return router
