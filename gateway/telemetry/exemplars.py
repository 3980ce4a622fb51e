"""The trace a measurement belongs to, so that Grafana can go from a slow bucket to one request in it."""

from gateway.telemetry.trace_context import trace_of


def exemplar(traceparent: str) -> dict[str, str] | None:
    """The exemplar of a request with that `traceparent`; None without one, or where nobody keeps the trace."""
    found = trace_of(traceparent)
    return {"trace_id": f"{found.trace:032x}"} if found is not None and found.sampled else None
