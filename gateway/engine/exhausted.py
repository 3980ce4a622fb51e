"""The error that a caller gets when everybody who may be asked has failed."""

from collections.abc import Sequence

from gateway.errors import UpstreamError
from gateway.outcomes import Outcome

RETRY_AFTER = 2.0  # seconds after which it is worth while to ask again


def exhausted(error: UpstreamError, outcomes: Sequence[Outcome]) -> UpstreamError:
    """The last error, with all of them told, and the SDK asked not to repeat what was repeated already."""
    told = before(error, outcomes)
    error.message, error.logged = told + error.message, told + error.logged
    error.details = {
        "attempts": [{"deployment": outcome.deployment.name, "error": outcome.error_type} for outcome in outcomes]
    }
    error.headers = (("x-should-retry", "false"),)
    if error.elsewhere and error.status != 400 and error.retry_after is None:
        error.retry_after = RETRY_AFTER
    return error


def before(error: UpstreamError, outcomes: Sequence[Outcome]) -> str:
    """What to say before the last error: how the other attempts ended, and whose it is if it is one of theirs."""
    mine = next((one for one in reversed(outcomes) if one.message == error.logged), None)
    others = "".join(f"{one.deployment.name}: {one.message} " for one in outcomes if one is not mine)
    if len(outcomes) < 2:
        return others
    name = "" if mine is None else f"{mine.deployment.name}: "
    return f"All {len(outcomes)} attempts failed. {others}{name}"
