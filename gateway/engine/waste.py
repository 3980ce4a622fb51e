"""Tokens that were made and that nobody got, and why."""

from collections.abc import Iterable, Iterator

from gateway.engine.attempt import BEATEN
from gateway.engine.seam import Seam
from gateway.outcomes import Outcome

INADEQUATE = "upstream_inadequate"  # whether such an answer is wasted shows when all attempts are over
REASONS = {"caller_gone": "disconnect", BEATEN: "hedge"}  # by error type; whatever else has failed is a retry


def wasted(outcome: Outcome, seam: Seam | None) -> Iterator[tuple[str, int]]:
    """The reasons for which tokens of an attempt that is over were wasted, and how many each.

    A second answer that is joined to a broken one repeats first what the caller has already.
    """
    if outcome.wasted and outcome.error_type != INADEQUATE:
        yield REASONS.get(outcome.error_type, "retry"), outcome.wasted
    if seam is not None and seam.repeats and outcome.usage is not None and seam.spent is not None:
        yield "splice", min(seam.spent.completion, outcome.usage.completion)


def outdone(outcomes: Iterable[Outcome], answered: Outcome | None) -> int:
    """Tokens of answers with a flaw that a larger model has done better."""
    flawed = (outcome for outcome in outcomes if outcome.error_type == INADEQUATE and outcome is not answered)
    return sum(outcome.usage.completion for outcome in flawed if outcome.usage is not None)
