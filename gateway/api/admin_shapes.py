"""The shapes of the admin plane's answers, as its OpenAPI document has them; nothing is built of them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

Number = float | None
Name = Annotated[str, Field(max_length=200)]


class Shape(BaseModel):
    """An object whose keys are all here."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """A problem document (RFC 9457)."""

    model_config = ConfigDict(extra="allow")
    type: str
    title: str
    status: int
    detail: str


class Finding(Shape):
    """One finding of `check`: a code, where, a sentence that says what and what to do."""

    code: str
    severity: Literal["error", "warning", "info"]
    file: str
    line: int
    column: int
    message: str
    excerpt: str
    hint: str


class InForce(Shape):
    """The version in force, and whether a rollback holds it until the file changes."""

    generation: str
    pinned: bool


class PolicyView(InForce):
    """The policy in force, its files, and why the files as they are now are not in force."""

    file: str
    files: list[str]
    secret_files: list[str]
    changed: float
    last_reload: Literal["ok", "refused"]
    problems: list[Finding]
    routes: list[str]


class Reloaded(InForce):
    """What a reload has led to."""

    problems: list[str]


class RolledBack(InForce):
    """What a rollback has led to."""

    change: str


class VersionRow(Shape):
    """A version of the policy."""

    generation: str
    at: float
    by: Literal["start", "file", "secret", "signal", "admin", "rollback"]
    change: str
    current: bool


class SourceFile(Shape):
    """A file of the policy, its credentials covered, with what `check` says of it."""

    file: str
    text: str
    problems: list[Finding]


class Source(Shape):
    """The files as they are now; not in force when the last reload was refused."""

    in_force: bool
    files: list[SourceFile]


class Draft(Shape):
    """A draft of a policy."""

    text: Annotated[str, Field(max_length=1 << 20)]


class Compared(Draft):
    """A draft that is compared with the policy in force, and on request with the last requests planned by both."""

    replay: bool = True


class Asked(Shape):
    """A request whose plan is wanted, by a draft or by the policy in force."""

    request: dict[str, JsonValue]
    headers: dict[str, str] = {}
    caller: Name | None = None
    text: Annotated[str, Field(max_length=1 << 20)] | None = None


class Checked(Shape):
    """What `check` says of a draft."""

    errors: int
    warnings: int
    problems: list[Finding]


class PlanView(BaseModel):
    """A plan: whom to ask, in what order, with every term; and why the others are out."""

    model_config = ConfigDict(extra="allow")
    route: str
    reason: str
    weights: dict[str, float]
    choices: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    reserves: list[dict[str, Any]]


class DifferenceView(BaseModel):
    """What differs, in words and fields, and what becomes of the last requests."""

    model_config = ConfigDict(extra="allow")
    changes: list[dict[str, Any]]
    privacy: list[dict[str, Any]]
    requests: dict[str, Any] | None


class DeploymentRow(Shape):
    """A deployment now: health, breaker, load and latency in seconds; prices in US dollars per million tokens."""

    deployment: str
    backend: str
    model: str
    id: str
    location: str
    in_flight: int
    concurrency: int | None
    up: bool
    breaker: Literal["closed", "half_open", "open"]
    faults: int
    ejected_for: float
    ejected_because: str
    resting_for: Number
    resting_because: str
    drained: bool
    measured: bool
    ttft: float
    per_token: float
    price: list[float] | None
    retires: str | None
    recent_ttfts: list[float]


class Drained(Shape):
    """What an operator has told a backend."""

    backend: str
    drained: bool
    in_flight: int


class RequestRow(BaseModel):
    """A request in a line; seconds, US dollars."""

    model_config = ConfigDict(extra="allow")
    id: str
    at: float
    asked: str
    caller: str
    route: str
    model: str | None
    backend: str | None
    outcome: str
    status: int
    stream: bool
    cache: str
    attempts: int
    prompt_tokens: int | None
    completion_tokens: int | None
    cost_usd: Number
    ttft: Number
    duration: float
    reason: str
    error_type: str
    message: str


class RequestStory(BaseModel):
    """A request with its plan, its attempts and what came of its copy."""

    model_config = ConfigDict(extra="allow")
    id: str
    plan: PlanView | None
    attempts: list[dict[str, Any]]
    shadow: dict[str, Any] | None


class Overview(Shape):
    """The last minutes by the second, the sums since the start, and what is in force."""

    at: float
    in_flight: int
    deployments: dict[str, int]
    totals: dict[str, float]
    ticks: dict[str, list[Number]]
    policy: dict[str, Any]


class ModelRow(BaseModel):
    """A model of the policy: what is true of it, and where it is served."""

    model_config = ConfigDict(extra="allow")
    id: str
    licences: list[dict[str, Any]]
    served: list[dict[str, Any]]
