"""The response headers of the data plane."""

from datetime import UTC, datetime, time
from email.utils import format_datetime
from math import ceil

from gateway.api.reply import Header, header
from gateway.engine.answer import Answer
from gateway.engine.record import bill, reason_of
from gateway.errors import GatewayError
from gateway.types import Deployment


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
    if error.retry_after is not None:
        found.append(header(b"retry-after", str(ceil(error.retry_after))))
        found.append(header(b"retry-after-ms", str(ceil(error.retry_after * 1000))))
    return found
