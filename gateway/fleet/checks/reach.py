"""Whether a backend can be reached, and which step failed: its name, the connection, TLS."""

import socket
import ssl
from datetime import datetime
from typing import NamedTuple

from gateway.fleet.checks.finding import Finding, Subject

SOON = 14  # days before a certificate ends

# OpenSSL's numbers of what is wrong with a certificate.
NOT_YET, EXPIRED = 9, 10
SELF_SIGNED = (18, 19)
NO_ISSUER = (2, 20, 21)
WRONG_HOST = (62, 64)


class Place(NamedTuple):
    """Where to connect: the backend itself, or the proxy in front of it."""

    host: str
    port: int
    tls: bool
    proxy: bool = False


class Trouble(NamedTuple):
    """The step that failed, and how; no `error` when it took too long."""

    step: str  # `dns`, `tcp`, `tls`
    error: Exception | None = None


def judge(subject: Subject, place: Place, trouble: Trouble) -> Finding:
    """What stands in the way of a backend."""
    what, advice = STEPS[trouble.step](place, trouble.error)
    which = " (its proxy)" if place.proxy else ""
    return Finding("error", trouble.step, subject.name, f"{what}{which}.", advice)


def dns(place: Place, error: Exception | None) -> tuple[str, str]:
    """The name has no address."""
    if isinstance(error, socket.gaierror) and error.errno != socket.EAI_AGAIN:
        return f"There is no host of the name '{place.host}'", "Correct the name, or add it to the DNS."
    what = f"No name server said in time where '{place.host}' is"
    return what, "Look at this machine's DNS and its way to the network."


def tcp(place: Place, error: Exception | None) -> tuple[str, str]:
    """The address takes no connection."""
    where = f"{place.host}:{place.port}"
    if isinstance(error, ConnectionRefusedError):
        return f"Nothing listens on {where}", "Start the server, or correct the port."
    if error is None or isinstance(error, TimeoutError):
        what = f"{where} does not answer at all"
        return what, "Look whether the machine is up, and whether a firewall is between."
    reason = getattr(error, "strerror", None) or type(error).__name__
    return f"No connection to {where} can be made: {reason}", "Correct the address, or this machine's network."


def tls(place: Place, error: Exception | None) -> tuple[str, str]:
    """The connection is there, but not safe."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return certificate(place, error.verify_code)
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_EOF"):
        what = f"{place.host}:{place.port} does not speak TLS"
        return what, "Write `http://` in its url if it is plain HTTP, or correct the port."
    if error is None:
        what = f"{place.host}:{place.port} takes the connection and then says nothing of TLS"
        return what, "Look whether it speaks TLS; else write `http://` in its url."
    reason = getattr(error, "reason", None) or type(error).__name__
    what = f"{place.host}:{place.port} and this machine cannot agree on TLS ({reason})"
    return what, "Look at the server's TLS versions, and whether it asks for a certificate (`tls: {cert, key}`)."


def certificate(place: Place, code: int) -> tuple[str, str]:
    """What is wrong with a certificate, in plain words."""
    whose = f"The certificate of {place.host}:{place.port}"
    ca = "`tls: {ca: FILE}`"
    if code == EXPIRED:
        return f"{whose} has expired", "Renew it; if it is new, look at this machine's clock."
    if code == NOT_YET:
        return f"{whose} is not valid yet", "Look at this machine's clock, and at the server's."
    if code in WRONG_HOST:
        return f"{whose} is for another host", "Write the name it was made for into the url, or have a new one made."
    if code in SELF_SIGNED:
        return f"{whose} is signed by itself", f"If it is yours, name it as the authority: {ca}."
    if code in NO_ISSUER:
        return f"{whose} is from an authority that this machine does not know", f"If it is yours, name it: {ca}."
    return f"{whose} cannot be verified (OpenSSL's code {code})", f"Have a new one made, or name its authority: {ca}."


STEPS = {"dns": dns, "tcp": tcp, "tls": tls}


def files_fault(subject: Subject, error: OSError) -> Finding:
    """The finding on certificates of our own that cannot be used."""
    reason = getattr(error, "reason", None) or error.strerror or type(error).__name__
    what = f"A file of its `tls` cannot be used: {reason}."
    return Finding("error", "files", subject.name, what, "Correct `tls: {ca, cert, key}`: PEM files that can be read.")


def expiry(subject: Subject, place: Place, ends: datetime, now: datetime) -> list[Finding]:
    """A warning when a certificate is about to expire."""
    days = (ends - now).days
    if days >= SOON:
        return []
    what = f"The certificate of {place.host}:{place.port} expires on {ends.date()}, in {max(days, 0)} days."
    return [Finding("warning", "tls", subject.name, what, "Renew it.")]
