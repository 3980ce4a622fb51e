"""HTTP for looking around: short answers, no redirects, a cap on what is read."""

from collections.abc import Mapping
from typing import NamedTuple

import httpx
import orjson

from gateway.errors import InvalidResponse, Unreachable
from gateway.providers.held import Held
from gateway.providers.port import HttpCall

MOST = 1 << 20  # bytes of an answer that are read
PLAIN = {"accept-encoding": "identity", "user-agent": "llama-gateway"}  # a compressed answer could be of any size


class Unreadable(Exception):
    """An answer is longer than `MOST`, or compressed although nobody asked for that."""


class Answer(NamedTuple):
    """A whole HTTP answer; header names are case-insensitive."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def parsed(self) -> object:
        """The JSON of a 200; None for anything else."""
        try:
            return orjson.loads(self.body) if self.status == 200 else None
        except orjson.JSONDecodeError:
            return None


async def fetch(client: httpx.AsyncClient, call: HttpCall) -> Answer:
    """The answer to a call; raises httpx.HTTPError or Unreadable. How long it may take is the caller's to limit."""
    request = client.build_request(
        call.method, call.url, headers=dict(call.headers), content=call.body, timeout=httpx.Timeout(None)
    )
    response = await client.send(request, stream=True, follow_redirects=False)
    try:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unreadable
        body = bytearray()
        async for part in response.aiter_bytes():
            body += part
            if len(body) > MOST:
                raise Unreadable
        return Answer(response.status_code, response.headers, bytes(body))
    finally:
        await response.aclose()


class HttpxTransport:
    """A provider's transport for the few calls of a look around; the client stays its owner's."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def send(self, call: HttpCall) -> Held:
        """The whole answer."""
        try:
            return Held(*await fetch(self.client, call))
        except Unreadable as exc:
            raise InvalidResponse(f"The upstream sent more than {MOST} bytes, or compressed ones.") from exc
        except httpx.HTTPError as exc:
            raise Unreachable("No answer from the upstream could be had.") from exc

    async def close(self) -> None:
        """Nothing of its own is open."""
