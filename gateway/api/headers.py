"""The response headers of the data plane."""

from datetime import UTC, datetime, time
from email.utils import format_datetime
from math import ceil

from gateway.api.allowances import allowance_headers
from gateway.api.reply import Header, header
from gateway.engine.answer import Answer
from gateway.engine.record import bill, reason_of
from gateway.errors import GatewayError, LimitReached
from gateway.routing.policy import CachePolicy
from gateway.types import Deployment

CACHE = b"llama-gateway"  # as `Cache-Status` names us


def answer_headers(request_id: str, answer: Answer | None) -> list[Header]:
    """Who answered, why, after how many attempts and at what cost, as far as it is known yet."""
    found = [(b"x-request-id", request_id.encode())]
    if answer is None:
        return found
    found += [
        header(b"x-gateway-route", answer.route.name),
        header(b"x-gateway-policy", answer.policy.generation),
        header(b"x-gateway-cache", answer.cache),
    ]
    if answer.lease is not None:
        found += allowance_headers(answer.lease.levels)
    if answer.route.cache is not None:
        found += cache_headers(answer, answer.route.cache)
    if answer.deployment is not None:
        found += deployment_headers(answer.deployment)
        facts = answer.policy.models.get(answer.deployment.model)
        if facts is not None and facts.licence_header is not None:
            found.append(header(b"x-gateway-licence", facts.licence_header))
        found.append(header(b"x-gateway-reason", reason_of(answer)))
        found.append(header(b"x-gateway-attempts", str(answer.attempted)))
    if answer.hit is not None:
        found.append((b"x-gateway-cost-usd", b"0"))
    elif answer.outcomes and not answer.request.stream:
        cost = bill(answer)[1]
        found += [header(b"x-gateway-cost-usd", f"{cost:.8f}")] if cost is not None else []
    return found


def cache_headers(answer: Answer, rules: CachePolicy) -> list[Header]:
    """What the cache did, in RFC 9211's words, and the age of what it gave."""
    if answer.cache == "hit":
        age = int(answer.age)
        more = b"" if answer.alike is None else b"; detail=semantic"
        return [(b"cache-status", b"%b; hit; ttl=%d%b" % (CACHE, rules.ttl - age, more)), (b"age", b"%d" % age)]
    control = answer.request.cache
    if answer.cache == "bypass":
        return [(b"cache-status", CACHE + (b"; fwd=bypass" if control.no_store else b"; fwd=request"))]
    more = b"; collapsed" if answer.cache == "coalesced" else b"; stored" if answer.kept else b""
    return [(b"cache-status", b"%b; fwd=miss%b" % (CACHE, more))]


def deployment_headers(deployment: Deployment) -> list[Header]:
    """The deployment, and the end of its life where that is known (RFC 9745, RFC 8594)."""
    found = [header(b"x-gateway-model", deployment.model), header(b"x-gateway-backend", deployment.backend)]
    if deployment.retires is not None:
        end = datetime.combine(deployment.retires, time(), UTC)
        found += [header(b"deprecation", f"@{int(end.timestamp())}"), header(b"sunset", format_datetime(end, True))]
    return found


def error_headers(error: GatewayError) -> list[Header]:
    """What an error says to the caller's SDK."""
    found = [header(name.encode(), value) for name, value in error.headers]
    if isinstance(error, LimitReached):
        found += allowance_headers(error.levels)
    if error.retry_after is not None:
        found.append(header(b"retry-after", str(ceil(error.retry_after))))
        found.append(header(b"retry-after-ms", str(ceil(error.retry_after * 1000))))
    return found
