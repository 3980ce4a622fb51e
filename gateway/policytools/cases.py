"""The shape of a policy's unit tests: a request, what is given, and what is expected of its plan."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from gateway.config.scalars import Count, Day, Duration, Flag, Money, Spec, Text, Whole, Words
from gateway.policytools.logged import LATEST


def moment(value: object) -> object:
    """`2026-11-24T18:30:00+01:00` in Unix seconds."""
    try:
        found = datetime.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        found = None
    if found is None or found.tzinfo is None or not 0 <= found.timestamp() < LATEST:
        raise PydanticCustomError("moment", "a moment with its offset such as 2026-11-24T18:30:00+01:00")
    return found.timestamp()


def reasons(value: object) -> object:
    """Names alone as names with any reason."""
    names = [value] if isinstance(value, str) else value
    return dict.fromkeys(names, "") if isinstance(names, list) and all(isinstance(one, str) for one in names) else value


Moment = Annotated[
    float, BeforeValidator(moment), WithJsonSchema({"type": "string", "pattern": r"^\d{4}-\d\d-\d\d[T ]\d\d:\d\d"})
]
Share = Annotated[float, Field(ge=0, le=1)]
Reasons = Annotated[
    dict[Text, str],
    BeforeValidator(reasons),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {"type": "array", "items": {"type": "string"}},
                {"type": "object", "additionalProperties": {"type": "string"}},
            ]
        }
    ),
]
WHO = "A deployment (gpu-a/llama-3.3-70b-instruct), backend, model, self_hosted or hosted"


class AskedSpec(Spec):
    """A request: fields of the body, and what comes with it."""

    model: Text = Field(default="auto", description="The model asked for.", examples=["auto"])
    prompt: Text | None = Field(default=None, description="Stands for one message of the user.", examples=["Hello"])
    messages: list[dict[str, Any]] | None = Field(default=None, min_length=1, description="The messages themselves.")
    stream: Flag | None = Field(default=None, description="Whether the answer is to be streamed.")
    max_tokens: Whole | None = Field(default=None, description="Completion asked for, in tokens.", examples=[256])
    tools: list[dict[str, Any]] | None = Field(default=None, description="As in the body.")
    response_format: dict[str, Any] | None = Field(default=None, description="As in the body.")
    metadata: dict[Text, str] | None = Field(default=None, description="As in the body.")
    provider: dict[str, Any] | None = Field(default=None, description="The caller's preferences, as in the body.")
    models: list[Text] | None = Field(default=None, description="The caller's models, as in the body.")
    body: dict[str, Any] = Field(default_factory=dict, description="Any other fields of the body.")
    headers: dict[Text, str] = Field(default_factory=dict, description="Sent with it.")
    caller: Text | None = Field(default=None, description="Who asks: a caller of the policy.")
    needs: Words | None = Field(default=None, description="Capabilities it needs besides.", examples=[["tools"]])
    input_tokens: Count | None = Field(default=None, description="Its prompt's length, in place of the estimate.")
    time: Moment | None = Field(default=None, description="When it comes.", examples=["2026-11-24T18:30:00+01:00"])

    @model_validator(mode="after")
    def one_prompt(self) -> "AskedSpec":
        """`prompt` stands for `messages`."""
        if self.prompt is not None and self.messages is not None:
            raise PydanticCustomError("prompt", "either `prompt` or `messages`")
        return self


class GivenSpec(Spec):
    """What the gateway has lately seen; nothing of what is left out."""

    ttft: dict[Text, Duration] = Field(
        default_factory=dict, description=f"{WHO} -> time to the first token.", examples=[{"gpu-a": "3s"}]
    )
    tokens_per_second: dict[Text, Annotated[Money, Field(gt=0)]] = Field(
        default_factory=dict, description=f"{WHO} -> speed after the first token.", examples=[{"gpu-a": 40}]
    )
    failing: dict[Text, Share] = Field(default_factory=dict, description=f"{WHO} -> share of attempts that failed.")
    ejected: Words = Field(default_factory=list, description=f"{WHO}: out after faults in a row.")
    resting: Words = Field(default_factory=list, description=f"{WHO}: cooling after a rate limit.")
    gone: Words = Field(default_factory=list, description=f"{WHO}: no longer serves its model.")
    in_flight: dict[Text, Count] = Field(
        default_factory=dict, description="Backend -> requests it works on.", examples=[{"gpu-a": 64}]
    )
    burst: Words = Field(default_factory=list, description="Routes whose burst rule is active.")
    spent: dict[Text, Money] = Field(default_factory=dict, description="Route -> US dollars within the last hour.")
    output_tokens: dict[Text, Count] = Field(default_factory=dict, description="Route -> usual completion, in tokens.")
    causes: Words = Field(
        default_factory=list, description="What earlier attempts of the request met.", examples=[["refused"]]
    )
    chance: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.5, description="Decides ties and the arm of a split.", examples=[0.97]
    )


class ExpectSpec(Spec):
    """What the plan must be; all that is written must hold."""

    route: Text | None = Field(default=None, description="The route's name; `default` when none matches.")
    arm: Text | None = Field(default=None, description="The arm of the route's split.")
    error: Text | None = Field(default=None, description="The code of the error, in place of a plan.")
    first: Text | None = Field(default=None, description=f"Tried first. {WHO}.")
    order: list[Text] | None = Field(default=None, description=f"Everybody who is tried, best first. {WHO}.")
    excluded: Reasons = Field(
        default_factory=dict,
        description=f"Out, with the code or a part of the reason. {WHO}.",
        examples=[{"fireworks": "policy"}],
    )
    never: Words = Field(
        default_factory=list,
        description=f"Gets the request in no case, not from the reserve and not as shadow. {WHO}.",
        examples=["hosted"],
    )
    ttft: Duration | None = Field(default=None, description="Expected time to the first token of the first, at most.")
    max_usd: Money | None = Field(default=None, description="Expected US dollars of the first, at most.")

    @model_validator(mode="after")
    def something(self) -> "ExpectSpec":
        """A test expects something."""
        if not self.model_fields_set:
            raise PydanticCustomError("nothing", "at least one expectation")
        return self


class CaseSpec(Spec):
    """One test."""

    name: Text = Field(description="A sentence that the policy makes true.")
    request: AskedSpec = Field(default_factory=AskedSpec, description="What is asked.")
    given: GivenSpec = Field(default_factory=GivenSpec, description="What was lately seen.")
    expect: ExpectSpec = Field(description="What must come of it.")


class CaseFile(Spec):
    """Unit tests of a policy of Llama Gateway."""

    policy: Text | None = Field(
        default=None, description="The policy file; x.yaml beside x.test.yaml without it.", examples=["default.yaml"]
    )
    env: dict[Text, str] = Field(
        default_factory=dict,
        description="Variables of the policy. Credentials need none; empty ones switch their backend off.",
        examples=[{"TOGETHER_API_KEY": ""}],
    )
    today: Day | None = Field(default=None, description="The day of the tests.", examples=["2026-11-24"])
    tests: list[CaseSpec] = Field(min_length=1, description="The tests.")
