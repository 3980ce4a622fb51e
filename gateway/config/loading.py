"""Reads a policy file: parse, expand, shape, check, compile. All that is wrong is told at once."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from gateway.catalogue import Catalogue
from gateway.config import secrets
from gateway.config.backends import servers
from gateway.config.callers import callers
from gateway.config.context import Context
from gateway.config.deployments import Served, served
from gateway.config.document import parse
from gateway.config.problems import Place, Problem, clean
from gateway.config.report import Report
from gateway.config.routes import Fleet, implicit_routes, named_routes
from gateway.config.shape import shape
from gateway.config.variables import expand as fill
from gateway.routing.policy import Policy, Route

__all__ = ["Loaded", "Problem", "load", "read"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy, or None when there is any error, with everything there is to say about its file."""

    policy: Policy | None
    problems: tuple[Problem, ...]
    source: bytes


def load(path: Path, env: Mapping[str, str], catalogue: Catalogue, today: date) -> Loaded:
    """The policy in a file; a file that cannot be opened is a problem like any other."""
    try:
        text = path.read_bytes()
    except OSError as exc:
        report = Report(str(path))
        report.add("LG024", Place(1, 1), f"The policy {clean(str(path), 200)} cannot be read: {exc.strerror}.")
        return Loaded(None, report.problems(), b"")
    return read(text, str(path), env, catalogue, today)


def read(
    text: bytes, name: str, env: Mapping[str, str], catalogue: Catalogue, today: date, expand: bool = True
) -> Loaded:
    """The policy in a text; with `expand` off it is a draft: no variable or file is read and no class imported."""
    report = Report(name)
    policy = policy_of(text, env if expand else None, catalogue, today, report)
    return Loaded(None if report.failed() else policy, report.problems(), text)


def policy_of(
    text: bytes, env: Mapping[str, str] | None, catalogue: Catalogue, today: date, report: Report
) -> Policy | None:
    """The compiled policy, as far as there is one; what is wrong goes to the report."""
    document = parse(text, report)
    if document is None:
        return None
    masks = secrets.structural(report.lines, document.keys, document.values)
    report.places(document.keys, document.values, masks)
    expansion = fill(document.data, env, report)
    shaped = shape(expansion.data, report)
    if shaped is None:
        return None
    context = Context(shaped, report, catalogue, today, env, expansion.off)
    return compiled(context, hashlib.sha256(text).hexdigest()[:12])


def compiled(context: Context, generation: str) -> Policy:
    """The policy of a file, all checks made."""
    hosts = servers(context)
    everything = served(hosts, context)
    on = [one for one in everything if one.off is None]
    ids = spellings(everything, context)
    fleet = Fleet(hosts, grouped(everything), ways(ids))
    routes = named_routes(fleet, context)
    implicit = implicit_routes(fleet, context)
    asked = {name for spec in context.file.routes for name in spec.match.model or ()}
    return Policy(
        generation=generation,
        backends={name: server.backend for name, server in hosts.items() if server.off is None},
        deployments=tuple(one.deployment for one in on),
        routes=routes,
        model_routes=implicit,
        spellings=lowered(ids),
        by_model=by_model(routes, context, fleet),
        any_model=tuple(
            route for route, spec in zip(routes, context.file.routes, strict=True) if spec.match.model is None
        ),
        names=tuple(sorted({*asked, *implicit})),
        callers=callers(context),
        source=context.report.file,
    )


def grouped(everything: Sequence[Served]) -> dict[str, list[Served]]:
    """Deployments by model."""
    found: dict[str, list[Served]] = {}
    for one in everything:
        found.setdefault(one.deployment.model, []).append(one)
    return found


def spellings(everything: Sequence[Served], context: Context) -> list[tuple[str, str]]:
    """Every id of the policy's models, here and at any host, with the canonical name; the first of an id counts."""
    found = [(one.deployment.id, one.deployment.model) for one in everything]
    for name in dict.fromkeys(one.deployment.model for one in everything):
        listed = context.catalogue.get(name)
        found += [(host.id, name) for hosts in (listed.hosts.values() if listed else ()) for host in hosts]
        found.append((name, name))
    return found


def lowered(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Lower-case id -> canonical name; a name of its own goes before any other use of it."""
    found = {id.lower(): name for id, name in reversed(pairs)}
    return found | {name.lower(): name for _, name in pairs}


def ways(pairs: Sequence[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Canonical name -> its spellings, as written and in lower case."""
    meant = lowered(pairs)
    found: dict[str, set[str]] = {}
    for id, _ in pairs:
        found.setdefault(meant[id.lower()], set()).update((id, id.lower()))
    return {name: frozenset(group) for name, group in found.items()}


def by_model(routes: Sequence[Route], context: Context, fleet: Fleet) -> dict[str, tuple[Route, ...]]:
    """For each name and spelling that a route asks for: the routes that may match it, in the file's order."""
    anyone = [index for index, spec in enumerate(context.file.routes) if spec.match.model is None]
    found: dict[str, set[int]] = {}
    for index, spec in enumerate(context.file.routes):
        for name in spec.match.model or ():
            for way in (name, *fleet.spellings.get(name, ())):
                found.setdefault(way, set(anyone)).add(index)
    return {name: tuple(routes[index] for index in sorted(places)) for name, places in found.items()}
