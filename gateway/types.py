"""The nouns: frozen values that every layer shares and none owns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal, NamedTuple, Protocol

OutcomeName = Literal["success", "partial", "upstream_error", "client_cancelled", "timeout", "shed", "rejected"]
Verdict = Literal["ok", "fault", "neutral"]
CacheResult = Literal["hit", "miss", "bypass"]
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens."""

    input: float
    output: float
    cached_input: float | None = None

    def of(self, prompt: float, completion: float, cached: float = 0) -> float:
        """US dollars for a number of prompt tokens, `cached` of which were read from a prefix cache, and completion."""
        cheap = self.input if self.cached_input is None else self.cached_input
        return ((prompt - cached) * self.input + cached * cheap + completion * self.output) / 1e6


class Usage(NamedTuple):
    """Tokens used; `estimated` when the upstream did not say."""

    prompt: int
    completion: int
    cached: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Limits of one attempt, in seconds: tight while another candidate remains, `last` for the final one."""

    connect: float = 2.0
    first_token: float = 12.0
    first_token_last: float = 60.0
    idle: float = 30.0
    total: float = 600.0


@dataclass(frozen=True, slots=True)
class Backend:
    """A server or an account: how to reach it and what is true of everything it serves."""

    name: str
    kind: str
    url: str
    api_key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    location: str = "hosted"
    region: str | None = None
    concurrency: int | None = None
    slots: int = 64
    usd_per_hour: float | None = None
    timeouts: Timeouts = Timeouts()
    keepalive: float = 50.0
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    proxy: str | None = None


@dataclass(frozen=True, slots=True)
class Deployment:
    """One model, served by one backend, at one price and precision."""

    name: str
    backend: str
    model: str
    id: str
    kind: str
    location: str
    capabilities: frozenset[str] = frozenset()
    size: float | None = None
    context: int | None = None
    max_output: int | None = None
    precision: str | None = None
    price: Price | None = None
    region: str | None = None
    retires: date | None = None
    slots: int = 64
    concurrency: int | None = None
    timeouts: Timeouts = Timeouts()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, and which routes they may use (all when None)."""

    name: str
    routes: frozenset[str] | None = None


class CacheControl(NamedTuple):
    """What the caller asks of the cache, in RFC 9111's words; `max_age` in seconds."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: float | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the caller wants: the parsed canonical body and the few facts that routing reads."""

    id: str
    model: str
    body: Json
    stream: bool = False
    include_usage: bool = False
    prompt_tokens: int = 0
    max_tokens: int | None = None
    needs: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    caller: Caller = Caller("anonymous")
    cache: CacheControl = CacheControl()
    arrived: float = 0.0
    deadline: float | None = None
    operation: str = "chat"


class Chunk(NamedTuple):
    """One piece of an answer: canonical JSON bytes as they will be sent, and the same parsed."""

    data: bytes
    body: Json


class ServedModel(NamedTuple):
    """A model that an upstream says it serves; `context` in tokens."""

    id: str
    context: int | None = None


class Forecast(NamedTuple):
    """What a deployment is expected to do for a request: tokens, US dollars, seconds to the first and last token."""

    prompt_tokens: int
    output_tokens: int
    usd: float
    ttft: float
    seconds: float


class Choice(NamedTuple):
    """A deployment to try, with its score: 1.0 is best in everything that the route weighs."""

    deployment: Deployment
    score: float
    forecast: Forecast
    tier: int


class Rejection(NamedTuple):
    """A deployment that is out, and why; `code` is the filter's name, or `policy`."""

    deployment: Deployment
    reason: str
    code: str = "policy"


class Plan(NamedTuple):
    """Whom to try on a route, best first, why the others are out, and the decision in one line."""

    route: str
    weights: tuple[float, ...]
    choices: tuple[Choice, ...]
    rejected: tuple[Rejection, ...]
    reason: str


class Outcome(NamedTuple):
    """What came of one attempt at one deployment; times are of the monotonic clock, in seconds."""

    deployment: Deployment
    outcome: OutcomeName
    verdict: Verdict
    started: float
    ended: float
    first: float | None = None
    usage: Usage | None = None
    cost: float | None = None
    error_type: str = ""
    message: str = ""
    retry_after: float | None = None
    rest: float = 0.0  # seconds of waiting for the upstream after its first content
    streamed: bool = True
    answered: str | None = None  # the model's name as the upstream gave it


class Record(NamedTuple):
    """One request from its first byte to its last: what every observer gets, once; times in seconds."""

    id: str
    at: float  # Unix time of arrival
    outcome: OutcomeName
    status: int
    duration: float
    asked: str = ""  # as the caller wrote it: never a label
    original: str = "other"  # the same as far as the policy knows it: a label
    caller: str = ""
    operation: str = "chat"
    stream: bool = False
    generation: str = ""
    route: str = ""
    deployment: Deployment | None = None
    attempts: tuple[Outcome, ...] = ()
    plan: Plan | None = None
    reason: str = ""
    cache: CacheResult = "bypass"
    usage: Usage | None = None
    cost: float | None = None
    saved: float = 0.0
    ttft: float | None = None
    overhead: tuple[tuple[str, float], ...] = ()  # our own time by phase
    error_type: str = ""
    message: str = ""


class Observer(Protocol):
    """Wants to know what happened."""

    def attempted(self, outcome: Outcome) -> None:
        """An attempt is over."""
        ...

    def answered(self, record: Record) -> None:
        """A request is over."""
        ...
