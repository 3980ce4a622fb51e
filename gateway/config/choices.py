"""The shape of what a route or `defaults` says of the choice: who is out, what is kept low, who stands in."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler, WithJsonSchema, model_validator
from pydantic_core import CoreSchema, PydanticCustomError

from gateway.config import units
from gateway.config.scalars import (
    Capabilities,
    Duration,
    Flag,
    Location,
    ModelName,
    Money,
    Name,
    Part,
    Precision,
    Share,
    Size,
    Spec,
    Whole,
    Words,
    duration,
    typed,
    worded,
)

ORDERS = ("smallest", "largest", "smallest_adequate")
FLAWS = ("truncated", "invalid_json", "broken_tool_call")


def flaws(value: object) -> object:
    """`true` for all flaws, `false` for none, one or several of them by name."""
    value = typed(value)
    found = {True: list(FLAWS), False: []}[value] if isinstance(value, bool) else value
    found = [found] if isinstance(found, str) else found
    if not isinstance(found, list) or any(one not in FLAWS for one in found):
        raise PydanticCustomError("word", "true or some of truncated, invalid_json, broken_tool_call", {"words": FLAWS})
    return found


Escalation = Annotated[
    list[str],
    BeforeValidator(flaws),
    WithJsonSchema(
        {"anyOf": [{"type": "boolean"}, {"enum": [*FLAWS]}, {"type": "array", "items": {"enum": [*FLAWS]}}]}
    ),
]


class TimeoutsSpec(Spec):
    """Limits of one attempt."""

    connect: Duration | None = Field(default=None, description="Until connected.", examples=["2s"])
    first_token: Duration | None = Field(default=None, description="Until the first content.", examples=["12s"])
    idle: Duration | None = Field(default=None, description="Between two pieces of a stream.", examples=["20s"])
    total: Duration | None = Field(default=None, description="For the whole answer.", examples=["10m"])


class OptimizeSpec(Spec):
    """What to keep low, by weight; one word gives it all the weight."""

    cost: Money = Field(default=0.0, description="US dollars.")
    latency: Money = Field(default=0.0, description="Seconds.")
    size: Money = Field(default=0.0, description="Billions of parameters.")
    failures: Money = Field(default=0.0, description="Share of attempts that lately failed.")

    @model_validator(mode="before")
    @classmethod
    def word(cls, value: object) -> object:
        """One word as a weight."""
        if not isinstance(value, str):
            return value
        if value not in cls.model_fields:
            words = list(cls.model_fields)
            raise PydanticCustomError("word", "one of cost, latency, size, failures", {"words": words})
        return {value: 1.0}

    @model_validator(mode="after")
    def some(self) -> "OptimizeSpec":
        """At least one weight counts."""
        if self.cost + self.latency + self.size + self.failures <= 0:
            raise PydanticCustomError("weights", "at least one weight above zero")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Weights, or one word."""
        return worded(cls.model_fields, core, handler)


class RequireSpec(Spec):
    """What a deployment must be, or it is out."""

    location: Location | None = Field(default=None, description="self_hosted never leaves the house, whatever fails.")
    regions: Words | None = Field(default=None, description="One of these.", examples=[["eu", "us"]])
    licence: Words | None = Field(
        default=None, description="All licences of the model are among these.", examples=["apache-2.0"]
    )
    data_collection: Literal["deny"] | None = Field(
        default=None, description="deny leaves out whoever may keep or learn from what it is sent."
    )
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
    budget: Share = Field(default=0.1, description="Tries of a deployment once more, by requests.", examples=["10%"])


class CacheSpec(Spec):
    """Whether answers are kept."""

    ttl: Duration = Field(description="For how long.", examples=["1h"])
    mode: Literal["exact", "semantic"] = Field(
        default="exact", description="The same request only, or also one whose last words mean the same."
    )
    share: Literal["caller", "team", "all"] = Field(default="caller", description="Who gets an answer again.")
    answers: Annotated[Whole, Field(ge=1, le=10)] = Field(
        default=1, description="Kept of one request whose answers differ; one of them is given.", examples=[3]
    )
    coalesce: Flag = Field(default=True, description="Requests that are the same at the same time are one.")
    threshold: Share | None = Field(
        default=None, description="How alike questions must be (cosine); 0.95 without it.", examples=[0.97]
    )
    embeddings: ModelName | None = Field(default=None, description="The model that makes vectors of questions.")

    @model_validator(mode="after")
    def meant(self) -> "CacheSpec":
        """What only the semantic mode uses is written for it alone."""
        semantic = self.mode == "semantic"
        if semantic and self.embeddings is None:
            raise PydanticCustomError(
                "embeddings", "`embeddings` beside `mode: semantic`: the model that makes vectors"
            )
        if not semantic and (self.embeddings is not None or self.threshold is not None):
            raise PydanticCustomError("embeddings", "`mode: semantic` beside `embeddings` and `threshold`")
        return self


class BoundsSpec(Spec):
    """Billions of parameters, both included."""

    at_least: Size | None = Field(default=None, description="No smaller model.", examples=["8b"])
    at_most: Size | None = Field(default=None, description="No larger model.", examples=["70b"])


class SizeSpec(BoundsSpec):
    """Which models a route uses and which of them first; a word alone sets no bounds."""

    smallest: BoundsSpec | None = Field(default=None, description="The smallest first.")
    largest: BoundsSpec | None = Field(default=None, description="The largest first.")
    smallest_adequate: BoundsSpec | None = Field(
        default=None, description="The smallest first that speaks the request's language and can do all it needs."
    )

    @model_validator(mode="before")
    @classmethod
    def word(cls, value: object) -> object:
        """One word without bounds."""
        if not isinstance(value, str):
            return value
        if value not in ORDERS:
            wanted = "smallest, largest, smallest_adequate, {at_least: 8b} or {at_most: 70b}"
            raise PydanticCustomError("word", wanted, {"words": list(ORDERS)})
        return {value: {}}

    @model_validator(mode="after")
    def one(self) -> "SizeSpec":
        """One order, and its bounds in one place."""
        orders = [name for name in ORDERS if getattr(self, name) is not None]
        beside = self.at_least is not None or self.at_most is not None
        if len(orders) > 1 or (orders and beside) or not (orders or beside):
            raise PydanticCustomError("word", "one of smallest, largest, smallest_adequate with its bounds, or bounds")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """Bounds, or one word."""
        return worded(ORDERS, core, handler)


class ArmSpec(Spec):
    """A part of a route's requests; without models, the route's own."""

    weight: Money = Field(description="Of all weights of the split.", examples=[95])
    models: list[ModelName] | None = Field(default=None, min_length=1, description="Who answers; the route's behind.")
    name: Name | None = Field(default=None, description="In metrics and logs; its first model without it.")


class FallbackSpec(Spec):
    """Models in reserve, by what calls them."""

    context: list[ModelName] | None = Field(
        default=None, min_length=1, description="When no window of the others holds the request."
    )
    refused: list[ModelName] | None = Field(
        default=None, min_length=1, description="When a content filter of the others refuses it."
    )
    overloaded: list[ModelName] | None = Field(
        default=None, min_length=1, description="When the others are full, resting, down or too slow."
    )


class BurstWhenSpec(Spec):
    """What calls hosted deployments."""

    ttft: Duration = Field(description="Expected time to the first token of own hardware, above.", examples=["2s"])


class BurstSpec(Spec):
    """Own hardware first; hosted deployments while it is too slow."""

    when: BurstWhenSpec = Field(description="What calls them.")
    back_below: Duration | None = Field(default=None, description="Ends it; half of `when` without it.")
    max_usd_per_hour: Annotated[Money, Field(gt=0)] | None = Field(
        default=None, description="US dollars an hour for hosted answers, at most.", examples=[20]
    )


class ShadowSpec(Spec):
    """Requests that are mirrored to others, whose answers nobody gets."""

    models: list[ModelName] = Field(min_length=1, description="Who is asked as well.")
    share: Part = Field(description="Of the route's requests.", examples=["1%"])
    max_usd_per_hour: Annotated[Money, Field(gt=0)] | None = Field(
        default=None, description="US dollars an hour for mirrored requests, at most."
    )


def lateness(value: object) -> object:
    """`p95`, or a duration in seconds."""
    return None if value == "p95" else duration(value)


After = Annotated[
    float | None,
    BeforeValidator(lateness),
    WithJsonSchema({"anyOf": [{"enum": ["p95"]}, {"type": "string", "pattern": units.DURATION.pattern}]}),
]


class HedgeSpec(Spec):
    """When another deployment is asked beside one that is slow to begin; `off` for never."""

    after: After = Field(default=None, description="p95: what one in twenty exceeds.", examples=["p95", "800ms"])
    budget: Share = Field(default=0.02, description="Of the route's requests, at most.", examples=["2%"])

    @model_validator(mode="before")
    @classmethod
    def word(cls, value: object) -> object:
        """`off` as a budget of nothing."""
        value = typed(value)
        if value is False or value == "off":
            return {"budget": 0.0}
        if isinstance(value, str | bool):
            raise PydanticCustomError("word", "a mapping (`{after: p95}`), or off", {"words": ["off"]})
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """A mapping, or `off`."""
        return {"anyOf": [{"enum": ["off", False]}, handler(core)]}


class WaitSpec(Spec):
    """What to do with nobody to ask: fail at once, or wait."""

    wait: Duration | None = Field(default=None, description="For a deployment, at most.", examples=["5s"])

    @model_validator(mode="before")
    @classmethod
    def word(cls, value: object) -> object:
        """`fail`, or `wait: 5s` in quotes."""
        if not isinstance(value, str):
            return value
        if value == "fail":
            return {}
        word, _, rest = value.partition(":")
        if word.strip() != "wait" or units.seconds(rest.strip()) is None:
            raise PydanticCustomError("word", "fail or {wait: 5s}", {"words": ["fail"]})
        return {"wait": rest.strip()}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """`fail`, or how long to wait."""
        text = {"type": "string", "pattern": f"^wait: ?{units.DURATION.pattern}$"}
        return {"anyOf": [{"enum": ["fail"]}, text, handler(core)]}


class ChoiceSpec(Spec):
    """How a route chooses and tries; what it leaves out comes from `defaults`."""

    optimize: OptimizeSpec | None = Field(default=None, description="What to keep low.", examples=["cost"])
    timeouts: TimeoutsSpec = Field(default_factory=TimeoutsSpec, description="Override those of the provider kind.")
    retry: RetrySpec | None = Field(default=None, description="How often to try.")
    hedge: HedgeSpec | None = Field(
        default=None, description="Asks another deployment beside a slow one; off unless written."
    )
    cache: CacheSpec | None = Field(default=None, description="Off unless written.")
    mid_stream: Literal["error", "buffer", "splice", "continue"] | None = Field(
        default=None, description="When a stream breaks: tell the caller, hold streams back, or go on elsewhere."
    )
    on_no_candidate: WaitSpec | None = Field(default=None, description="With nobody to ask: fail at once, or wait.")
    escalate: Escalation | None = Field(
        default=None, description="Whole answers with a flaw are asked of a larger model.", examples=[["invalid_json"]]
    )
    repair_tool_calls: Flag | None = Field(default=None, description="Tool calls that leaked into text become calls.")
    sticky: Literal["request", "caller", "conversation"] | None = Field(
        default=None, description="What keeps its part of a split."
    )
    fallback: FallbackSpec | None = Field(default=None, description="Models in reserve.")
    burst: BurstSpec | None = Field(default=None, description="When hosted deployments join own hardware.")
    shadow: ShadowSpec | None = Field(default=None, description="Who is asked as well, unseen.")
