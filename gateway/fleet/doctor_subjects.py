"""Whom the doctor looks at: a policy's backends, or what a look around found; and what is known without asking."""

from collections.abc import Iterable, Mapping, Sequence

from gateway.catalogue import Catalogue
from gateway.config.problems import Problem
from gateway.fleet.checks.finding import Finding, Subject
from gateway.fleet.found import Discovery, Found, FoundModel
from gateway.fleet.hosted import Account, importable
from gateway.providers.registry import provider_class
from gateway.routing.policy import Policy
from gateway.types import Backend, Deployment

RETIREMENT = ("LG045", "LG046")  # the doctor has its own words for these


def of_policy(policy: Policy, env: Mapping[str, str]) -> Sequence[Subject]:
    """Every backend of a policy that is switched on."""
    return [of_backend(backend, policy, env) for backend in policy.backends.values()]


def of_backend(backend: Backend, policy: Policy, env: Mapping[str, str]) -> Subject:
    """One backend with its deployments."""
    credential = provider_class(backend.kind).kind.credential
    own = credential is not None and backend.api_key is not None and env.get(credential) == backend.api_key
    deployments = tuple(one for one in policy.deployments if one.backend == backend.name)
    return Subject(backend, deployments, credential, credential if own and credential else "its `api_key`")


def problems(found: Iterable[Problem]) -> list[Finding]:
    """What is wrong with a policy file: keys that are not set among it."""
    return [
        Finding(problem.severity, "policy", f"{problem.file}:{problem.line}", problem.message, problem.hint)
        for problem in found
        if problem.code not in RETIREMENT
    ]


def server_subject(found: Found, catalogue: Catalogue) -> Subject:
    """A server of this machine that was found."""
    kind = provider_class(found.kind).kind
    backend = Backend(found.name, found.kind, found.url or "", location=found.location, slots=found.slots or kind.slots)
    return Subject(backend, tuple(expected(backend, model, catalogue) for model in found.models))


def account_subject(account: Account, url: str | None) -> Subject:
    """An account that the environment shows; `url` only where it is not the provider's own."""
    return Subject(account.backend(url), (), account.variable, account.variable, account=True)


def filled(subject: Subject, listed: Discovery, catalogue: Catalogue) -> Subject:
    """An account with the models of its list that `up` would use."""
    models = (model for found in listed.found for model in found.models)
    return subject._replace(deployments=tuple(expected(subject.backend, model, catalogue) for model in models))


def expected(backend: Backend, found: FoundModel, catalogue: Catalogue) -> Deployment:
    """A model that was found, as a policy would have it."""
    model = catalogue.get(found.canonical)
    return Deployment(
        name=f"{backend.name}/{found.canonical}",
        backend=backend.name,
        model=found.canonical,
        id=found.id,
        kind=backend.kind,
        location=backend.location,
        capabilities=model.capabilities if model else frozenset(found.capabilities),
        context=found.context,
        retires=found.retires,
    )


def keys_unset(env: Mapping[str, str]) -> list[Finding]:
    """A note with the credential variables that are not set."""
    names = (provider.kind.credential for provider in importable() if not provider.kind.shared)
    unset = [name for name in dict.fromkeys(names) if name is not None and not env.get(name)]
    if not unset:
        return []
    what = f"Not set, so these providers are not used: {', '.join(unset)}."
    return [Finding("info", "key", "the environment", what, "Set the one of a provider that you have an account with.")]
