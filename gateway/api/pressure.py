"""The gauges of those who wait, and the counters of those who were sent away and of what nobody got."""

from collections.abc import Iterable, Iterator, Mapping

from gateway.engine.admission import SHARES
from gateway.engine.tools import Tools
from gateway.telemetry.gauges import Reading
from gateway.types import Class

DEPTH = "Requests that wait for the backend."
SHED = "Requests refused since more was asked than is taken on; without a backend, by the gateway itself."
WASTED = "Tokens of completions that nobody got."
REASONS = ("disconnect", "hedge", "splice", "retry", "escalation")  # for which tokens are wasted
NONE: Mapping[Class, int] = {}


def pressure(backends: Iterable[str], tools: Tools) -> Iterator[Reading]:
    """Queues and refusals of each backend by class, refusals of the gateway itself, and wasted tokens by reason."""
    yield from refusals("", tools.admission.shed)
    for name in backends:
        queue = tools.queues.all.get(name)
        for class_ in SHARES:
            depth = 0 if queue is None else len(queue.lines[class_].all)
            yield Reading("gateway_queue_depth", DEPTH, (("backend", name), ("class", class_)), depth)
        yield from refusals(name, NONE if queue is None else queue.shed)
        for reason in REASONS:
            tokens = tools.wasted.get((name, reason), 0)
            yield Reading("gateway_wasted_tokens_total", WASTED, (("backend", name), ("reason", reason)), tokens)


def refusals(backend: str, counted: Mapping[Class, int]) -> Iterator[Reading]:
    """How many requests of each class were refused there."""
    for class_ in SHARES:
        yield Reading("gateway_shed_total", SHED, (("backend", backend), ("class", class_)), counted.get(class_, 0))
