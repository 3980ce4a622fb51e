"""Traces, by OpenTelemetry's conventions for generative AI: a span for each request, one for each attempt below it.

Spans are made when the request is over, of what is recorded of it anyway: nothing is kept meanwhile, and without an
exporter in the environment nothing of this is loaded. No prompt and no answer is ever in them.
"""

import random
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from gateway.outcomes import Outcome, Record, Shadowed
from gateway.telemetry.trace_context import Trace, begun, trace_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXPORTER = "OTEL_TRACES_EXPORTER"
NAME = "llama-gateway"


def wanted(env: Mapping[str, str]) -> bool:
    """Whether OpenTelemetry's own variables ask for traces."""
    if env.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = env.get(EXPORTER, "").lower()
    return exporter == "otlp" if exporter else any(env.get(name) for name in ENDPOINTS)


class Traces:
    """An observer that makes spans."""

    def __init__(
        self,
        provider: "TracerProvider",
        ids: "Ids",
        telemetry_name: Callable[[str], str],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.provider = provider
        self.ids = ids
        self.tracer = provider.get_tracer(NAME)
        self.telemetry_name = telemetry_name
        self.clock = clock
        self.wall = wall

    def begin(self, header: str) -> Trace:
        """The span of a request that begins, by its `traceparent`."""
        return begun(header, self.kept, random.getrandbits)

    def kept(self, trace: int) -> bool:
        """Whether a new trace is kept, by the sampler of the environment."""
        from opentelemetry.sdk.trace.sampling import Decision

        return self.provider.sampler.should_sample(None, trace, "").decision is Decision.RECORD_AND_SAMPLE

    def attempted(self, outcome: Outcome) -> None:
        """Attempts are told of with their request."""

    def shadowed(self, told: Shadowed) -> None:
        """What nobody gets is in no trace."""

    def answered(self, record: Record) -> None:
        """The spans of a request that is over."""
        own = record.trace and trace_of(record.trace)
        if not own or not own.sampled:
            return
        ahead = self.wall() - self.clock()  # of Unix time before the monotonic clock's
        server = self.started(own, trace_of(record.traceparent), server_name(record), record.at, server=True)
        server.set_attributes(server_attributes(record))
        add_events(server, record)
        for number, outcome in enumerate(record.attempts, 1):
            span = self.started(own.child(number), own, attempt_name(record, outcome), outcome.started + ahead)
            span.set_attributes(attempt_attributes(record, outcome, self.telemetry_name(outcome.deployment.kind)))
            finish(span, outcome.error_type, outcome.ended + ahead)
        finish(server, record.error_type, record.at + record.duration)

    def started(self, own: Trace, parent: Trace | None, name: str, at: float, server: bool = False) -> "Span":
        """A span with the ids that were told to others already; `at` is Unix time."""
        from opentelemetry.trace import SpanKind

        self.ids.next = own
        kind = SpanKind.SERVER if server else SpanKind.CLIENT
        return self.tracer.start_span(name, context_of(parent), kind, start_time=nanoseconds(at))

    def close(self) -> None:
        """Send what is left."""
        self.provider.shutdown()


class Ids:
    """Hands out the ids that were chosen before the span is made."""

    def __init__(self) -> None:
        self.next = Trace(1, 1)

    def generate_span_id(self) -> int:
        """The span's."""
        return self.next.span

    def generate_trace_id(self) -> int:
        """The trace's."""
        return self.next.trace

    def is_trace_id_random(self) -> bool:
        """New traces are random; those of callers may not be."""
        return False


def traces(env: Mapping[str, str], telemetry_name: Callable[[str], str]) -> Traces | None:
    """The observer that the environment asks for; None where it asks for none."""
    if not wanted(env):
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    ids = Ids()
    resource = Resource.create({"service.name": NAME}).merge(OTELResourceDetector().detect())
    provider = TracerProvider(resource=resource, id_generator=ids, shutdown_on_exit=False)  # type: ignore[arg-type]  # by its methods
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider, ids, telemetry_name)


def context_of(parent: Trace | None) -> Any:
    """OpenTelemetry's context with that span as parent; an empty one for none."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if parent is None:
        return Context()
    above = SpanContext(parent.trace, parent.span, is_remote=True, trace_flags=TraceFlags(parent.flags))
    return set_span_in_context(NonRecordingSpan(above), Context())


def server_name(record: Record) -> str:
    """A name with few values."""
    return f"{record.operation} {record.original}"


def attempt_name(record: Record, outcome: Outcome) -> str:
    """The operation and the model, as the conventions want it."""
    return f"{record.operation} {outcome.deployment.model}"


def server_attributes(record: Record) -> dict[str, str | int | float | bool]:
    """What is true of the request."""
    found = {
        "http.request.method": "POST",
        "http.response.status_code": record.status,
        "gateway.request_id": record.id,
        "gateway.route": record.route,
        "gateway.caller": record.caller,
        "gateway.outcome": record.outcome,
        "gateway.policy": record.generation,
        "gateway.cost_usd": record.cost,
        "gen_ai.operation.name": record.operation,
        "gen_ai.request.stream": record.stream,
    }
    return {name: value for name, value in found.items() if value not in (None, "")}  # type: ignore[misc]  # without None


def attempt_attributes(record: Record, outcome: Outcome, provider: str) -> dict[str, str | int | float | bool]:
    """What is true of an attempt."""
    usage, deployment = outcome.usage, outcome.deployment
    found: dict[str, str | int | float | bool] = {
        "gen_ai.operation.name": record.operation,
        "gen_ai.provider.name": provider,
        "gen_ai.request.model": deployment.model,
        "gen_ai.request.stream": record.stream,
        "gateway.backend": deployment.backend,
        "gateway.outcome": outcome.outcome,
    }
    if outcome.answered:
        found["gen_ai.response.model"] = outcome.answered
    if outcome.first is not None:
        found["gen_ai.response.time_to_first_chunk"] = outcome.first - outcome.started
    if usage is not None and not usage.estimated:
        found["gen_ai.usage.input_tokens"] = usage.prompt
        found["gen_ai.usage.output_tokens"] = usage.completion
        found["gen_ai.usage.cache_read.input_tokens"] = usage.cached
    return found


def add_events(span: "Span", record: Record) -> None:
    """What was decided on the way: the cache's answer, and the plan."""
    at = nanoseconds(record.at)
    span.add_event("gateway.cache", {"gateway.cache.result": record.cache}, at)
    if record.plan is not None:
        facts: dict[str, str | int] = {
            "gateway.plan.reason": record.reason,
            "gateway.plan.candidates": len(record.plan.choices),
            "gateway.plan.rejected": len(record.plan.rejected),
        }
        span.add_event("gateway.plan", facts, at)


def finish(span: "Span", error_type: str, at: float) -> None:
    """End a span at that Unix time; by whose fault, if anybody's, as in the metrics."""
    from opentelemetry.trace import Status, StatusCode

    if error_type:
        span.set_attribute("error.type", error_type)
        span.set_status(Status(StatusCode.ERROR))
    span.end(nanoseconds(at))


def nanoseconds(seconds: float) -> int:
    """Unix time as spans have it."""
    return int(seconds * 1e9)
