"""What is said of a request when it is over."""

from dataclasses import dataclass
from itertools import islice

from gateway.engine.answer import Answer
from gateway.engine.attempt import BEATEN
from gateway.errors import Draining, GatewayError, UpstreamError
from gateway.outcomes import Outcome, Record, Sketch
from gateway.routing.policy import Policy
from gateway.types import NOTHING, ChatRequest, Json, OutcomeName, Usage

PAIRS, PAIR = 16, 64 + 512  # of metadata, and characters of one


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended, as the HTTP edge saw it; times are of the monotonic clock."""

    status: int
    ended: float
    sent: float | None = None  # when the first bytes of the answer went out
    error: GatewayError | None = None


def rejected(id: str, at: float, arrived: float, caller: str, ending: Ending) -> Record:
    """The record of a request that never became one: no key, no JSON, too large."""
    error = ending.error
    return Record(
        id=id,
        at=at,
        outcome="success" if error is None else error.outcome,
        status=ending.status,
        duration=ending.ended - arrived,
        caller=caller,
        error_type="" if error is None else error.error_type,
        message="" if error is None else error.logged,
    )


def recorded(request: ChatRequest, at: float, answer: Answer | None, ending: Ending) -> Record:
    """The record of a request; `at` is the Unix time of its arrival."""
    if answer is None:
        record = rejected(request.id, at, request.arrived, request.caller.name, ending)
        return record._replace(asked=request.model, operation=request.operation, stream=request.stream)
    usage, cost = bill(answer)
    hit, error = answer.hit, ending.error
    return Record(
        id=request.id,
        at=at,
        outcome=outcome_of(answer, ending),
        status=ending.status,
        duration=ending.ended - request.arrived,
        asked=request.model,
        original=answer.policy.label(request.model),
        caller=request.caller.name,
        operation=request.operation,
        stream=request.stream,
        generation=answer.policy.generation,
        route=answer.route.name,
        deployment=answer.deployment,
        attempts=tuple(answer.outcomes),
        plan=answer.plan,
        reason=reason_of(answer),
        cache=answer.cache,
        usage=hit.usage if hit is not None else usage,
        cost=0.0 if hit is not None else cost,
        saved=(hit.cost or 0.0) if hit is not None else 0.0,
        ttft=None if answer.content is None else answer.content - request.arrived,
        overhead=overhead(request, answer, ending),
        error_type="" if error is None else error.error_type,
        message="" if error is None else error.logged,
        sketch=sketch(request, answer.policy),
        traceparent=request.headers.get("traceparent", ""),
        trace=request.trace,
    )


def sketch(request: ChatRequest, policy: Policy) -> Sketch:
    """What is kept of a request: of its headers only those that the policy looks at."""
    headers, metadata = request.headers, request.body.get("metadata")
    return Sketch(
        request.model,
        request.at,
        request.stream,
        request.prompt_tokens,
        request.max_tokens,
        request.needs,
        {name: headers[name] for name in policy.headers if name in headers} if policy.headers else NOTHING,
        texts(metadata) if isinstance(metadata, dict) else NOTHING,
        request.caller.name,
        request.operation,
    )


def texts(metadata: Json) -> dict[str, str]:
    """The metadata that a policy can match: text, and no more of it than OpenAI takes, since a thousand are kept."""
    pairs = islice(metadata.items(), PAIRS)
    return {name: value for name, value in pairs if isinstance(value, str) and len(name) + len(value) <= PAIR}


def outcome_of(answer: Answer, ending: Ending) -> OutcomeName:
    """The one outcome of a request."""
    if ending.error is None:
        return "success"
    delivered = ending.sent is not None and answer.content is not None
    return "partial" if delivered and isinstance(ending.error, UpstreamError | Draining) else ending.error.outcome


def bill(answer: Answer) -> tuple[Usage | None, float | None]:
    """The usage of the attempt that answered, and the cost of all of them; None where any is not known."""
    if not answer.outcomes:
        return None, None
    return answer.usage, answer.spent


def reason_of(answer: Answer) -> str:
    """Why this deployment answered, in one line."""
    if answer.hit is not None:
        if answer.alike is not None:
            return f"answered from the cache, by a question that is {answer.alike:.3f} alike"
        return "answered from the cache" if answer.cache == "hit" else "joined the same request, which was running"
    if answer.plan is None:
        return ""
    failed = [
        f"{outcome.deployment.name} {fate(outcome)}"
        for outcome in answer.outcomes
        if outcome.error_type and outcome.deployment is not answer.deployment
    ]
    choice = answer.choice
    if not failed and answer.route.hedge is not None and answer.deployment is not answer.plan.choices[0].deployment:
        failed = ["another was asked beside it, and was faster"]
    called = [f"{choice.deployment.name} was held in reserve ({choice.when})"] if choice and choice.when else []
    return "; ".join([answer.plan.reason, *failed, *called])


def fate(outcome: Outcome) -> str:
    """What became of an attempt that has not answered."""
    return "was slower" if outcome.error_type == BEATEN else f"failed ({outcome.error_type})"


def overhead(request: ChatRequest, answer: Answer, ending: Ending) -> tuple[tuple[str, float], ...]:
    """Our own time by phase, in seconds: until the upstream was asked, and from its first content to the caller."""
    phases = []
    if answer.asked is not None:
        phases.append(("request", answer.asked - request.arrived - answer.waited))
    if answer.content is not None and ending.sent is not None:
        phases.append(("response", ending.sent - answer.content))
    return tuple(phases)
