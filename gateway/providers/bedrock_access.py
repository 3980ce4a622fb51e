"""Who we are to AWS: its chain of credentials, Signature Version 4, and a clock that may be wrong."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]  # botocore has no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # the same
from botocore.credentials import Credentials, RefreshableCredentials  # type: ignore[import-untyped]  # the same
from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]  # the same
from botocore.session import get_session  # type: ignore[import-untyped]  # the same

from gateway.errors import BadCredentials
from gateway.providers.bedrock_errors import is_skew, kind_of, words_of
from gateway.providers.held import Held
from gateway.providers.http import beginning
from gateway.providers.port import HttpCall, Response, Transport

SERVICE = "bedrock"  # the name that signatures are for
SIGNED = ("content-type",)  # beside Host and AWS's own; others may be changed on the way
NEWS = 60.0  # seconds: an offset no further from the one that was used explains no refusal
EXPIRED = ("ExpiredTokenException", "UnrecognizedClientException")


@dataclass(frozen=True, slots=True)
class Keys:
    """An access key; `token` where it is a temporary one."""

    access: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


class Wallet(Protocol):
    """Has the keys to sign with."""

    async def keys(self) -> Keys:
        """The keys that are valid now; raises BadCredentials."""
        ...

    def forget(self) -> None:
        """Look for them anew the next time."""
        ...


class Chain:
    """AWS's own chain of credentials (environment, profile, container, instance), looked up when first needed."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.found: Any = None  # botocore's credentials, which know when to renew themselves
        self.lock = asyncio.Lock()

    async def keys(self) -> Keys:
        """The keys that are valid now; files and servers are read in a thread."""
        try:
            async with self.lock:
                self.found = self.found or await asyncio.to_thread(lambda: get_session().get_credentials())
            if self.found is None:
                raise BadCredentials(
                    f"Backend '{self.backend}' finds no AWS credentials; set AWS_BEARER_TOKEN_BEDROCK, "
                    "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give its machine a role."
                )
            stale = isinstance(self.found, RefreshableCredentials) and self.found.refresh_needed()
            frozen = self.found.get_frozen_credentials
            now = await asyncio.to_thread(frozen) if stale else frozen()
        except (BotoCoreError, ClientError, RuntimeError, OSError) as exc:
            what = type(exc).__name__
            raise BadCredentials(f"Backend '{self.backend}' could not load its AWS credentials ({what}).") from exc
        return Keys(now.access_key, now.secret_key, now.token)

    def forget(self) -> None:
        """Read the chain anew: a profile's keys may have been replaced."""
        self.found = None


class SigningTransport:
    """Signs every call; where AWS finds our clock wrong, its own is believed and the call is sent once more."""

    def __init__(self, transport: Transport, wallet: Wallet, region: str, clock: Callable[[], float]) -> None:
        self.transport = transport
        self.wallet = wallet
        self.region = region
        self.clock = clock  # Unix time
        self.offset = 0.0  # seconds that AWS's clock is ahead of ours
        self.secrets: tuple[str, ...] = ()

    async def send(self, call: HttpCall) -> Response:
        """The answer's head."""
        offset = self.offset
        response = await self.transport.send(await self.signed(call))
        if response.status != 403:
            return response
        held = await drained(response)
        if kind_of(held.headers) in EXPIRED:
            self.wallet.forget()
        seconds = ahead(held, self.clock())
        if seconds is None or abs(seconds - offset) < NEWS:
            return held
        self.offset = seconds
        return await self.transport.send(await self.signed(call))

    async def signed(self, call: HttpCall) -> HttpCall:
        """The call with a signature of this moment."""
        keys = await self.wallet.keys()
        self.secrets = tuple(word for word in (keys.secret, keys.token) if word)
        return sign(call, keys, self.region, datetime.fromtimestamp(self.clock() + self.offset, UTC))

    async def close(self) -> None:
        """Close all connections."""
        await self.transport.close()


async def drained(response: Response) -> Held:
    """An answer with its body read."""
    try:
        return Held(response.status, response.headers, await beginning(response))
    finally:
        response.close()


def sign(call: HttpCall, keys: Keys, region: str, moment: datetime) -> HttpCall:
    """The call with the headers of Signature Version 4, by botocore's own arithmetic."""
    stamp = moment.strftime("%Y%m%dT%H%M%SZ")
    own = {"x-amz-date": stamp} | ({"x-amz-security-token": keys.token} if keys.token else {})
    signed = {name: value for name, value in call.headers.items() if name in SIGNED} | own
    request = AWSRequest(method=call.method, url=call.url, headers=signed, data=call.body)
    request.context["timestamp"] = stamp
    # Not add_auth: it asks the clock of the machine, and writes what is signed to the log.
    auth = SigV4Auth(Credentials(keys.access, keys.secret, keys.token), SERVICE, region)
    signature = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
    names = auth.signed_headers(auth.headers_to_sign(request))
    line = f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, Signature={signature}"
    return call._replace(headers={**call.headers, **own, "authorization": line})


def ahead(held: Held, now: float) -> float | None:
    """Seconds that AWS's clock is ahead of ours, if it refused a signature for its time and says its own."""
    if not is_skew(kind_of(held.headers), words_of(held.body)):
        return None
    try:
        return parsedate_to_datetime(held.headers.get("date", "")).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
