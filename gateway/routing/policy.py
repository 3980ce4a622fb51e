"""A compiled policy: frozen, with a generation; what the planner and the engine read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import NamedTuple

from gateway.catalogue.facts import ModelFacts
from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate, Lane
from gateway.routing.rollout import Rollout
from gateway.types import Backend, Caller, ChatRequest, Deployment, Rejection, Team

Matcher = Callable[[ChatRequest, StatsBook], str | None]  # why a request does not match; None when it does
Detect = Callable[[ChatRequest], str | None]  # the language of a request (ISO 639-1), None when it cannot be told


class Weights(NamedTuple):
    """How much each term counts; they add up to one."""

    cost: float = 0.5
    latency: float = 0.5
    size: float = 0.0
    failures: float = 0.0


class Arm(NamedTuple):
    """A part of a route's requests and who answers them: its own candidates first, then the route's."""

    name: str
    weight: float  # share of the requests
    lane: Lane
    rollout: Rollout | None = None


class Burst(NamedTuple):
    """When own hardware is too slow, hosted deployments join; seconds to the first token, US dollars an hour."""

    above: float
    below: float
    usd_per_hour: float | None = None


class Shadow(NamedTuple):
    """Requests that are mirrored to others, whose answers nobody gets; US dollars an hour."""

    lane: Lane
    share: float
    usd_per_hour: float | None = None


class Semantic(NamedTuple):
    """When another question counts as the same: how alike their vectors are at least (cosine), and who makes those."""

    threshold: float
    embedders: tuple[Deployment, ...]


class Hedge(NamedTuple):
    """When a second deployment is asked beside a first one that is slow to begin: seconds, and a share of requests."""

    after: float | None = None  # None: the time that one request in twenty exceeds, as measured
    budget: float = 0.02


class CachePolicy(NamedTuple):
    """How a route caches; `ttl` in seconds."""

    ttl: float
    share: str = "caller"  # who gets an answer again: caller, team or all
    answers: int = 1  # kept of one request whose answers differ
    coalesce: bool = True  # whether requests that are the same at the same time are one
    semantic: Semantic | None = None


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
    retry_budget: float = 0.1  # retries of a deployment, by requests
    arms: tuple[Arm, ...] = ()  # of a split; what they leave is the route's own
    sticky: str = "request"  # what keeps its arm: request, caller or conversation
    burst: Burst | None = None
    shadow: Shadow | None = None
    escalate: frozenset[str] = frozenset()  # what is wrong with an answer that a larger model shall do better
    detect: Detect | None = None  # where the language of a request decides which models are adequate
    mid_stream: str = "error"
    wait: float = 0.0  # seconds, for a candidate when there is none
    hedge: Hedge | None = None
    repair: bool = False  # leaked tool calls
    cache: CachePolicy | None = None
    lane: Lane = field(init=False, repr=False, compare=False)
    causes: frozenset[str] = field(init=False, repr=False, compare=False)  # for which it holds candidates back
    served: Mapping[str, Deployment] = field(init=False, repr=False, compare=False)  # whose kept answers are good

    def __post_init__(self) -> None:
        lane = Lane(self.candidates)
        object.__setattr__(self, "lane", lane)
        object.__setattr__(self, "causes", lane.causes.union(*(arm.lane.causes for arm in self.arms)))
        lanes = () if self.cache is None else (lane, *(arm.lane for arm in self.arms))
        served = {served_as(deployment): deployment for lane in lanes for deployment in lane.deployments}
        object.__setattr__(self, "served", served)

    def mismatch(self, request: ChatRequest, book: StatsBook) -> str | None:
        """Why the request is not this route's; None when it is."""
        for matcher in self.matchers:
            if reason := matcher(request, book):
                return reason
        return None


def served_as(deployment: Deployment) -> str:
    """A deployment and what its answers depend on in one text: it is another one where any of that has changed."""
    facts = (deployment.name, deployment.model, deployment.id, deployment.kind, deployment.location)
    return "\0".join((*facts, deployment.region or "", deployment.precision or ""))


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
    teams: Mapping[str, Team] = field(default_factory=dict)
    source: str = ""
    models: Mapping[str, ModelFacts] = field(default_factory=dict)  # by canonical name
    headers: frozenset[str] = frozenset()  # that its routes look at

    def route(self, request: ChatRequest, book: StatsBook) -> Route | None:
        """The first route that matches, else the implicit one of a model this policy serves."""
        model = request.model if request.model in self.by_model else self.canonical(request.model)
        if model is not None and model != request.model:
            request = replace(request, model=model)
        for route in self.any_model if model is None else self.by_model.get(model, self.any_model):
            if route.mismatch(request, book) is None:
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
