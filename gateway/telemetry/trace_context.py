"""W3C Trace Context: whose trace a request belongs to. Pure but for the random ids of new ones."""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

# Version 00 and whatever later versions add behind it.
FORM: Final = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?", re.ASCII)
SAMPLED = 0x01
SPANS = 1 << 64


class Trace(NamedTuple):
    """A trace, the span in it that is meant, and its flags; the numbers as the header has them."""

    trace: int
    span: int
    flags: int = SAMPLED

    @property
    def sampled(self) -> bool:
        """Whether somebody keeps it."""
        return bool(self.flags & SAMPLED)

    @property
    def header(self) -> str:
        """The `traceparent` that says so."""
        return f"00-{self.trace:032x}-{self.span:016x}-{self.flags:02x}"

    def child(self, number: int) -> "Trace":
        """One of the spans below this one: always the same for the same number, so that none needs to be kept."""
        return self._replace(span=(self.span + number) % SPANS or 1)


def trace_of(header: str) -> Trace | None:
    """What a `traceparent` says; None where it says nothing that is valid."""
    found = FORM.fullmatch(header) if header else None
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    return Trace(int(found[1], 16), int(found[2], 16), int(found[3], 16) & SAMPLED)


def begun(header: str, sampled: Callable[[int], bool], random_bits: Callable[[int], int]) -> Trace:
    """The span of a request: in the trace of its caller, or in a new one that is kept if `sampled` says so."""
    parent = trace_of(header)
    if parent is not None:
        return parent._replace(span=random_bits(64) or 1)
    trace = random_bits(128) or 1
    return Trace(trace, random_bits(64) or 1, SAMPLED if sampled(trace) else 0)
