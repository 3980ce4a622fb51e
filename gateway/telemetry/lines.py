"""One log line for each request, and one for each failed attempt."""

import structlog

from gateway.types import Outcome, Record


class RequestLines:
    """An observer that writes lines."""

    def __init__(self) -> None:
        self.log = structlog.get_logger()

    def attempted(self, outcome: Outcome) -> None:
        """A failed attempt is worth a line of its own."""
        if outcome.error_type.startswith("upstream_"):
            self.log.warning(
                "attempt.failed",
                deployment=outcome.deployment.name,
                error=outcome.error_type,
                message=outcome.message,
            )

    def answered(self, record: Record) -> None:
        """A request is over."""
        deployment, usage = record.deployment, record.usage
        self.log.info(
            "request.answered",
            id=record.id,
            outcome=record.outcome,
            status=record.status,
            route=record.route,
            deployment=deployment.name if deployment else None,
            attempts=len(record.attempts),
            cache=record.cache,
            caller=record.caller,
            tokens=None if usage is None else [usage.prompt, usage.completion],
            cost_usd=record.cost,
            ttft=None if record.ttft is None else round(record.ttft, 4),
            seconds=round(record.duration, 4),
            error=record.error_type or None,
        )
