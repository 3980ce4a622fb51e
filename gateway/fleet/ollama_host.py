"""OLLAMA_HOST, the variable that says where Ollama is."""

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

from gateway.config import addresses


def addressed(places: Mapping[str, str], host: str) -> tuple[dict[str, str], list[str]]:
    """The places to look with what OLLAMA_HOST says, and a note when that cannot be used."""
    found = dict(places)
    if not host.strip():
        return found, []
    url = ollama_url(host)
    if url is None:
        found.pop("ollama", None)
        return found, ["OLLAMA_HOST is not an address that can be used, so Ollama was not looked for."]
    return found | {"ollama": url}, []


def ollama_url(host: str) -> str | None:
    """OLLAMA_HOST as an address, read as Ollama reads it; None for one that a policy must not hold."""
    before, mark, after = host.strip().partition("://")
    scheme, rest = (before.lower(), after) if mark else ("http", before)
    usual = {"http": 80, "https": 443}.get(scheme) if mark else 11434
    if usual is None or "$" in rest or "@" in rest:  # a policy would fill in the one, and show what the other hides
        return None
    try:
        split = urlsplit(f"{scheme}://{bracketed(rest)}")
        port = split.port or usual
    except ValueError:
        return None
    url = f"{scheme}://{reachable(split.hostname)}:{port}{split.path.rstrip('/')}"
    return None if addresses.fault(url) or addresses.forbidden(url) else url


def bracketed(rest: str) -> str:
    """A bare IPv6 address in brackets; anything else as it is."""
    try:
        return f"[{rest}]" if ip_address(rest).version == 6 else rest
    except ValueError:
        return rest


def reachable(name: str | None) -> str:
    """A host to connect to: who listens everywhere, or does not say where, also does on this machine."""
    try:
        address = ip_address(name or "0.0.0.0")  # noqa: S104  # nothing is bound to it
    except ValueError:
        return name or ""
    if address.is_unspecified:
        return "127.0.0.1"
    return f"[{address}]" if address.version == 6 else str(address)
