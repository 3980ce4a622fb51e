"""What happened: an attempt, a request, a mirrored one; what every observer gets, once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway.types import NOTHING, CacheResult, Deployment, OutcomeName, Plan, Usage, Verdict


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
    streamed: bool = True  # piece by piece: `first` is the first of several
    answered: str | None = None  # the model's name as the upstream gave it
    request: str = ""  # id of the request
    wasted: int = 0  # tokens of the completion that nobody got


class Sketch(NamedTuple):
    """What is kept of a request so that it can be planned again: not a word of its prompt. Tokens, Unix time."""

    model: str  # as the caller wrote it
    at: float = 0.0
    stream: bool = False
    prompt_tokens: int = 0
    max_tokens: int | None = None
    needs: frozenset[str] = frozenset()
    headers: Mapping[str, str] = NOTHING  # those that the policy looks at
    metadata: Mapping[str, str] = NOTHING
    caller: str = ""
    operation: str = "chat"


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
    sketch: Sketch | None = None
    traceparent: str = ""  # as the caller sent it
    trace: str = ""  # of the request itself, where it is traced


class Measured(NamedTuple):
    """What is measured of an answer so that it can be compared with another; nothing of its text. Seconds, US dollars.

    `seconds` and `ttft` are the upstream's alone. `ttft` is None where an answer is given when it is whole.
    """

    deployment: Deployment
    tokens: int | None  # of the completion; None when the upstream did not say
    characters: int
    seconds: float
    ttft: float | None
    cost: float | None
    finish: tuple[str, ...]  # one for each choice
    flaw: str | None = None  # of JSON or tool calls that were asked for


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What came of mirroring one request; both sides are known when both answers were whole.

    `outcome` is the attempt's, or why there was none: `dropped` (too many at once), `budget`, `no_candidate`; or
    `shutdown`, which ended it.
    """

    id: str  # of the request
    route: str
    outcome: str
    deployment: Deployment | None = None
    cost: float | None = None
    error_type: str = ""
    message: str = ""
    answer: Measured | None = None  # the caller's
    shadow: Measured | None = None
    ratios: tuple[tuple[str, float], ...] = ()  # length, ttft, seconds, cost: the shadow's by the answer's
    same_calls: bool | None = None  # whether both call the same tools; None when neither calls any


class Observer(Protocol):
    """Wants to know what happened."""

    def attempted(self, outcome: Outcome) -> None:
        """An attempt is over."""
        ...

    def answered(self, record: Record) -> None:
        """A request is over."""
        ...

    def shadowed(self, told: Shadowed) -> None:
        """A request was mirrored, or should have been."""
        ...
