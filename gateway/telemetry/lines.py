"""One log line for each request, one for each failed attempt, and one for each request that was mirrored."""

from zlib import crc32

import structlog

from gateway.outcomes import Measured, Outcome, Record, Shadowed

REMEDIES = {  # of failures that stay until somebody acts
    "upstream_credentials": "replace the backend's api_key, then reload the policy",
    "upstream_quota_exhausted": "top up the account, or take the backend out of the policy",
    "upstream_model_gone": "correct the model's id in the policy, or take it out",
}
SLOW_SECONDS = 10.0  # a request that took longer has a line in any case


class RequestLines:
    """An observer that writes lines: of the requests that went well a share, chosen by their ids, from 0 to 1."""

    def __init__(self, share: float = 1.0) -> None:
        self.log = structlog.get_logger()
        self.chosen = share < 1
        self.below = round(share * (1 << 32))  # the checksums of the chosen ids

    def left_out(self, record: Record) -> bool:
        """Whether a request has no line."""
        usual = record.outcome == "success" and record.duration <= SLOW_SECONDS
        return usual and crc32(record.id.encode()) >= self.below

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
        if self.chosen and self.left_out(record):
            return
        deployment, usage = record.deployment, record.usage
        self.log.info(
            "request.answered",
            id=record.id,
            outcome=record.outcome,
            status=record.status,
            route=record.route,
            model=deployment.model if deployment else None,
            backend=deployment.backend if deployment else None,
            deployment=deployment.name if deployment else None,
            reason=record.reason or None,
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
