"""Telling observers: one that fails spoils neither the answer nor the others."""

from collections.abc import Callable, Iterable
from typing import TypeVar

import structlog

from gateway.outcomes import Observer, Outcome, Record, Shadowed

log = structlog.get_logger()
Told = TypeVar("Told")


def tell_attempted(observers: Iterable[Observer], outcome: Outcome) -> None:
    """Tell every observer of an attempt that is over."""
    for observer in observers:
        guarded(observer.attempted, outcome)


def tell_answered(observers: Iterable[Observer], record: Record) -> None:
    """Tell every observer of a request that is over."""
    for observer in observers:
        guarded(observer.answered, record)


def tell_shadowed(observers: Iterable[Observer], told: Shadowed) -> None:
    """Tell every observer of a request that was mirrored."""
    for observer in observers:
        guarded(observer.shadowed, told)


def guarded(tell: Callable[[Told], None], told: Told) -> None:
    """Call an observer; its failure is logged."""
    try:
        tell(told)
    except Exception:
        log.exception("observer.failed", observer=getattr(tell, "__qualname__", str(tell)))
