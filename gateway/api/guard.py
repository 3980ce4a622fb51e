"""Who may use the admin plane: a Host that is ours, and the admin key for whatever is not a read from this machine.

The console's files are open: they are the same everywhere, and ask for the key before they show anything.
"""

from collections.abc import Mapping
from hmac import compare_digest

from starlette.types import ASGIApp

from gateway.api import reply
from gateway.api.hosts import LOCAL, host_of, is_local
from gateway.api.intake import headers_of
from gateway.api.problem import KIND, problem
from gateway.api.reply import Receive, Scope, Send

READS = frozenset({"GET", "HEAD"})
OPEN = frozenset({"/metrics"})  # to everybody who reaches the port, by whatever name: it holds no secret
PAGE, FILES = "/", "/console/"  # the same for everybody; a browser cannot send a key before it has them
FOREIGN = frozenset({"cross-site", "same-site"})  # another port of this machine's is the same site


class Guard:
    """An ASGI app around the admin plane."""

    def __init__(self, app: ASGIApp, key: str, hosts: frozenset[str]) -> None:
        self.app = app
        self.key = key
        self.hosts = LOCAL | {host.lower() for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or say why not."""
        if scope["type"] != "http":
            return
        status, reason = self.objection(scope, headers_of(scope))
        if reason:
            headers = [(b"content-type", KIND.encode())]
            headers += [(b"www-authenticate", b"Bearer")] if status == 401 else []
            await reply.whole(send, status, headers, problem(status, reason))
            return
        await self.app(scope, receive, send)

    def objection(self, scope: Scope, headers: Mapping[str, str]) -> tuple[int, str]:
        """The status and the reason against a request; no reason when it is welcome."""
        if scope["method"] in READS and scope["path"] in OPEN:
            return 200, ""
        if host_of(headers.get("host", "")) not in self.hosts:
            return 421, "This address is not one of the admin plane's; use localhost or the configured admin host."
        if headers.get("sec-fetch-site") in FOREIGN and headers.get("sec-fetch-mode") != "navigate":
            return 403, "Requests from other origins are refused."
        if scope["method"] in READS and (is_local(scope) or is_page(scope["path"])):
            return 200, ""
        if not compare_digest(headers.get("authorization", "").encode("latin-1"), f"Bearer {self.key}".encode()):
            return 401, "The admin key is missing or wrong; send it as 'Authorization: Bearer KEY'."
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            return 403, "Requests from other origins are refused."
        return 200, ""


def is_page(path: str) -> bool:
    """Whether a path is one of the console's own files."""
    return path == PAGE or path.startswith(FILES)
