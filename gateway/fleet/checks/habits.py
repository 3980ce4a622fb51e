"""What a provider kind does in its own way: how it names models, what else to ask it, what the answers mean."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import NamedTuple

from gateway.catalogue import Catalogue
from gateway.fleet.checks.finding import Finding, Heard, Subject
from gateway.providers.port import HttpCall, Provider

Ask = Callable[[Subject], dict[str, HttpCall]]  # what to ask, each under the name of its answer
Lacks = Callable[[Subject, Provider], Awaitable[list[Finding]]]  # what is missing before anybody can be asked
Judge = Callable[[Subject, Heard, Catalogue], Iterable[Finding]]


def nothing(subject: Subject) -> dict[str, HttpCall]:
    """No question but for its models."""
    return {}


def silence(subject: Subject, heard: Heard, catalogue: Catalogue) -> Iterable[Finding]:
    """Nothing to say."""
    return ()


async def complete(subject: Subject, provider: Provider) -> list[Finding]:
    """Nothing is missing."""
    return []


def no_permission(headers: Mapping[str, str]) -> str:
    """No right has a name."""
    return ""


class Habits(NamedTuple):
    """A provider kind's ways; those of one that has none of its own are the defaults."""

    lacks: Lacks = complete
    ask: Ask = nothing
    judge: Judge = silence
    name: Callable[[str], str] = str  # an id in the form in which two of them can be compared
    any_id: bool = False  # a server of one model answers to any id
    widen: str = ""  # what makes its context longer, with a place for the tokens
    chain: str = ""  # where its credentials come from when it has no key
    lists: bool = True  # what it lists is all that it serves
    permission: Callable[[Mapping[str, str]], str] = no_permission  # the right that a refusal's headers say is missing
