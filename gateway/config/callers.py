"""Callers of a policy: who they are by key, what they may use, and which team they belong to."""

from datetime import UTC, datetime, time

from gateway.config.backends import HEADER_VALUE
from gateway.config.context import Context
from gateway.config.problems import Path, clean
from gateway.config.reach import DEFAULT
from gateway.config.schema import AllowanceSpec, CallerSpec
from gateway.routing.policy import key_digest
from gateway.types import Caller, Limits, Team

SHORT = 16  # characters; a shorter key can be guessed


def teams(context: Context) -> dict[str, Team]:
    """The teams of a policy, checked."""
    for name, spec in context.file.teams.items():
        check_limits(spec.limits, ("teams", name), context)
    return {name: Team(name, allowance(spec.limits)) for name, spec in context.file.teams.items()}


def callers(context: Context) -> dict[bytes, Caller]:
    """Each caller by the digest of its key, checked."""
    owners: dict[str, str] = {}
    found: dict[bytes, Caller] = {}
    for name, spec in (context.file.callers or {}).items():
        path: Path = ("callers", name)
        check_key(spec.key, name, owners, context)
        owners.setdefault(spec.key, name)
        check_routes(spec.routes or [], path, context)
        check_models(spec.models or [], path, context)
        check_team(spec, path, context)
        check_limits(spec.limits, path, context)
        check_expiry(spec, path, context)
        found[key_digest(spec.key)] = caller(name, spec, context)
    return found


def caller(name: str, spec: CallerSpec, context: Context) -> Caller:
    """One caller."""
    team = None if spec.team is None else context.file.teams.get(spec.team)
    return Caller(
        name=name,
        routes=None if spec.routes is None else frozenset(spec.routes),
        models=None if spec.models is None else frozenset(spec.models),
        limits=allowance(spec.limits),
        team=None if team is None or spec.team is None else Team(spec.team, allowance(team.limits)),
        class_=spec.class_,
        metadata=dict(spec.metadata),
        expires=None if spec.expires is None else spec.expires.timestamp(),
        on_store_failure=spec.on_store_failure,
    )


def allowance(spec: AllowanceSpec) -> Limits:
    """What may be used."""
    return Limits(spec.rpm, spec.tpm, spec.concurrency, spec.usd_per_day, spec.usd_per_month)


def check_key(key: str, name: str, owners: dict[str, str], context: Context) -> None:
    """A key is one caller's alone, cannot be guessed, and can be sent."""
    path: Path = ("callers", name, "key")
    if key in owners:
        message = f"The callers '{owners[key]}' and '{name}' have the same key. Give each its own."
        context.report.add("LG062", path, message, key=True)
    elif len(key) < SHORT and context.env is not None:
        message = f"The key of '{name}' has less than {SHORT} characters, so it can be guessed. Make a longer one."
        context.report.add("LG060", path, message, key=True)
    if not HEADER_VALUE.fullmatch(key):
        message = f"The key of '{name}' has a character that HTTP cannot carry, so nobody can send it. Remove it."
        context.report.add("LG034", path, message, key=True)


def check_routes(routes: list[str], path: Path, context: Context) -> None:
    """The routes that a caller may use exist."""
    known = [DEFAULT, *(route.name for route in context.file.routes)]
    for index, route in enumerate(routes):
        if route not in known and context.shaped.complete("routes"):
            message = f"There is no route `{clean(route)}`, which the caller '{path[1]}' may use. Correct the name."
            context.report.add("LG061", (*path, "routes", index), message, context.near(route, known))


def check_models(models: list[str], path: Path, context: Context) -> None:
    """The models that a caller may use are known, by their canonical names."""
    served = {name for backend in context.file.backends.values() for name in backend.models}
    for index, model in enumerate(models):
        if model in served or context.known(model) or not context.shaped.complete("backends"):
            continue
        message = f"There is no model `{clean(model)}`, which the caller '{path[1]}' may use. Write a canonical name."
        context.report.add("LG067", (*path, "models", index), message, context.near_model(model, served))


def check_team(spec: CallerSpec, path: Path, context: Context) -> None:
    """The team of a caller exists, and leaves room for what the caller itself may use."""
    if spec.team is None or not context.shaped.complete("teams"):
        return
    team = context.file.teams.get(spec.team)
    if team is None:
        message = f"There is no team `{clean(spec.team)}`, which the caller '{path[1]}' belongs to. Add it to `teams`."
        context.report.add("LG066", (*path, "team"), message, context.near(spec.team, context.file.teams))
        return
    for name, own in spec.limits:
        most = getattr(team.limits, name)
        if own is not None and most is not None and own > most:
            message = f"`{name}` of '{path[1]}' is above its team's {most:g}, so it never binds. Lower it or remove it."
            context.report.add("LG069", (*path, "limits", name), message)


def check_limits(limits: AllowanceSpec, path: Path, context: Context) -> None:
    """A day's budget is no larger than a month's."""
    day, month = limits.usd_per_day, limits.usd_per_month
    if day is not None and month is not None and day > month:
        message = (
            f"`usd_per_day` of '{path[1]}' is above its `usd_per_month`, so it never binds. Lower it or remove it."
        )
        context.report.add("LG069", (*path, "limits", "usd_per_day"), message)


def check_expiry(spec: CallerSpec, path: Path, context: Context) -> None:
    """The key of a caller is still good."""
    now = datetime.combine(context.today, time(), UTC)
    if spec.expires is not None and spec.expires <= now:
        message = (
            f"The key of '{path[1]}' has expired, so it is refused. Give it a later `expires`, or remove the caller."
        )
        context.report.add("LG068", (*path, "expires"), message)
