"""The shape of a policy file: what may be written where, and what it means."""

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from gateway.config import units
from gateway.config.document import resolve
from gateway.config.variables import Expanded

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MODEL_NAME = r"^[A-Za-z0-9@][A-Za-z0-9@._:/+-]{0,127}$"


def typed(value: object) -> object:
    """What came from a variable is text: where a number is wanted, read it as one."""
    return resolve(str(value)) if isinstance(value, Expanded) else value


def duration(value: object) -> object:
    """`800ms`, `2s`, `5m`, `1h` in seconds."""
    found = units.seconds(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("unit", "a duration such as 800ms, 2s, 5m or 1h")
    return found


def size(value: object) -> object:
    """`8b`, `0.5b` in billions of parameters."""
    found = units.billions(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("unit", "a size in billions of parameters such as 8b or 0.5b")
    return found


def precision(value: object) -> object:
    """A precision, in lower case."""
    name = value.lower() if isinstance(value, str) else ""
    if units.exactness(name) is None:
        raise PydanticCustomError("precision", "a precision such as bf16, fp8, q8_0 or q4_k_m")
    return name


def listed(value: object) -> object:
    """A single word as a list of one."""
    return [value] if isinstance(value, str) else value


Text = Annotated[str, Field(min_length=1)]
Name = Annotated[str, Field(pattern=NAME)]
ModelName = Annotated[str, Field(pattern=MODEL_NAME)]
Whole = Annotated[int, BeforeValidator(typed), Field(ge=1, le=10**9)]
Count = Annotated[int, BeforeValidator(typed), Field(ge=0, le=10**9)]
Money = Annotated[float, BeforeValidator(typed), Field(ge=0, le=10**9)]
Flag = Annotated[bool, BeforeValidator(typed)]
Duration = Annotated[
    float, BeforeValidator(duration), WithJsonSchema({"type": "string", "pattern": units.DURATION.pattern})
]
Size = Annotated[
    float, BeforeValidator(size), WithJsonSchema({"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?[bB]$"})
]
Precision = Annotated[
    str, BeforeValidator(precision), WithJsonSchema({"type": "string", "examples": units.precisions()})
]
Words = Annotated[
    list[Text],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Location = Literal["self_hosted", "hosted"]
Capabilities = list[Text]


class Spec(BaseModel):
    """A mapping of the policy file: no keys but its own."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class PriceSpec(Spec):
    """US dollars per million tokens."""

    input: Money = Field(description="US dollars per million prompt tokens.", examples=[0.9])
    output: Money = Field(description="US dollars per million completion tokens.", examples=[0.9])
    cached_input: Money | None = Field(default=None, description="The same for prompt tokens read from a prefix cache.")


class DeploymentSpec(Spec):
    """How a backend serves one model; everything left out comes from the catalogue."""

    id: Text | None = Field(default=None, description="The model's name at this backend.", examples=["llama3.1:8b"])
    precision: Precision | None = Field(default=None, description="Of the weights as served here.")
    context: Whole | None = Field(
        default=None, description="Context window as served here, in tokens.", examples=[32768]
    )
    max_output: Whole | None = Field(default=None, description="Longest completion, in tokens.", examples=[4096])
    capabilities: Capabilities | None = Field(default=None, description="What it can do here.", examples=[["tools"]])
    price: PriceSpec | None = Field(default=None, description="Overrides the catalogue's price.")


class LimitsSpec(Spec):
    """What a backend may be asked to do at once."""

    concurrency: Whole | None = Field(default=None, description="Requests in flight, at most.", examples=[64])


class CostSpec(Spec):
    """What own hardware costs."""

    usd_per_hour: Money | None = Field(default=None, description="US dollars an hour, used or not.", examples=[4.2])


class TimeoutsSpec(Spec):
    """Limits of one attempt."""

    connect: Duration | None = Field(default=None, description="Until connected.", examples=["2s"])
    first_token: Duration | None = Field(default=None, description="Until the first content.", examples=["12s"])
    idle: Duration | None = Field(default=None, description="Between two pieces of a stream.", examples=["20s"])
    total: Duration | None = Field(default=None, description="For the whole answer.", examples=["10m"])


class TlsSpec(Spec):
    """Files for TLS to a backend."""

    ca: Text | None = Field(default=None, description="Certificates to trust (PEM).")
    cert: Text | None = Field(default=None, description="Our certificate (PEM).")
    key: Text | None = Field(default=None, description="Its private key (PEM).")


class BackendSpec(Spec):
    """A server or an account."""

    provider: Text = Field(description="How it speaks.", examples=["vllm", "ollama", "together"])
    url: Text | None = Field(default=None, description="Its address.", examples=["http://10.0.0.5:8000"])
    api_key: Text | None = Field(
        default=None, description="Unset: the backend is off.", examples=["${TOGETHER_API_KEY}"]
    )
    headers: dict[Text, str] = Field(default_factory=dict, description="Sent with every request to it.")
    models: dict[ModelName, DeploymentSpec] = Field(
        default_factory=dict, description="Canonical name -> how it serves it."
    )
    limits: LimitsSpec = Field(default_factory=LimitsSpec, description="How much it is asked at once.")
    slots: Whole | None = Field(default=None, description="Requests it works on at once; more wait.", examples=[4])
    cost: CostSpec = Field(default_factory=CostSpec, description="What it costs, used or not.")
    location: Location | None = Field(default=None, description="self_hosted never leaves the house.")
    region: Text | None = Field(default=None, description="Where it stands.", examples=["eu", "us-east-1"])
    timeouts: TimeoutsSpec = Field(default_factory=TimeoutsSpec, description="Override all others for this backend.")
    proxy: Text | None = Field(default=None, description="Address of an HTTP proxy.")
    tls: TlsSpec = Field(default_factory=TlsSpec, description="Certificates.")


class ModelSpec(Spec):
    """A fine-tune, or a correction of the catalogue."""

    base: ModelName | None = Field(default=None, description="The catalogue's model it was tuned from.")
    size: Size | None = Field(default=None, description="Billions of parameters.", examples=["8b"])
    context: Whole | None = Field(default=None, description="Context window, in tokens.", examples=[16384])
    capabilities: Capabilities | None = Field(
        default=None, description="What it can do.", examples=[["tools", "json_schema"]]
    )


class RangeSpec(Spec):
    """From `min` to `max` tokens, both included."""

    min: Count | None = Field(default=None, description="At least.", examples=[24000])
    max: Count | None = Field(default=None, description="At most.", examples=[4000])


class MatchSpec(Spec):
    """Which requests a route takes; all of it must hold, and nothing written takes everything."""

    model: list[ModelName] | None = Field(
        default=None, min_length=1, description="Names asked for.", examples=[["auto"]]
    )
    headers: dict[Text, Words] | None = Field(default=None, description="Header -> value, or one of several.")
    stream: Flag | None = Field(default=None, description="Whether the answer is to be streamed.")
    input_tokens: RangeSpec | None = Field(default=None, description="Estimated length of the prompt.")
    output_tokens: RangeSpec | None = Field(default=None, description="Completion length asked for.")
    capabilities: Capabilities | None = Field(
        default=None, min_length=1, description="What the request needs, at least."
    )
    caller: Words | None = Field(default=None, description="Names of callers.")
    metadata: dict[Text, Words] | None = Field(default=None, description="Key of `metadata` in the body -> value.")


class OptimizeSpec(Spec):
    """What to keep low, by weight; one word gives it all the weight."""

    cost: Money = Field(default=0.0, description="US dollars.")
    latency: Money = Field(default=0.0, description="Seconds.")
    size: Money = Field(default=0.0, description="Billions of parameters.")

    @model_validator(mode="before")
    @classmethod
    def word(cls, value: object) -> object:
        """One word as a weight."""
        if not isinstance(value, str):
            return value
        if value not in cls.model_fields:
            raise PydanticCustomError("word", "one of cost, latency, size", {"words": list(cls.model_fields)})
        return {value: 1.0}

    @model_validator(mode="after")
    def some(self) -> "OptimizeSpec":
        """At least one weight counts."""
        if self.cost + self.latency + self.size <= 0:
            raise PydanticCustomError("weights", "at least one weight above zero")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Weights, or one word."""
        return {"anyOf": [{"enum": list(cls.model_fields)}, handler(core)]}


class RequireSpec(Spec):
    """What a deployment must be, or it is out."""

    location: Location | None = Field(default=None, description="self_hosted never leaves the house, whatever fails.")
    regions: Words | None = Field(default=None, description="One of these.", examples=[["eu", "us"]])
    min_precision: Precision | None = Field(default=None, description="At least as exact.", examples=["q4_k_m"])
    capabilities: Capabilities | None = Field(default=None, min_length=1, description="It can do all of these.")
    ttft: Duration | None = Field(
        default=None, description="Expected time to the first token, at most.", examples=["2s"]
    )
    max_usd: Annotated[Money, Field(gt=0)] | None = Field(
        default=None, description="Expected US dollars a request, at most."
    )


class RetrySpec(Spec):
    """How often to try."""

    attempts: Annotated[Whole, Field(le=10)] = Field(
        default=3, description="Tries of one request, over all deployments."
    )


class CacheSpec(Spec):
    """Whether answers are kept."""

    ttl: Duration = Field(description="For how long.", examples=["1h"])
    mode: Literal["exact"] = Field(default="exact", description="The same request only.")


class ChoiceSpec(Spec):
    """How a route chooses and tries; what it leaves out comes from `defaults`."""

    optimize: OptimizeSpec | None = Field(default=None, description="What to keep low.", examples=["cost"])
    timeouts: TimeoutsSpec = Field(default_factory=TimeoutsSpec, description="Override those of the provider kind.")
    retry: RetrySpec | None = Field(default=None, description="How often to try.")
    cache: CacheSpec | None = Field(default=None, description="Off unless written.")
    mid_stream: Literal["error"] | None = Field(default=None, description="When a stream breaks: tell the caller.")
    on_no_candidate: Literal["fail"] | None = Field(default=None, description="With nobody to ask: fail at once.")


class RouteSpec(ChoiceSpec):
    """Requests, the models that may answer them, and how to choose."""

    name: Name = Field(description="In metrics, headers and logs.", examples=["interactive"])
    match: MatchSpec = Field(default_factory=MatchSpec, description="Which requests; without it, all of them.")
    models: list[ModelName] = Field(min_length=1, description="Canonical names; a set, not an order.")
    size: Literal["smallest", "largest"] | None = Field(default=None, description="Which models to try first.")
    prefer: Words | None = Field(default=None, description="self_hosted, hosted, or backends in order: tried first.")
    require: RequireSpec = Field(default_factory=RequireSpec, description="What is out.")


class CallerSpec(Spec):
    """Somebody with a key."""

    key: Text = Field(description="What they send.", examples=["file:/run/secrets/search"])
    routes: list[Name] | None = Field(default=None, description="The routes they may use; all without it.")


class PolicyFile(Spec):
    """A policy of Llama Gateway."""

    version: Literal[1] = Field(description="Of this language.")
    backends: dict[Name, BackendSpec] = Field(min_length=1, description="Servers and accounts.")
    models: dict[ModelName, ModelSpec] = Field(default_factory=dict, description="Fine-tunes and corrections.")
    routes: list[RouteSpec] = Field(default_factory=list, description="The first that matches is taken.")
    defaults: ChoiceSpec = Field(default_factory=ChoiceSpec, description="For every route, and for models without one.")
    callers: dict[Name, CallerSpec] | None = Field(default=None, description="Without it, loopback needs no key.")
