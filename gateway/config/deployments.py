"""Deployments of a policy: what is true of each model at each backend, from the file, else the catalogue."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.catalogue import Host, Model
from gateway.catalogue.facts import ModelFacts
from gateway.catalogue.retirement import notice
from gateway.config.backends import Server
from gateway.config.context import Context
from gateway.config.problems import Path, clean
from gateway.config.schema import DeploymentSpec, ModelSpec
from gateway.types import Deployment, Price


@dataclass(frozen=True, slots=True)
class Served:
    """A deployment, why it is switched off if its backend is, and why its licence bars it for everybody here."""

    deployment: Deployment
    off: str | None = None
    barred: str | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """What the routes choose from."""

    servers: Mapping[str, Server]
    served: Mapping[str, Sequence[Served]]  # by model
    spellings: Mapping[str, frozenset[str]]  # canonical name -> every other way it may be asked for


def served(servers: dict[str, Server], models: Mapping[str, ModelFacts], context: Context) -> list[Served]:
    """Every deployment of the file, checked."""
    found = []
    for name, spec in context.file.backends.items():
        server = servers[name]
        for model, written in spec.models.items():
            one = deployment(server, models[model], written, context)
            found.append(Served(one, server.off, barred(one, models[model], context)))
    return found


def barred(found: Deployment, facts: ModelFacts, context: Context) -> str | None:
    """Why the licence of its model keeps a deployment from us."""
    terms = next((one for one in facts.licences if one.outside_eu), None)
    if terms is None or context.file.org.region != "eu":
        return None
    message = (
        f"The licence of {found.name} ({terms.name}) is not granted to organisations in the EU, so no route uses it. "
        f"Leave it out; with an agreement of your own, write `models: {{{found.model}: {{licence: ours}}}}`."
    )
    context.report.add("LG049", ("backends", found.backend, "models", found.model), message, key=True)
    return f"is under the {terms.name}, which is not granted to organisations in the EU"


def deployment(server: Server, facts: ModelFacts, spec: DeploymentSpec, context: Context) -> Deployment:
    """One model at one backend: what its entry says, else `models`, else the catalogue's host, else its model."""
    model = facts.name
    path: Path = ("backends", server.backend.name, "models", model)
    own = context.file.models.get(model, ModelSpec())
    host = host_of(server, context.catalogue.get(model), spec, context)
    id = identify(server, model, spec, host, path, context)
    backend = server.backend
    found = Deployment(
        name=f"{backend.name}/{model}",
        backend=backend.name,
        model=model,
        id=id,
        kind=backend.kind,
        location=backend.location,
        capabilities=capabilities(server, spec, facts),
        size=facts.size,
        context=spec.context or own.context or (host.context if host else None) or facts.context,
        max_output=spec.max_output or (host.max_output if host else None),
        precision=spec.precision or context.catalogue.precision_of(id) or (host.precision if host else None),
        price=price(spec, host),
        price_source="catalogue" if spec.price is None else "policy",
        region=backend.region,
        retires=spec.retires or own.retires or (host.retires if host else None),
        slots=backend.slots,
        concurrency=backend.concurrency,
        timeouts=backend.timeouts,
        languages=facts.languages,
        collects=collects(server, context),
        licence=facts.licence,
        base=facts.base,
    )
    check(found, path, context)
    return found


def collects(server: Server, context: Context) -> bool:
    """Whether the backend may keep or learn from what it is sent: hosted ones may unless they are said not to."""
    written = context.file.backends[server.backend.name].data_collection
    return server.backend.location == "hosted" if written is None else written == "allow"


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


def capabilities(server: Server, spec: DeploymentSpec, facts: ModelFacts) -> frozenset[str]:
    """What the model can do, as far as the provider kind passes it on, and what the kind can do with any model."""
    can = facts.capabilities if spec.capabilities is None else frozenset(spec.capabilities)
    passed = can if server.kind.capabilities is None else can & server.kind.capabilities
    return passed | server.kind.offers


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
    said = notice(found.model, found.kind, clean(found.id), found.retires, context.today, context.catalogue)
    if said is not None:
        code = "LG045" if said.stage == "gone" else "LG046"
        context.report.add(code, path, f"The provider of {found.name} {said.what}. {said.advice}", key=True)
