"""One log line for each request, one for each failed attempt, and one for each request that was mirrored."""

import structlog

from gateway.types import Measured, Outcome, Record, Shadowed

REMEDIES = {  # of failures that stay until somebody acts
    "upstream_credentials": "replace the backend's api_key, then reload the policy",
    "upstream_quota_exhausted": "top up the account, or take the backend out of the policy",
    "upstream_model_gone": "correct the model's id in the policy, or take it out",
}


class RequestLines:
    """An observer that writes lines."""

    def __init__(self) -> None:
        self.log = structlog.get_logger()

    def attempted(self, outcome: Outcome) -> None:
        """A failed attempt is worth a line of its own, and what needs a person says so."""
        if not outcome.error_type.startswith("upstream_"):
            return
        remedy = REMEDIES.get(outcome.error_type)
        write = self.log.error if remedy else self.log.warning
        facts = {"deployment": outcome.deployment.name, "error": outcome.error_type, "message": outcome.message}
        write("attempt.failed", **facts, **({"do": remedy} if remedy else {}))

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

    def shadowed(self, told: Shadowed) -> None:
        """A request was mirrored, or should have been."""
        sides = (told.answer, told.shadow)
        self.log.info(
            "request.shadowed",
            id=told.id,
            outcome=told.outcome,
            route=told.route,
            deployment=told.deployment.name if told.deployment else None,
            cost_usd=told.cost,
            ratios={quantity: round(ratio, 3) for quantity, ratio in told.ratios},
            finish=[finish(side) for side in sides],
            flaws=[side.flaw if side else None for side in sides],
            same_calls=told.same_calls,
            error=told.error_type or None,
            message=told.message or None,
        )


def finish(side: Measured | None) -> str | None:
    """How an answer ended, all its choices in one text."""
    return " ".join(side.finish) if side else None
