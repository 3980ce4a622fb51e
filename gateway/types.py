"""The nouns: frozen values that every layer shares and none owns."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

OutcomeName = Literal["success", "partial", "upstream_error", "client_cancelled", "timeout", "shed", "rejected"]
Verdict = Literal["ok", "fault", "neutral"]
CacheResult = Literal["hit", "miss", "bypass", "coalesced"]
Class = Literal["critical", "default", "sheddable", "batch"]  # of requests, the most important first
Fallback = Literal["closed", "local"]  # of a budget whose shared store is away
Json = dict[str, Any]
NOTHING: Mapping[str, str] = MappingProxyType({})


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


class ReadOn(NamedTuple):
    """How many answers that nobody waits for are read to the end at a time, and for how many seconds each."""

    most: int = 8
    seconds: float = 60.0


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
    queue: int = 128  # requests that may wait for it
    queue_wait: float = 2.0  # seconds
    read_on: ReadOn | None = None  # how it is left when nobody waits for its answer any more; None: at once
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
    languages: frozenset[str] = frozenset()  # ISO 639-1 codes it was trained for; empty: not known
    collects: bool = False  # whether its provider may keep or learn from what is sent
    licence: str | None = None  # id of its licence, or of all that bind it: `mit AND llama3.1`
    base: str | None = None  # the canonical name of the model it was tuned from
    price_source: str = "catalogue"  # or `policy`, where that writes it


class Load(NamedTuple):
    """What a server says of its own work: requests, the share of its cache in use, and tokens since it started."""

    running: float
    waiting: float
    kv_usage: float
    tokens: float


class Limits(NamedTuple):
    """What may be used: requests and tokens a minute, requests at a time, US dollars a day and a month (UTC)."""

    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    usd_per_day: float | None = None
    usd_per_month: float | None = None


class Team(NamedTuple):
    """Whom several callers belong to: what it may use holds for all of them together."""

    name: str
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking, which routes and models they may use (all when None), and how much of them."""

    name: str
    routes: frozenset[str] | None = None
    models: frozenset[str] | None = None  # canonical names
    limits: Limits = Limits()
    team: Team | None = None
    class_: Class = "default"  # of their requests, where these do not ask for a lower one
    metadata: Mapping[str, str] = field(default_factory=lambda: NOTHING, hash=False)
    expires: float | None = None  # Unix time from which their key is not known any more
    on_store_failure: Fallback = "closed"


class Subject(NamedTuple):
    """A caller, or the team it belongs to."""

    name: str
    limits: Limits
    team: bool = False

    @property
    def prefix(self) -> str:
        """What is put before the name of a limit."""
        return "team_" if self.team else ""


class Level(NamedTuple):
    """How much a subject has used: of its buckets, at this moment; and nano-dollars, reserved ones included."""

    subject: Subject
    requests: float = 0.0
    tokens: float = 0.0
    flying: int = 0
    day: int = 0
    month: int = 0


class CacheControl(NamedTuple):
    """What the caller asks of the cache, in RFC 9111's words; `max_age` in seconds."""

    no_cache: bool = False
    no_store: bool = False
    only_if_cached: bool = False
    max_age: float | None = None


class Preferences(NamedTuple):
    """What a caller asks of the choice, in the words of OpenRouter's `provider` object: it narrows, never widens.

    Names of providers are those of backends or of provider kinds, in lower case; prices are US dollars per million
    tokens; `sort` is `price`, `latency` or `throughput`; `models` are canonical names where the policy knows them.
    """

    order: tuple[str, ...] = ()
    only: frozenset[str] | None = None
    ignore: frozenset[str] = frozenset()
    sort: str | None = None
    max_prompt_price: float | None = None
    max_completion_price: float | None = None
    quantizations: frozenset[str] | None = None
    require_parameters: bool = False
    allow_fallbacks: bool = True
    data_collection: str = "allow"
    models: tuple[str, ...] = ()


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
    at: float = 0.0  # Unix time of arrival
    preferences: Preferences | None = None
    trace: str = ""  # the `traceparent` of what is done for it; empty where nobody traces
    size: int = 0  # bytes of the body as it came; 0 when it never was bytes


class Chunk(NamedTuple):
    """One piece of an answer: canonical JSON bytes as they will be sent, and the same parsed."""

    data: bytes
    body: Json


class Forecast(NamedTuple):
    """What a deployment is expected to do for a request: tokens, US dollars, seconds to the first and last token."""

    prompt_tokens: int
    output_tokens: int
    usd: float
    ttft: float
    seconds: float  # in half of the cases
    late: float = 0.0  # seconds to the last token that only one in twenty exceeds


class Choice(NamedTuple):
    """A deployment to try, with its score: 1.0 is best in everything that the route weighs."""

    deployment: Deployment
    score: float
    forecast: Forecast
    tier: int
    when: str = ""  # the cause that called it from the reserve
    place: int = 0  # in the columns of its plan


class Ranked(Sequence[Choice]):
    """Choices that can be told without making each of them."""

    __slots__ = ()

    @abstractmethod
    def deployments(self) -> list[Deployment]:
        """Whom they are of, in their order."""

    @abstractmethod
    def numbers(self) -> list[float]:
        """Scores, tiers, places, and forecast after forecast."""


class Rejection(NamedTuple):
    """A deployment that is out, and why; `code` is the filter's name, or `policy`."""

    deployment: Deployment
    reason: str
    code: str = "policy"


class Plan(NamedTuple):
    """Whom to try on a route, best first, why the others are out, and the decision in one line."""

    route: str
    weights: tuple[float, ...]
    choices: Sequence[Choice]
    rejected: tuple[Rejection, ...]
    reason: str
    arm: str = ""  # of the route's split
    causes: frozenset[str] = frozenset()  # that called reserves
    leading: frozenset[str] = frozenset()  # names of deployments that are as good as the best
    columns: tuple[Sequence[float], ...] = ()  # for each weight: what every candidate has of it, in its unit
    full: bool = False  # whether all of them are full: the first that takes one more is waited for
    allowed: Sequence[Deployment] = ()  # those of the choices, in no order
