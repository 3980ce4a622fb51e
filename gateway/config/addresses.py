"""Whether an address may be an upstream's."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

# Where clouds keep the credentials of their machines; 169.254.0.0/16 and fe80::/10 are link-local besides.
METADATA = (ip_network("fd00:ec2::/32"), ip_network("fd20:ce::254/128"), ip_network("100.100.100.200/32"))
METADATA_NAMES = frozenset({"metadata", "metadata.google.internal", "metadata.goog", "instance-data"})
NAT64 = ip_network("64:ff9b::/96")


def parts(url: str) -> SplitResult | None:
    """An HTTP address in parts; None when it is none."""
    try:
        split = urlsplit(url)
        usable = split.scheme in ("http", "https") and bool(split.hostname) and split.port != 0
    except ValueError:
        return None
    return split if usable and url.isascii() and url.isprintable() and " " not in url else None


def fault(url: str) -> str | None:
    """What is wrong with an address, as the rest of a sentence."""
    split = parts(url)
    if split is None:
        return "is not an address that begins with http:// or https://"
    if split.username is not None or split.password is not None:
        return "has a user or password in it; put credentials into `api_key` or `headers`"
    return "has a query or a fragment; leave them out" if split.query or split.fragment else None


def forbidden(url: str) -> bool:
    """Whether an address is link-local or a cloud's metadata service, however it is written."""
    split = parts(url)
    host = (split.hostname or "").rstrip(".") if split else ""
    if host in METADATA_NAMES:
        return True
    address = numeric(host)
    return address is not None and any(suspect(form) for form in forms(address))


def numeric(host: str) -> IPv4Address | IPv6Address | None:
    """A host as an IP address, shorthand, octal and hexadecimal included; None for a name."""
    try:
        return ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


def forms(address: IPv4Address | IPv6Address) -> list[IPv4Address | IPv6Address]:
    """The address, and the IPv4 address inside an IPv6 one."""
    found: list[IPv4Address | IPv6Address] = [address]
    if isinstance(address, IPv6Address):
        inside = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
        found += [form for form in inside if form is not None]
        if address in NAT64 or int(address) < 2**32:
            found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return found


def suspect(address: IPv4Address | IPv6Address) -> bool:
    """Whether a plain address is link-local or a metadata service."""
    return address.is_link_local or any(address in network for network in METADATA)
