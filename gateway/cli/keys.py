"""`llama-gateway keys`: keys of callers are made, listed, rotated and revoked; a gateway that runs follows."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import orjson
from cyclopts import App, Parameter
from pydantic import ValidationError
from rich.table import Table

from gateway.catalogue import Catalogue
from gateway.cli.start import FAILED, CannotStart, kept
from gateway.cli.tables import console_for
from gateway.config.keys import HOUR, KeyRefused, Keys, NewCallerSpec
from gateway.config.loading import load
from gateway.config.settings import Settings, SettingsError
from gateway.errors import StoreAway
from gateway.policytools.check import render
from gateway.routing.policy import Policy
from gateway.stores.callers import CALLER_KEYS, CallerStore, FileCallers, StoredCaller
from gateway.stores.redis import MEMORY, RedisStore
from gateway.stores.redis_url import Patience, place
from gateway.stores.secret import derived
from gateway.stores.shared_callers import SharedCallers
from gateway.stores.state import StateAway, StateRefused
from gateway.telemetry.logs import configure
from gateway.types import Json

PATIENCE = 5.0  # seconds with a shared store: nobody waits but whoever has typed the command
LIMITS = ("rpm", "tpm", "concurrency", "usd_per_day", "usd_per_month")
ONCE = "This is the only time that the key is shown; keep it where nobody else sees it."
keys = App(
    name="keys",
    help_format="markdown",
)


@keys.command
def create(
    name: Annotated[str, Parameter(help="In metrics, headers and logs.")],
    *,
    routes: Annotated[
        list[str] | None, Parameter(help="The routes they may use; else all.", consume_multiple=True, negative="")
    ] = None,
    models: Annotated[
        list[str] | None, Parameter(help="The models, likewise.", consume_multiple=True, negative="")
    ] = None,
    rpm: Annotated[int | None, Parameter(help="Requests a minute.")] = None,
    tpm: Annotated[int | None, Parameter(help="Tokens a minute.")] = None,
    concurrency: Annotated[int | None, Parameter(help="Requests at a time.")] = None,
    usd_per_day: Annotated[float | None, Parameter(help="US dollars a day (UTC).")] = None,
    usd_per_month: Annotated[float | None, Parameter(help="US dollars a month (UTC).")] = None,
    team: Annotated[str | None, Parameter(help="A team of the policy.")] = None,
    class_: Annotated[
        Literal["critical", "default", "sheddable", "batch"], Parameter(name="--class", help="Of their requests.")
    ] = "default",
    metadata: Annotated[dict[str, str] | None, Parameter(help="More of them, as --metadata.owner anna.")] = None,
    expires: Annotated[str | None, Parameter(help="When the key ends, as 2027-03-30.")] = None,
    on_store_failure: Annotated[Literal["closed", "local"], Parameter(help="Of budgets.")] = "closed",
    policy: Annotated[Path | None, Parameter(help="Check names against it; else GATEWAY_POLICY.")] = None,
) -> int:
    """Make a caller and show its key, once.

    Example: `llama-gateway keys create team-search --routes interactive --rpm 600 --usd-per-day 20`
    """
    limits = dict(zip(LIMITS, (rpm, tpm, concurrency, usd_per_day, usd_per_month), strict=True))
    terms: Json = {
        "name": name,
        "routes": routes,
        "models": models,
        "limits": limits,
        "team": team,
        "class": class_,
        "metadata": metadata or {},
        "expires": expires,
        "on_store_failure": on_store_failure,
    }

    async def work(desk: Desk) -> None:
        made = await desk.keys.create(spec_of(terms), policy_of(policy or desk.settings.policy))
        print(made.key)
        print(ONCE, file=sys.stderr)

    return told(work)


@keys.command(name="list")
def list_(*, format: Annotated[Literal["text", "json"], Parameter(help="How to print it.")] = "text") -> int:
    """Who has a key, since when and until when; never a key.

    Example: `llama-gateway keys list --format json`
    """

    async def work(desk: Desk) -> None:
        found = await desk.keys.store.all()
        if format == "json":
            print(orjson.dumps([row(caller) for caller in found], option=orjson.OPT_INDENT_2).decode())
        else:
            show(found)

    return told(work)


@keys.command
def rotate(
    name: Annotated[str, Parameter(help="The caller.")],
    *,
    grace: Annotated[float, Parameter(help="Hours for which the old key is good still.")] = 24.0,
) -> int:
    """Make another key for a caller and show it, once; the old one is good for some hours more.

    Example: `llama-gateway keys rotate team-search --grace 2`
    """

    async def work(desk: Desk) -> None:
        if not 0 <= grace <= 24 * 90:
            raise KeyRefused("--grace must be a number of hours from 0 to 2160.")
        made = await desk.keys.rotate(name, grace * HOUR)
        print(made.key)
        print(f"{ONCE} The old one ends {moment(made.old_until)}.", file=sys.stderr)

    return told(work)


@keys.command
def revoke(name: Annotated[str, Parameter(help="The caller.")]) -> int:
    """From now on no key of that caller is known.

    Example: `llama-gateway keys revoke team-search`
    """

    async def work(desk: Desk) -> None:
        await desk.keys.revoke(name)
        print(f"The keys of '{name}' are not known any more.", file=sys.stderr)

    return told(work)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where keys are changed."""

    settings: Settings
    keys: Keys


def told(work: Callable[[Desk], Awaitable[None]]) -> int:
    """Do the work; the exit code, and a sentence where it cannot be done."""
    try:
        settings = Settings.from_env(os.environ)
        asyncio.run(done(work, settings))
    except (SettingsError, CannotStart, KeyRefused, StateAway, StateRefused, StoreAway) as exc:
        print(exc, file=sys.stderr)
        return FAILED
    return 0


async def done(work: Callable[[Desk], Awaitable[None]], settings: Settings) -> None:
    """Do the work where the keys are kept: in the state directory, or in the store that gateways share."""
    found, shared = kept(settings), None
    if settings.store_url != MEMORY:
        shared = RedisStore(replace(place(settings.store_url), patience=Patience(PATIENCE, PATIENCE, PATIENCE)))
        configure("error", "console")  # what it has to say must not get among the keys
    store: CallerStore = FileCallers(found.state) if shared is None else SharedCallers(shared)
    try:
        await work(Desk(settings, Keys(store, derived(found.secret, CALLER_KEYS))))
    finally:
        if shared is not None:
            await shared.close()


def spec_of(terms: Json) -> NewCallerSpec:
    """Terms as the command line has them; raises KeyRefused."""
    given = {name: value for name, value in terms.items() if value is not None}
    given["limits"] = {name: value for name, value in terms["limits"].items() if value is not None}
    try:
        return NewCallerSpec.model_validate(given)
    except ValidationError as exc:
        one = exc.errors(include_url=False)[0]
        where = ".".join(str(part) for part in one["loc"])
        raise KeyRefused(f"{where} does not fit: {one['msg'][0].lower()}{one['msg'][1:]}.") from exc


def policy_of(path: Path | None) -> Policy | None:
    """The policy whose names are checked, where there is one; raises KeyRefused with its errors."""
    if path is None:
        return None
    loaded = load(path, os.environ, Catalogue.load(), datetime.now(UTC).date())
    if loaded.policy is None:
        raise KeyRefused(render(loaded.problems, "text", sys.stderr.isatty()).rstrip())
    return loaded.policy


def row(caller: StoredCaller) -> Json:
    """A caller as JSON-ready values."""
    return {
        "name": caller.name,
        "routes": caller.routes,
        "models": caller.models,
        "limits": caller.limits._asdict(),
        "team": caller.team,
        "class": caller.class_,
        "metadata": dict(caller.metadata),
        "made": caller.made,
        "expires": caller.expires,
        "on_store_failure": caller.on_store_failure,
        "keys": [{"made": key.made, "expires": key.expires} for key in caller.keys],
    }


def show(found: list[StoredCaller]) -> None:
    """Callers as a table."""
    if not found:
        print("No keys were made here. Make one with: llama-gateway keys create NAME")
        return
    table = Table(
        "caller", "keys", "team", "class", "routes", "models", "limits", "made", "ends", box=None, pad_edge=False
    )
    for one in found:
        limits = ", ".join(f"{name} {value:g}" for name, value in one.limits._asdict().items() if value is not None)
        lists = [", ".join(names) if names is not None else "all" for names in (one.routes, one.models)]
        ends = moment(one.expires)
        table.add_row(one.name, str(len(one.keys)), one.team or "", one.class_, *lists, limits, moment(one.made), ends)
    console_for(sys.stdout).print(table)


def moment(at: float | None) -> str:
    """A time to the minute, UTC."""
    return "never" if at is None else f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
