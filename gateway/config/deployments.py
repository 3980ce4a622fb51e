"""Deployments of a policy: what is true of each model at each backend, from the file, else the catalogue."""

from dataclasses import dataclass
from datetime import timedelta

from gateway.catalogue import Host, Model
from gateway.config.backends import Server
from gateway.config.context import Context
from gateway.config.problems import Path, clean
from gateway.config.schema import DeploymentSpec, ModelSpec
from gateway.types import Deployment, Price

SOON = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Served:
    """A deployment, and why it is switched off if its backend is."""

    deployment: Deployment
    off: str | None = None


def served(servers: dict[str, Server], context: Context) -> list[Served]:
    """Every deployment of the file, checked."""
    check_bases(context)
    found = []
    for name, spec in context.file.backends.items():
        server = servers[name]
        for model, facts in spec.models.items():
            found.append(Served(deployment(server, model, facts, context), server.off))
    return found


def check_bases(context: Context) -> None:
    """Each declared model's base is in the catalogue."""
    names = [model.name for model in context.catalogue.models]
    for name, spec in context.file.models.items():
        if spec.base is not None and context.catalogue.get(spec.base) is None:
            message = f"The base `{clean(spec.base)}` of '{name}' is not in the catalogue. Correct it, or leave it out."
            hint = context.near_model(spec.base, names)
            context.report.add("LG042", ("models", name, "base"), message, hint)


def deployment(server: Server, model: str, spec: DeploymentSpec, context: Context) -> Deployment:
    """One model at one backend: what its entry says, else `models`, else the catalogue's host, else its model."""
    path: Path = ("backends", server.backend.name, "models", model)
    listed = context.catalogue.get(model)
    own = context.file.models.get(model, ModelSpec())
    base = listed or (context.catalogue.get(own.base) if own.base else None)
    host = host_of(server, listed, spec, context)
    id = identify(server, model, spec, host, path, context)
    backend = server.backend
    found = Deployment(
        name=f"{backend.name}/{model}",
        backend=backend.name,
        model=model,
        id=id,
        kind=backend.kind,
        location=backend.location,
        capabilities=capabilities(server, spec, own, base),
        size=own.size or (base.size if base else None),
        context=spec.context or own.context or (host.context if host else None) or (base.context if base else None),
        max_output=spec.max_output or (host.max_output if host else None),
        precision=spec.precision or context.catalogue.precision_of(id) or (host.precision if host else None),
        price=price(spec, host),
        region=backend.region,
        retires=host.retires if host else None,
        slots=backend.slots,
        concurrency=backend.concurrency,
        timeouts=backend.timeouts,
    )
    check(found, path, context)
    return found


def host_of(server: Server, model: Model | None, spec: DeploymentSpec, context: Context) -> Host | None:
    """The catalogue's entry for a model at a provider kind, under the written id if there is one."""
    if model is None:
        return None
    if spec.id is None:
        return context.catalogue.host(model, server.kind.name, context.today)
    wanted = spec.id.lower()
    return next((host for host in model.hosts.get(server.kind.name, ()) if host.id.lower() == wanted), None)


def identify(server: Server, model: str, spec: DeploymentSpec, host: Host | None, path: Path, context: Context) -> str:
    """The model's name at the backend; says so when it can only be guessed."""
    if not context.known(model):
        unknown(server, model, spec, path, context)
    elif spec.id is None and host is None and server.kind.url is not None:
        message = f"The catalogue knows no id of {model} at {server.kind.name}. Write it: `{model}: {{id: ...}}`."
        context.report.add("LG043", path, message, key=True)
    return spec.id or (host.id if host else model)


def unknown(server: Server, model: str, spec: DeploymentSpec, path: Path, context: Context) -> None:
    """A model that is neither in the catalogue nor declared: an error, unless its id is written."""
    hint = context.near_model(model, [*context.file.models, *(one.name for one in context.catalogue.models)])
    where = f"The model `{clean(model)}` of the backend '{server.backend.name}'"
    if spec.id is None:
        message = f"{where} is not in the catalogue. Correct the name, or declare it under `models`."
        context.report.add("LG040", path, message, hint, key=True)
    else:
        message = f"{where} is not in the catalogue, so its size is unknown. Declare it under `models`, with its size."
        context.report.add("LG041", path, message, hint, key=True)


def capabilities(server: Server, spec: DeploymentSpec, own: ModelSpec, base: Model | None) -> frozenset[str]:
    """What the model can do, as far as the provider kind passes it on."""
    if spec.capabilities is not None:
        can = frozenset(spec.capabilities)
    elif own.capabilities is not None:
        can = frozenset(own.capabilities)
    else:
        can = base.capabilities if base else frozenset()
    return can if server.kind.capabilities is None else can & server.kind.capabilities


def price(spec: DeploymentSpec, host: Host | None) -> Price | None:
    """US dollars per million tokens."""
    if spec.price is None:
        return host.price if host else None
    return Price(spec.price.input, spec.price.output, spec.price.cached_input)


def check(found: Deployment, path: Path, context: Context) -> None:
    """Facts that will surprise: no price, no future."""
    if found.price is None and found.location == "hosted":
        message = f"The price of {found.name} is unknown, so it counts as dear. Write `price: {{input: 1, output: 1}}`."
        context.report.add("LG044", path, message, key=True)
    if found.retires is None:
        return
    if found.retires <= context.today:
        message = f"The provider of {found.name} retired `{clean(found.id)}` on {found.retires}. Use another one."
        context.report.add("LG045", path, message, key=True)
    elif found.retires - context.today <= SOON:
        days = (found.retires - context.today).days
        message = f"The provider of {found.name} retires `{clean(found.id)}` on {found.retires} (in {days} days)."
        context.report.add("LG046", path, f"{message} Plan its replacement.", key=True)
