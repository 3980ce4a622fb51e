"""What comes in: headers, keys and bodies, each bounded."""

from collections.abc import Mapping

from gateway.api.door import Door
from gateway.api.hosts import is_foreign, is_local
from gateway.api.reply import Receive, Scope
from gateway.errors import CallerGone, InvalidRequest, TooLarge
from gateway.routing.policy import Policy
from gateway.types import Caller

BODY_LIMIT = 8 << 20  # bytes
DIGITS = 18  # of a number in a header
LOOPBACK = Caller("loopback")


def headers_of(scope: Scope) -> dict[str, str]:
    """The request's headers by lower-case name."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def caller_of(scope: Scope, headers: Mapping[str, str], policy: Policy, door: Door) -> Caller:
    """Who is asking; raises Unauthorized, in the same words for every reason, TooManyFailures and what the door does.

    Without any callers this machine is let in, and nobody else: also when a reload has removed the last of them,
    and no web page that a browser on this machine shows.
    """
    if not policy.callers and not door.keyring.needed and is_local(scope) and not is_foreign(headers):
        return LOOPBACK
    scheme, _, key = headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        key = headers.get("x-api-key", "")
    caller = door.find(key.strip(), policy)
    if caller is None:
        raise door.refusal(scope)
    return caller


async def body_of(headers: Mapping[str, str], receive: Receive) -> bytes:
    """The whole body; raises TooLarge before reading one declared too large, InvalidRequest for a packed one."""
    declared = headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and (len(declared) > DIGITS or int(declared) > BODY_LIMIT):
        raise too_large()
    if headers.get("content-encoding", "identity") != "identity":
        raise InvalidRequest("Request bodies must not be compressed; leave Content-Encoding out.")
    message = await receive()
    if message["type"] == "http.request" and not message.get("more_body"):
        return checked(message["body"])
    held = bytearray()
    while message["type"] == "http.request":
        held += message["body"]
        if len(held) > BODY_LIMIT:
            raise too_large()
        if not message.get("more_body"):
            return bytes(held)
        message = await receive()
    raise CallerGone("The caller hung up before its request was complete.")


def checked(body: bytes) -> bytes:
    """A body within the limit."""
    if len(body) > BODY_LIMIT:
        raise too_large()
    return body


def too_large() -> TooLarge:
    """The error for a body over the limit."""
    return TooLarge(f"The body is larger than {BODY_LIMIT >> 20} MiB; send less.")


def deadline_of(headers: Mapping[str, str], arrived: float) -> float | None:
    """When the caller stops waiting, by `x-request-timeout-ms`; raises InvalidRequest for nonsense."""
    value = headers.get("x-request-timeout-ms")
    if value is None:
        return None
    if not value.isascii() or not value.isdigit() or len(value) > DIGITS or int(value) == 0:
        raise InvalidRequest("'x-request-timeout-ms' must be a whole number of milliseconds above zero.")
    return arrived + int(value) / 1000
