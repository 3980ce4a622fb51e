"""The suggestion after a misspelt word."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, options: Iterable[str]) -> str:
    """`did you mean 'x'?` for the option most like the word; empty when none is."""
    by_key = {_key(option): option for option in options}
    close = get_close_matches(_key(word[:80]), by_key, n=1)
    return suggestion(by_key[close[0]]) if close else ""


def suggestion(option: str) -> str:
    """The question itself."""
    return f"did you mean '{option}'?"


def _key(word: str) -> str:
    return word.lower().replace("-", "_")
