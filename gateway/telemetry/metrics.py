"""The Prometheus metrics: labels come from configuration alone, children are looked up once."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry

from gateway.outcomes import Outcome, Record, Shadowed
from gateway.telemetry.counting import Counter, Histogram
from gateway.telemetry.exemplars import exemplar
from gateway.telemetry.savings import saved

# Bucket edges of the GenAI semantic conventions, in tokens and in seconds, widened at the fast end.
TOKENS = tuple(4**power for power in range(14))
TTFT = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 60)
PER_TOKEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5)
DURATION = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 160, 320, 600)
OVERHEAD = (0.00005, 0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128, 0.0256, 0.05, 0.1, 0.5)
RATIOS = (0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5, 2, 3, 5, 10)
GEN_AI = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_original_model",
    "gen_ai_request_model",
    "gen_ai_response_model",
)
UNASKED = ("hit", "coalesced")  # what the cache says where no upstream was asked for this request
BESIDE = "gateway_hedge"  # the error type of an attempt beside another one, which has answered: nobody fell back
BURST = "burst"  # the cause for which hosted deployments are called


class Metrics:
    """An observer that counts."""

    def __init__(self, telemetry_name: Callable[[str], str]) -> None:
        self.registry = CollectorRegistry()
        self.telemetry_name = telemetry_name
        beyond = "Counts beyond a metric's last child."
        self.overflows = Counter("gateway_metric_overflows", beyond, ("metric",), nothing)
        self.registry.register(self.overflows)
        counter, histogram = self.counter, self.histogram
        self.requests = counter("gateway_requests", "Requests.", "route", "model", "backend", "outcome")
        self.attempts = counter("gateway_attempts", "Attempts.", "backend", "model", "outcome", "error_type")
        self.errors = counter("gateway_errors", "Requests that failed, by whose fault.", "route", "error_type")
        self.fallbacks = counter("gateway_fallbacks", "Moves to the next deployment.", "from", "to", "reason")
        self.cost = counter("gateway_cost_usd", "Cost, in US dollars.", "route", "backend", "model")
        self.saved = counter("gateway_saved_usd", "Cost that was not incurred, in US dollars.", "reason")
        self.burst = counter("gateway_burst_usd", "Cost of what burst rules have called.", "route")
        self.cache = counter("gateway_cache_requests", "Requests by what the cache had.", "result")
        self.callers = counter("gateway_caller_requests", "Requests of a caller.", "caller", "outcome")
        self.caller_cost = counter("gateway_caller_cost_usd", "Cost of a caller's requests.", "caller")
        self.caller_tokens = counter("gateway_caller_tokens", "A caller's tokens.", "caller", "gen_ai_token_type")
        self.usage_missing = counter("gateway_usage_missing", "Answers without usage: tokens estimated.", "backend")
        self.overhead = histogram("gateway_overhead_seconds", "The gateway's own time.", OVERHEAD, "phase")
        self.tokens = histogram("gen_ai_client_token_usage", "Tokens a request.", TOKENS, *GEN_AI, "gen_ai_token_type")
        self.duration = histogram(
            "gen_ai_server_request_duration_seconds", "Time to the last token.", DURATION, *GEN_AI, "error_type"
        )
        self.ttft = histogram("gen_ai_server_time_to_first_token_seconds", "Time to the first token.", TTFT, *GEN_AI)
        self.per_token = histogram(
            "gen_ai_server_time_per_output_token_seconds", "Time per token after the first.", PER_TOKEN, *GEN_AI
        )

        self.shadows = counter("gateway_shadow_requests", "Mirrored requests.", "route", "model", "outcome")
        self.shadow_cost = counter("gateway_shadow_cost_usd", "Cost of mirrored requests.", "route", "model")
        self.shadow_flaws = counter("gateway_shadow_flaws", "Flaws in compared answers.", "route", "model", "side")
        self.differences = histogram(
            "gateway_shadow_difference", "The shadow's by the answer's.", RATIOS, "route", "model", "quantity"
        )

    def counter(self, name: str, help: str, *labels: str) -> Counter:
        """A counter of this registry."""
        metric = Counter(name, help, labels, self.overflows.of(f"{name}_total").inc)
        self.registry.register(metric)
        return metric

    def histogram(self, name: str, help: str, edges: Sequence[float], *labels: str) -> Histogram:
        """A histogram of this registry."""
        metric = Histogram(name, help, labels, edges, self.overflows.of(name).inc)
        self.registry.register(metric)
        return metric

    def attempted(self, outcome: Outcome) -> None:
        """An attempt is over."""
        deployment = outcome.deployment
        self.attempts.of(deployment.backend, deployment.model, outcome.outcome, outcome.error_type).inc()
        if outcome.usage is not None and outcome.usage.estimated:
            self.usage_missing.of(deployment.backend).inc()

    def answered(self, record: Record) -> None:
        """A request is over."""
        backend = record.deployment.backend if record.deployment else ""
        model = record.deployment.model if record.deployment else ""
        self.requests.of(record.route, model, backend, record.outcome).inc()
        if record.error_type:
            self.errors.of(record.route, record.error_type).inc()
        if record.caller:
            self.asked_by(record)
        self.cache.of(record.cache).inc()
        for phase, seconds in record.overhead:
            self.overhead.of(phase).observe(seconds)
        if record.cost:
            self.cost.of(record.route, backend, model).inc(record.cost)
        if record.plan is not None and BURST in record.plan.causes:
            self.burst.of(record.route).inc(burst_usd(record))
        if (saving := saved(record)) is not None:
            self.saved.of(saving[0]).inc(saving[1])
        for before, after in zip(record.attempts, record.attempts[1:], strict=False):
            if before.deployment is not after.deployment and before.error_type != BESIDE:
                self.fallbacks.of(before.deployment.name, after.deployment.name, before.error_type).inc()
        if record.deployment is not None and record.cache not in UNASKED:
            self.measured(record)

    def asked_by(self, record: Record) -> None:
        """What a caller has used; a cached answer has cost nothing and its tokens were counted before."""
        self.callers.of(record.caller, record.outcome).inc()
        if record.cost:
            self.caller_cost.of(record.caller).inc(record.cost)
        if record.usage is not None and record.cache not in UNASKED:
            self.caller_tokens.of(record.caller, "input").inc(record.usage.prompt)
            self.caller_tokens.of(record.caller, "output").inc(record.usage.completion)

    def shadowed(self, told: Shadowed) -> None:
        """A request was mirrored, or should have been."""
        route, model = told.route, told.deployment.model if told.deployment else ""
        self.shadows.of(route, model, told.outcome).inc()
        if told.cost:
            self.shadow_cost.of(route, model).inc(told.cost)
        for quantity, ratio in told.ratios:
            self.differences.of(route, model, quantity).observe(ratio)
        for side, seen in (("answer", told.answer), ("shadow", told.shadow)):
            if seen is not None and seen.flaw is not None:
                self.shadow_flaws.of(route, model, side).inc()

    def measured(self, record: Record) -> None:
        """The latencies and the tokens of a request that an upstream has answered, or failed to."""
        deployment = record.deployment
        assert deployment is not None
        labels = (
            record.operation,
            self.telemetry_name(deployment.kind),
            record.original,
            deployment.model,
            deployment.id,
        )
        trace = exemplar(record.trace or record.traceparent)
        self.duration.of(*labels, record.error_type).observe(record.duration, trace)
        if record.stream and record.ttft is not None:
            self.ttft.of(*labels).observe(record.ttft, trace)
        usage = record.usage
        if usage is None or usage.estimated:
            return
        self.tokens.of(*labels, "input").observe(usage.prompt)
        self.tokens.of(*labels, "output").observe(usage.completion)
        if record.stream and record.ttft is not None and usage.completion > 1:
            self.per_token.of(*labels).observe((record.duration - record.ttft) / (usage.completion - 1))


def burst_usd(record: Record) -> float:
    """US dollars of a request's attempts at deployments that a burst rule has called."""
    choices = () if record.plan is None else record.plan.choices
    called = {choice.deployment.name for choice in choices if choice.when == BURST}
    return sum(outcome.cost or 0.0 for outcome in record.attempts if outcome.deployment.name in called)


def nothing() -> None:
    """Nobody is told when even the overflows are too many."""
