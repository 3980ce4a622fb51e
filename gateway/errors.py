"""Everything that can go wrong, and its HTTP face.

GatewayError
├── CallerError            the request is at fault; nothing was sent anywhere
│   ├── InvalidRequest       400
│   ├── Unauthorized         401
│   ├── Forbidden            403
│   ├── ModelNotFound        404
│   ├── UnknownPath          404  nothing is served there
│   ├── RequestTimeout       408  the body did not arrive in time
│   ├── TooLarge             413
│   ├── LimitReached         429  of the caller's own, or of its team's
│   │   └── BudgetSpent        429  no money left until the next day or month
│   ├── IdempotencyInUse     409  the first request with its key is running
│   ├── IdempotencyReused    422  its key came with another body
│   ├── HeadTooLarge         431
│   ├── TooManyFailures      429  wrong keys, again and again
│   ├── NotCached            504  only-if-cached, and it is not
│   └── CallerGone           499  nobody is left to answer
├── PolicyError            the policy leaves nobody to ask
│   ├── NoCandidate          503
│   ├── Shed                 503  more is asked of the gateway than it takes on
│   ├── NothingFits          400  no deployment can do what the request needs
│   └── TooLongForAll        400  no deployment's context holds it
├── UpstreamError          the deployment failed; another may be asked when `elsewhere`
│   ├── Unreachable          502  no connection
│   ├── Disconnected         502  the connection broke before an answer
│   ├── RateLimited          429
│   ├── QuotaExhausted       502  the account is out of money or of its quota
│   ├── Overloaded           503
│   ├── ServerFault          502  a 5xx
│   ├── InvalidResponse      502  not what the API promises
│   ├── BadCredentials       502  our key was refused
│   ├── ModelGone            502  the deployment no longer serves the model
│   ├── FirstTokenTimeout    504  silent; never asked again for this request
│   ├── IdleTimeout          504  stopped in the middle
│   ├── TotalTimeout         504
│   ├── StreamCut            502  ended before it was finished
│   ├── SpliceMismatch       502  a second answer that does not go on from the first
│   ├── Inadequate           502  a whole answer that a larger model shall do better
│   ├── ContextExceeded      400  a larger window may hold it
│   ├── Refused              400  a content filter; not routed around
│   └── Rejected             4xx  the upstream found the request wrong
└── InternalError          500  ours
    ├── Unaccounted          503  spending cannot be written down, and the caller has a budget
    ├── StoreAway            503  the shared store does not answer, and the request must not go on without it
    └── Draining             503  shutting down
"""

from gateway.types import Deployment, Json, Level, OutcomeName, Verdict


class GatewayError(Exception):
    """A failure with its HTTP face, whether another deployment may be asked, and whom it counts against."""

    status: int = 500
    type: str = "api_error"
    code: str = "internal_error"
    error_type: str = "gateway_internal"  # the metric's label: by whose fault
    outcome: OutcomeName = "rejected"
    elsewhere: bool = False  # may the next deployment be asked?
    again: bool = False  # may the same deployment be asked once more?
    verdict: Verdict = "neutral"  # does it count against the deployment's health?

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        retry_after: float | None = None,
        details: Json | None = None,
        logged: str | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message  # for the caller, who may see what an upstream said of the request
        self.logged = logged or message  # for logs and records, which never hold a prompt
        self.param = param
        self.retry_after = retry_after  # seconds
        self.details = details  # machine extras beside the four keys of OpenAI's error
        self.headers = headers


class CallerError(GatewayError):
    """The request is at fault; nothing was sent anywhere."""

    status, type, error_type = 400, "invalid_request_error", "caller_invalid_request"


class InvalidRequest(CallerError):
    """The body or a header cannot be understood."""

    code = "invalid_request"


class Unauthorized(CallerError):
    """No key, or one that is not known: the same answer for both."""

    status, type, code, error_type = 401, "authentication_error", "invalid_api_key", "caller_unauthorized"


class Forbidden(CallerError):
    """The caller is known and may not do this."""

    status, type, code, error_type = 403, "permission_error", "permission_denied", "caller_forbidden"


class ModelNotFound(CallerError):
    """No route and no model of that name."""

    status, code, error_type = 404, "model_not_found", "caller_unknown_model"


class UnknownPath(CallerError):
    """Nothing is served at that path, or not by that method."""

    status, code, error_type = 404, "unknown_path", "caller_unknown_path"


class RequestTimeout(CallerError):
    """The body did not arrive in time."""

    status, code, error_type = 408, "request_timeout", "caller_slow_body"


class TooLarge(CallerError):
    """The body is over the limit."""

    status, code, error_type = 413, "request_too_large", "caller_too_large"


class LimitReached(CallerError):
    """The caller or its team has used what it may for now; nothing was sent anywhere."""

    status, type, code, error_type = 429, "rate_limit_error", "rate_limit_exceeded", "caller_rate_limited"

    def __init__(
        self, message: str, *, retry_after: float, headers: tuple[tuple[str, str], ...], levels: tuple[Level, ...]
    ) -> None:
        super().__init__(message, retry_after=retry_after, headers=headers)
        self.levels = levels  # of what was used


class BudgetSpent(LimitReached):
    """The caller or its team has no money left for the request."""

    type, code, error_type = "insufficient_quota", "insufficient_quota", "caller_budget_spent"


class HeadTooLarge(CallerError):
    """The request line and the headers are over the limit."""

    status, code, error_type = 431, "request_head_too_large", "caller_too_large"


class TooManyFailures(CallerError):
    """One address has sent wrong keys again and again."""

    status, type, code, error_type = 429, "rate_limit_error", "too_many_failures", "caller_too_many_failures"


class IdempotencyInUse(CallerError):
    """Another request with the same Idempotency-Key is running."""

    status, type, code, error_type = 409, "idempotency_error", "idempotency_key_in_use", "caller_idempotency"


class IdempotencyReused(CallerError):
    """An Idempotency-Key came with another body than before."""

    status, type, code, error_type = 422, "idempotency_error", "idempotency_key_reused", "caller_idempotency"


class NotCached(CallerError):
    """The caller wants a cached answer only, and there is none."""

    status, code, error_type = 504, "not_cached", "caller_only_if_cached"


class CallerGone(CallerError):
    """The caller hung up; nobody is left to answer."""

    status, code, error_type, outcome = 499, "client_cancelled", "caller_gone", "client_cancelled"


class PolicyError(GatewayError):
    """The policy leaves nobody to ask."""

    type, error_type = "api_error", "policy_no_candidate"


class NoCandidate(PolicyError):
    """Every deployment is out for now: ejected, full, too slow or too dear."""

    status, code, outcome = 503, "no_healthy_deployment", "shed"


class Shed(PolicyError):
    """More is asked of the gateway than it takes on: the least important requests go first."""

    status, code, error_type, outcome = 503, "overloaded", "policy_shed", "shed"


class NothingFits(PolicyError):
    """No deployment of the route can do what the request needs."""

    status, type, code, error_type = 400, "invalid_request_error", "unsupported_parameter", "policy_nothing_fits"


class TooLongForAll(PolicyError):
    """No deployment's context holds the request."""

    status, type, code, error_type = 400, "invalid_request_error", "context_length_exceeded", "policy_too_long"


class UpstreamError(GatewayError):
    """The deployment failed; another may be asked."""

    status, code, error_type = 502, "upstream_error", "upstream_error"
    outcome: OutcomeName = "upstream_error"
    elsewhere, again = True, True
    verdict: Verdict = "fault"

    def helps(self, failed: Deployment, other: Deployment) -> bool:
        """Whether it makes sense to ask that other deployment after this failure of the first."""
        return True


class Unreachable(UpstreamError):
    """No connection could be made; nothing was sent."""

    code, error_type = "upstream_unreachable", "upstream_unreachable"


class Disconnected(UpstreamError):
    """The connection broke before an answer."""

    code, error_type = "upstream_disconnected", "upstream_disconnected"


class RateLimited(UpstreamError):
    """The upstream asks for patience."""

    status, type, code, error_type = 429, "rate_limit_error", "rate_limit_exceeded", "upstream_rate_limited"
    verdict = "neutral"


class QuotaExhausted(UpstreamError):
    """The account is out of money or of its quota; asking again does not help."""

    code, error_type, again, verdict = "upstream_quota_exhausted", "upstream_quota_exhausted", False, "neutral"


class Overloaded(UpstreamError):
    """The upstream is too busy."""

    status, code, error_type = 503, "overloaded", "upstream_overloaded"


class ServerFault(UpstreamError):
    """The upstream answered with a 5xx."""

    code, error_type = "upstream_error", "upstream_server_error"


class InvalidResponse(UpstreamError):
    """The answer is not what the API promises."""

    code, error_type = "upstream_invalid_response", "upstream_invalid_response"


class BadCredentials(UpstreamError):
    """The upstream refuses the key that the policy gives for it: our fault, never the caller's."""

    code, error_type, again = "upstream_credentials", "upstream_credentials", False


class ModelGone(UpstreamError):
    """The deployment no longer serves the model."""

    code, error_type, again, verdict = "upstream_model_gone", "upstream_model_gone", False, "neutral"


class FirstTokenTimeout(UpstreamError):
    """Silent: no content in time. Not asked again for this request."""

    status, code, error_type, outcome, again = 504, "timeout", "upstream_first_token_timeout", "timeout", False


class IdleTimeout(UpstreamError):
    """Stopped in the middle of the answer."""

    status, code, error_type, outcome, again = 504, "timeout", "upstream_idle_timeout", "timeout", False


class TotalTimeout(UpstreamError):
    """The time for the whole request is used up."""

    status, code, error_type, outcome = 504, "timeout", "upstream_total_timeout", "timeout"
    elsewhere, again, verdict = False, False, "neutral"


class StreamCut(UpstreamError):
    """The stream ended before every choice was finished."""

    code, error_type = "upstream_stream_error", "upstream_stream_cut"


class SpliceMismatch(UpstreamError):
    """A second answer, asked for after the first broke in the middle, that does not go on from it."""

    code, error_type, elsewhere, again = "upstream_stream_error", "upstream_splice_mismatch", False, False
    verdict = "neutral"


class ContextExceeded(UpstreamError):
    """The request does not fit the deployment's context; a larger one may hold it."""

    status, type, code = 400, "invalid_request_error", "context_length_exceeded"
    error_type, again, verdict = "upstream_context_exceeded", False, "neutral"

    def helps(self, failed: Deployment, other: Deployment) -> bool:
        """A window that is larger, or not known to be as small."""
        return failed.context is None or other.context is None or other.context > failed.context


class Inadequate(UpstreamError):
    """A whole answer with an objective flaw (not JSON, a broken tool call, cut short), where the route escalates."""

    code, error_type, again, verdict = "upstream_inadequate", "upstream_inadequate", False, "neutral"

    def helps(self, failed: Deployment, other: Deployment) -> bool:
        """A larger model."""
        return larger_than(failed, other)


def larger_than(one: Deployment, other: Deployment) -> bool:
    """Whether the other deployment's model has more parameters; one of unknown size does not count as larger."""
    return other.size is not None and one.size is not None and other.size > one.size


class Refused(UpstreamError):
    """The upstream's content filter refused; passed on, not routed around."""

    status, type, code = 400, "invalid_request_error", "content_filter"
    error_type, elsewhere, again, verdict = "upstream_content_filter", False, False, "neutral"


class Rejected(UpstreamError):
    """The upstream found the request itself wrong (another 4xx)."""

    status, type, code = 400, "invalid_request_error", "upstream_rejected"
    error_type, elsewhere, again, verdict = "upstream_rejected_request", False, False, "neutral"


class InternalError(GatewayError):
    """Ours: a defect, logged with its trace."""

    status, code, error_type = 500, "internal_error", "gateway_internal"


class Unaccounted(InternalError):
    """Spending cannot be written down any more, and the caller has a budget."""

    status, code, error_type, outcome = 503, "ledger_unavailable", "gateway_ledger", "shed"


AWAY = "The gateway's shared store does not answer, and this request needs it; send it again in a moment."


class StoreAway(InternalError):
    """The shared store does not answer; raised by the stores, and shown only where nothing goes on without it."""

    status, code, error_type = 503, "store_unavailable", "gateway_store"

    def __init__(self, reason: str, asked: bool = False, message: str = AWAY) -> None:
        super().__init__(message, logged=reason, retry_after=1.0, headers=(("x-should-retry", "true"),))
        self.asked = asked  # whether it may have done what it was asked


class Draining(InternalError):
    """The gateway is shutting down."""

    status, code, error_type, outcome = 503, "gateway_shutdown", "gateway_draining", "shed"
