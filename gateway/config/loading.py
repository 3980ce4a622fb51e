"""Reads a policy file: parse, expand, shape, check, compile. All that is wrong is told at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from gateway.catalogue import Catalogue
from gateway.config.backends import servers
from gateway.config.callers import callers, teams
from gateway.config.context import Context
from gateway.config.deployments import Fleet, Served, served
from gateway.config.headers import looked_at
from gateway.config.includes import Opener, Whole, opened, whole
from gateway.config.models import models
from gateway.config.prints import Print, print_of
from gateway.config.problems import Place, Problem, clean
from gateway.config.report import Report
from gateway.config.routes import implicit_routes, named_routes
from gateway.config.schema import PolicyFile
from gateway.config.shape import shape
from gateway.routing.policy import Policy, Route

__all__ = ["Loaded", "Problem", "load", "read"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy, or None when there is any error, with everything there is to say about its file."""

    policy: Policy | None
    problems: tuple[Problem, ...]
    source: bytes  # of the first file
    files: tuple[Path, ...] = ()  # that file and those that it includes, missing ones too: a change may be in any
    texts: Mapping[Path, bytes] = field(default_factory=dict, repr=False)  # of those that could be read
    secrets: Mapping[Path, Print] = field(default_factory=dict)  # files that `file:` names, as they were read
    spec: PolicyFile | None = field(default=None, repr=False)  # what the files say, as far as it fits the schema


def load(path: Path, env: Mapping[str, str], catalogue: Catalogue, today: date) -> Loaded:
    """The policy in a file; a file that cannot be opened is a problem like any other."""
    try:
        text = path.read_bytes()
    except OSError as exc:
        report = Report(str(path))
        report.add("LG024", Place(1, 1), f"The policy {clean(str(path), 200)} cannot be read: {exc.strerror}.")
        return Loaded(None, report.problems(), b"", (path,))
    return read(text, str(path), env, catalogue, today)


def read(
    text: bytes,
    name: str,
    env: Mapping[str, str],
    catalogue: Catalogue,
    today: date,
    expand: bool = True,
    opener: Opener = opened,
) -> Loaded:
    """The policy in a text; `name` is its file, to which the paths of included ones are relative.

    With `expand` off it is a draft: no variable or file is read and no class imported.
    """
    report = Report(name)
    put = whole(text, env if expand else None, report, opener)
    if put is None:
        return Loaded(None, report.problems(), text, (Path(name),), {Path(name): text})
    context = context_of(put, env if expand else None, catalogue, today, report)
    policy = None if context is None else compiled(context, put.generation)
    return Loaded(
        policy=None if report.failed() else policy,
        problems=report.problems(),
        source=text,
        files=put.files,
        texts=put.texts,
        secrets={file: print_of(content) for file, content in put.secrets.items()},
        spec=None if context is None else context.file,
    )


def context_of(
    put: Whole, env: Mapping[str, str] | None, catalogue: Catalogue, today: date, report: Report
) -> Context | None:
    """What is to be compiled, if there is anything; what does not fit goes to the report."""
    shaped = shape(put.data, report)
    if shaped is None:
        return None
    return Context(shaped if put.complete else shaped.partial(), report, catalogue, today, env, put.off)


def compiled(context: Context, generation: str) -> Policy:
    """The policy of a file, all checks made."""
    hosts = servers(context)
    facts = models(context)
    everything = served(hosts, facts, context)
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
        teams=teams(context),
        source=context.report.file,
        models=facts,
        headers=looked_at(context.file.routes),
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
