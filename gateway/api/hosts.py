"""Hosts and origins: what a browser says of where a request comes from and whom it means."""

import re
from collections.abc import Mapping
from ipaddress import ip_address

from gateway.api.reply import Scope

LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
HOST = re.compile(r"(?:\[(?P<v6>[0-9a-f:.]+)\]|(?P<name>[a-z0-9._-]+))(?::[0-9]{1,5})?")


def host_of(header: str) -> str:
    """The name in a Host header, without its port; nothing when there is more in it than that."""
    found = HOST.fullmatch(header.lower())
    return (found["v6"] or found["name"]) if found else ""


def is_local(scope: Scope) -> bool:
    """Whether the peer is this machine."""
    client = scope.get("client")
    try:
        return client is None or ip_address(client[0]).is_loopback
    except ValueError:
        return False


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a page of another origin may be behind a request: a browser on this machine is no proof of its user."""
    origin = headers.get("origin")
    if origin is not None and host_of(origin.partition("://")[2]) not in LOCAL:
        return True
    return host_of(headers.get("host", "localhost")) not in LOCAL
