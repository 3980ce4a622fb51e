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
    return client is None or is_loopback(client[0])


def is_loopback(name: str) -> bool:
    """Whether a name or an address is this machine's own."""
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return name == "localhost"


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a page of another origin may be behind a request: a browser on this machine is no proof of its user."""
    origin = headers.get("origin")
    if origin is not None and not is_loopback(host_of(origin.partition("://")[2])):
        return True
    return not is_loopback(host_of(headers.get("host", "localhost")))
