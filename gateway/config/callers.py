"""Callers of a policy: who they are by key, and which routes they may use."""

from gateway.config.backends import HEADER_VALUE
from gateway.config.context import Context
from gateway.config.problems import Path, clean
from gateway.config.reach import DEFAULT
from gateway.routing.policy import key_digest
from gateway.types import Caller

SHORT = 16  # characters; a shorter key can be guessed


def callers(context: Context) -> dict[bytes, Caller]:
    """Each caller by the digest of its key, checked."""
    owners: dict[str, str] = {}
    found: dict[bytes, Caller] = {}
    known = [DEFAULT, *(route.name for route in context.file.routes)]
    for name, spec in (context.file.callers or {}).items():
        path: Path = ("callers", name)
        if spec.key in owners:
            message = f"The callers '{owners[spec.key]}' and '{name}' have the same key. Give each its own."
            context.report.add("LG062", (*path, "key"), message, key=True)
        elif len(spec.key) < SHORT and context.env is not None:
            message = f"The key of '{name}' has less than {SHORT} characters, so it can be guessed. Make a longer one."
            context.report.add("LG060", (*path, "key"), message, key=True)
        if not HEADER_VALUE.fullmatch(spec.key):
            message = f"The key of '{name}' has a character that HTTP cannot carry, so nobody can send it. Remove it."
            context.report.add("LG034", (*path, "key"), message, key=True)
        owners.setdefault(spec.key, name)
        check_routes(spec.routes or [], path, known, context)
        found[key_digest(spec.key)] = Caller(name, None if spec.routes is None else frozenset(spec.routes))
    return found


def check_routes(routes: list[str], path: Path, known: list[str], context: Context) -> None:
    """The routes that a caller may use exist."""
    for index, route in enumerate(routes):
        if route not in known and context.shaped.complete("routes"):
            message = f"There is no route `{clean(route)}`, which the caller '{path[1]}' may use. Correct the name."
            context.report.add("LG061", (*path, "routes", index), message, context.near(route, known))
