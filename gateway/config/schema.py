"""The shape of a policy file: what may be written where, and what it means."""

from typing import Annotated, Any, Literal

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from gateway.config.choices import ArmSpec, ChoiceSpec, RequireSpec, SizeSpec, TimeoutsSpec
from gateway.config.scalars import (
    MODEL_NAME,
    Capabilities,
    Collection,
    Count,
    Day,
    Dollars,
    Duration,
    Flag,
    Label,
    Language,
    Location,
    ModelName,
    Moment,
    Money,
    Name,
    Part,
    Precision,
    Share,
    Size,
    Spec,
    Text,
    Whole,
    Words,
    Zone,
    worded,
)


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
    retires: Day | None = Field(
        default=None, description="The day from which it is gone here.", examples=["2027-03-30"]
    )


class LimitsSpec(Spec):
    """What a backend may be asked to do at once."""

    concurrency: Whole | None = Field(default=None, description="Requests in flight, at most.", examples=[64])
    queue: Count | None = Field(
        default=None,
        description="Requests that may wait for it; twice as many as it works on without it.",
        examples=[128],
    )
    queue_wait: Duration | None = Field(default=None, description="How long each of them waits.", examples=["2s"])


class ReadOnSpec(Spec):
    """How much is read of answers that nobody waits for any more."""

    max: Whole = Field(default=8, description="Answers at a time.")
    seconds: Whole = Field(default=60, description="For each of them, at most.")


class DisconnectSpec(Spec):
    """What becomes of a request whose caller hangs up: it is cancelled, or its answer is read to the end."""

    drain: ReadOnSpec | None = Field(default=None, description="It is read, so that its usage is known.")

    @model_validator(mode="before")
    @classmethod
    def word(cls, value: object) -> object:
        """`cancel`, or `drain` with the usual bounds."""
        if not isinstance(value, str):
            return value
        words: dict[str, dict[str, Any]] = {"cancel": {}, "drain": {"drain": {}}}
        if value not in words:
            raise PydanticCustomError("word", "cancel, drain or {drain: {max: 8, seconds: 60}}", {"words": list(words)})
        return words[value]

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A word, or a mapping."""
        return worded(("cancel", "drain"), core, handler)


class CostSpec(Spec):
    """What own hardware costs."""

    usd_per_hour: Money | None = Field(default=None, description="US dollars an hour, used or not.", examples=[4.2])


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
    on_disconnect: DisconnectSpec = Field(
        default_factory=DisconnectSpec, description="When a caller hangs up: cancel, or drain."
    )
    cost: CostSpec = Field(default_factory=CostSpec, description="What it costs, used or not.")
    location: Location | None = Field(default=None, description="self_hosted never leaves the house.")
    data_collection: Collection | None = Field(
        default=None, description="Whether it may keep or learn from what it is sent; own servers deny it."
    )
    region: Text | None = Field(default=None, description="Where it stands.", examples=["eu", "us-east-1"])
    timeouts: TimeoutsSpec = Field(default_factory=TimeoutsSpec, description="Override all others for this backend.")
    proxy: Text | None = Field(default=None, description="Address of an HTTP proxy.")
    tls: TlsSpec = Field(default_factory=TlsSpec, description="Certificates.")


class SuccessorSpec(Spec):
    """Who takes a model's place: when it is gone, and with `steps` also before, share by share."""

    model: ModelName = Field(description="Its canonical name.")
    steps: list[Part] | None = Field(
        default=None, min_length=1, description="Shares of the requests, ascending.", examples=[["1%", "5%", "100%"]]
    )
    every: Duration = Field(default=3600.0, description="At each step, at least.", examples=["1h"])
    requests: Whole = Field(default=20, description="That must have ended at each step, at least.")
    max_error_rate: Share = Field(default=0.05, description="Of its attempts; above it, it is taken back.")
    max_slowdown: Annotated[Money, Field(ge=1)] = Field(
        default=1.5, description="Times the usual time to the last token; above it, it is taken back."
    )

    @model_validator(mode="before")
    @classmethod
    def word(cls, value: object) -> object:
        """A model's name alone."""
        return {"model": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def stepped(self) -> "SuccessorSpec":
        """What is said of steps has steps, and they ascend."""
        if self.steps is None and self.model_fields_set != {"model"}:
            raise PydanticCustomError("steps", "`steps` too, when it says how they are taken")
        if self.steps is not None and self.steps != sorted(set(self.steps)):
            raise PydanticCustomError("steps", "`steps` that ascend, each above the one before")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A mapping, or a name."""
        return {"anyOf": [{"type": "string", "pattern": MODEL_NAME}, handler(core)]}


class ModelSpec(Spec):
    """A fine-tune, or a correction of the catalogue."""

    base: ModelName | None = Field(default=None, description="The catalogue's model it was tuned from.")
    size: Size | None = Field(default=None, description="Billions of parameters.", examples=["8b"])
    active: Size | None = Field(
        default=None, description="Billions of parameters used for one token; all of them without it.", examples=["17b"]
    )
    context: Whole | None = Field(default=None, description="Context window, in tokens.", examples=[16384])
    capabilities: Capabilities | None = Field(
        default=None, description="What it can do.", examples=[["tools", "json_schema"]]
    )
    languages: list[Language] | None = Field(
        default=None, min_length=1, description="Languages it was trained for, as ISO 639-1 codes.", examples=[["en"]]
    )
    licence: Words | None = Field(
        default=None, description="Ids of the catalogue, or the name of an agreement of your own.", examples=["mit"]
    )
    successor: SuccessorSpec | None = Field(
        default=None, description="The model that takes its place when it is gone, or step by step."
    )
    substitutes: list[ModelName] | None = Field(
        default=None,
        min_length=1,
        description="Models that may answer in its place while it is full, resting, down or too slow.",
        examples=[["llama-4-scout-17b-16e-instruct"]],
    )
    retires: Day | None = Field(
        default=None, description="The day from which it is gone everywhere.", examples=["2027-03-30"]
    )


Hours = Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$")]


class RangeSpec(Spec):
    """From `min` to `max` tokens, both included."""

    min: Count | None = Field(default=None, description="At least.", examples=[24000])
    max: Count | None = Field(default=None, description="At most.", examples=[4000])


class TimeSpec(Spec):
    """Days and hours, by the clock of a zone."""

    days: list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]] | None = Field(
        default=None, min_length=1, description="All of them without it.", examples=[["mon", "fri"]]
    )
    hours: Hours | None = Field(default=None, description="From, until; may span midnight.", examples=["22:00-06:00"])
    zone: Zone = Field(default="UTC", description="Of the time zone database.", examples=["Europe/Berlin"])


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
    language: list[Language] | None = Field(
        default=None, min_length=1, description="Of the last user message, as ISO 639-1 codes.", examples=[["de", "fr"]]
    )
    time: TimeSpec | None = Field(default=None, description="When it is asked.")
    when: Text | None = Field(
        default=None, description="CEL over request, caller and fleet.", examples=["size(request.tools) == 0"]
    )


class RouteSpec(ChoiceSpec):
    """Requests, the models that may answer them, and how to choose."""

    name: Name = Field(description="In metrics, headers and logs.", examples=["interactive"])
    match: MatchSpec = Field(default_factory=MatchSpec, description="Which requests; without it, all of them.")
    models: list[ModelName] = Field(min_length=1, description="Canonical names; a set, not an order.")
    size: SizeSpec | None = Field(default=None, description="Which models, and which of them first.")
    prefer: Words | None = Field(default=None, description="self_hosted, hosted, or backends in order: tried first.")
    require: RequireSpec = Field(default_factory=RequireSpec, description="What is out.")
    split: list[ArmSpec] | None = Field(
        default=None, min_length=1, description="Shares of the requests, and who answers them."
    )


class AllowanceSpec(Spec):
    """What a caller, or all callers of a team together, may use."""

    rpm: Whole | None = Field(default=None, description="Requests a minute.", examples=[600])
    tpm: Whole | None = Field(default=None, description="Tokens a minute, prompt and completion.", examples=[200000])
    concurrency: Whole | None = Field(default=None, description="Requests at a time.", examples=[16])
    usd_per_day: Dollars | None = Field(default=None, description="US dollars a day, by UTC.", examples=[20])
    usd_per_month: Dollars | None = Field(default=None, description="US dollars a month, by UTC.", examples=[400])


class TeamSpec(Spec):
    """Whom several callers belong to."""

    limits: AllowanceSpec = Field(default_factory=AllowanceSpec, description="For all of them together.")


class TermsSpec(Spec):
    """What somebody with a key may do."""

    routes: list[Name] | None = Field(default=None, description="The routes they may use; all without it.")
    models: list[ModelName] | None = Field(
        default=None, description="The models they may be answered by; all without it."
    )
    limits: AllowanceSpec = Field(default_factory=AllowanceSpec, description="What they may use.")
    team: Name | None = Field(default=None, description="Whose limits hold for them too.", examples=["research"])
    class_: Literal["critical", "default", "sheddable", "batch"] = Field(
        default="default", alias="class", description="Of their requests: who waits when there is not room for all."
    )
    metadata: dict[Label, Label] = Field(
        default_factory=dict, max_length=16, description="What else is known of them; shown, and seen by `when`."
    )
    expires: Moment | None = Field(
        default=None, description="When the key ends; a day ends it at its midnight, UTC.", examples=["2027-03-30"]
    )
    on_store_failure: Literal["closed", "local"] = Field(
        default="closed",
        description="While a store that several gateways share is away, budgets let nobody in, or count here alone.",
    )


class CallerSpec(TermsSpec):
    """Somebody with a key."""

    key: Text = Field(description="What they send.", examples=["file:/run/secrets/search"])


class OrgSpec(Spec):
    """Who runs this gateway, as far as licences ask."""

    region: Literal["eu", "other"] | None = Field(
        default=None, description="Where it has its seat; eu leaves out models whose licence is not granted there."
    )
    licence_header: Flag = Field(default=False, description="Answers name their model's licence in x-gateway-licence.")


class PolicyFile(Spec):
    """A policy of Llama Gateway."""

    version: Literal[1] = Field(description="Of this language.")
    include: Words | None = Field(
        default=None,
        description="Files whose backends, models, routes, callers and teams are added.",
        examples=[["more.yaml"]],
    )
    backends: dict[Name, BackendSpec] = Field(min_length=1, description="Servers and accounts.")
    models: dict[ModelName, ModelSpec] = Field(default_factory=dict, description="Fine-tunes and corrections.")
    org: OrgSpec = Field(default_factory=OrgSpec, description="Who runs this gateway.")
    routes: list[RouteSpec] = Field(default_factory=list, description="The first that matches is taken.")
    defaults: ChoiceSpec = Field(default_factory=ChoiceSpec, description="For every route, and for models without one.")
    callers: dict[Name, CallerSpec] | None = Field(default=None, description="Without it, loopback needs no key.")
    teams: dict[Name, TeamSpec] = Field(default_factory=dict, description="Whom callers belong to.")
