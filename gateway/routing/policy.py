"""A compiled policy: frozen, with a generation; what the planner and the engine read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import NamedTuple

from gateway.types import Backend, Caller, ChatRequest, Deployment, Rejection, Timeouts

Matcher = Callable[[ChatRequest], str | None]  # why a request does not match; None when it does


class Weights(NamedTuple):
    """How much each term counts; they add up to one."""

    cost: float = 0.5
    latency: float = 0.5
    size: float = 0.0


class Candidate(NamedTuple):
    """A deployment that a route may use; lower tiers are tried first, whatever the score."""

    deployment: Deployment
    tier: int = 0


class CachePolicy(NamedTuple):
    """How a route caches; `ttl` in seconds."""

    ttl: float
    mode: str = "exact"


@dataclass(frozen=True, slots=True)
class Route:
    """A match, the deployments it allows, and how to choose among them."""

    name: str
    models: tuple[str, ...]
    asked: tuple[str, ...] = ()  # names that a caller may write as `model` to get here
    matchers: tuple[Matcher, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    excluded: tuple[Rejection, ...] = ()  # by the policy alone, whatever the request
    weights: Weights = Weights()
    max_usd: float | None = None
    max_ttft: float | None = None  # seconds
    attempts: int = 3
    timeouts: Mapping[str, Timeouts] = field(default_factory=dict)  # by backend, where they differ from its own
    cache: CachePolicy | None = None

    def mismatch(self, request: ChatRequest) -> str | None:
        """Why the request is not this route's; None when it is."""
        for matcher in self.matchers:
            if reason := matcher(request):
                return reason
        return None


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything a policy file says, ready to be used; one request sees exactly one generation."""

    generation: str
    backends: Mapping[str, Backend]
    deployments: tuple[Deployment, ...]
    routes: tuple[Route, ...]
    model_routes: Mapping[str, Route]  # canonical name -> the route of `defaults`
    spellings: Mapping[str, str]  # lower-case id at any host -> canonical name
    by_model: Mapping[str, tuple[Route, ...]]  # model name asked -> routes that may match, in order
    any_model: tuple[Route, ...]  # routes that name no model, in order
    names: tuple[str, ...]  # everything a caller may write as `model`
    callers: Mapping[bytes, Caller] = field(default_factory=dict, repr=False)  # by the digest of their key
    source: str = ""

    def route(self, request: ChatRequest) -> Route | None:
        """The first route that matches, else the implicit one of a model this policy serves."""
        model = request.model if request.model in self.by_model else self.canonical(request.model)
        if model is not None and model != request.model:
            request = replace(request, model=model)
        for route in self.any_model if model is None else self.by_model.get(model, self.any_model):
            if route.mismatch(request) is None:
                return route
        return None if model is None else self.model_routes.get(self.canonical(model) or model)

    def canonical(self, name: str) -> str | None:
        """The canonical name of a model of this policy, from any spelling of it."""
        return name if name in self.model_routes else self.spellings.get(name.lower())

    def label(self, name: str) -> str:
        """A model name as a metric may carry it: one that the policy knows, else `other`."""
        return name if name in self.by_model else self.canonical(name) or "other"

    def caller(self, key: str) -> Caller | None:
        """Whose key it is. Only digests are kept and compared, so the time tells nothing of a key."""
        return self.callers.get(key_digest(key))


def key_digest(key: str) -> bytes:
    """What is kept of a caller's key."""
    return sha256(key.encode("utf-8", "replace")).digest()
