"""Whether some request could match two routes, as far as their `match` tells."""

from collections.abc import Iterable, Mapping, Sequence

from gateway.config.matchers import ANY, bounds, lowered
from gateway.config.schema import MatchSpec, RangeSpec


def disjoint(one: MatchSpec, other: MatchSpec) -> bool:
    """Whether it is certain that no request matches both; of models, the callers of this know more."""
    return (
        (one.stream is not None and other.stream is not None and one.stream is not other.stream)
        or apart(one.caller, other.caller)
        or apart(one.language, other.language)
        or values_apart(lowered(one.headers), lowered(other.headers))
        or values_apart(one.metadata or {}, other.metadata or {})
        or ranges_apart(one.input_tokens, other.input_tokens)
        or ranges_apart(one.output_tokens, other.output_tokens)
    )


def apart(one: Iterable[str] | None, other: Iterable[str] | None) -> bool:
    """Whether both ask for one of some words, and share none."""
    return one is not None and other is not None and set(one).isdisjoint(other)


def values_apart(one: Mapping[str, Sequence[str]], other: Mapping[str, Sequence[str]]) -> bool:
    """Whether both ask for a value of the same name, and share none."""
    return any(
        ANY not in values and ANY not in other[name] and set(values).isdisjoint(other[name])
        for name, values in one.items()
        if name in other
    )


def ranges_apart(one: RangeSpec | None, other: RangeSpec | None) -> bool:
    """Whether two ranges of tokens share nothing."""
    if one is None or other is None:
        return False
    (low, high), (least, most) = bounds(one), bounds(other)
    return high < least or most < low


def described(match: MatchSpec) -> str:
    """What a match takes, in a sentence."""
    found = [] if match.model is None else [f"for {' or '.join(match.model[:3])}"]
    found += [] if match.stream is None else ["that are streamed" if match.stream else "that are not streamed"]
    found += [] if match.caller is None else [f"of {' or '.join(match.caller[:3])}"]
    found += [f"with the header {name}" for name in match.headers or ()]
    found += [f"with metadata {name}" for name in match.metadata or ()]
    rest = ("input_tokens", "output_tokens", "language", "time", "capabilities", "when")
    found += [f"with a certain {what}" for what in rest if getattr(match, what) is not None]
    return f"requests {' '.join(found)}" if found else "every request"
