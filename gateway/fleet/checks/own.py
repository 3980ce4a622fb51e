"""Providers that work out by themselves where to send requests."""

from gateway.fleet.checks.finding import Finding, Subject
from gateway.providers.port import Provider


def address(subject: Subject, provider: Provider) -> str:
    """The address of a backend: the policy's, else what its provider made of its region; empty when it has none."""
    return subject.backend.url or str(getattr(provider, "url", None) or "")


def unasked(subject: Subject) -> Finding:
    """The note on a backend without an address, of which only the catalogue's facts are checked."""
    what = "It has no address of its own here, so it was not asked; its models and dates are the catalogue's."
    return Finding("info", "models", subject.name, what, "Send it a request through the gateway to be sure.")
