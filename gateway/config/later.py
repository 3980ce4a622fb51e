"""What the policy language has and this version of the gateway does not."""

from collections.abc import Mapping

from gateway.config.problems import Path

KEYS: Mapping[tuple[str, ...], frozenset[str]] = {
    ("backends", "*"): frozenset({"on_disconnect"}),
    ("models", "*"): frozenset({"substitutes"}),
    ("routes", "*"): frozenset({"hedge"}),
    ("defaults",): frozenset({"hedge"}),
    ("callers", "*"): frozenset({"limits"}),
}

# By key, wherever it is: words that may begin its value, or be the key of the mapping that is its value.
VALUES: Mapping[str, frozenset[str]] = {
    "mode": frozenset({"semantic"}),
}


def later_key(path: Path) -> bool:
    """Whether a key that we do not know is one of the language's."""
    names = tuple(str(part) for part in path)
    return any(
        len(section) == len(names) - 1
        and names[-1] in keys
        and all(ours in ("*", theirs) for ours, theirs in zip(section, names, strict=False))
        for section, keys in KEYS.items()
    )


def later_value(path: Path, value: object) -> str | None:
    """The word of the language that a value we do not take uses, if it does."""
    words = VALUES.get(str(path[-1]), frozenset()) if path and path[0] in ("routes", "defaults") else frozenset()
    written = list(value) if isinstance(value, dict) else [str(value).partition(":")[0]]
    return next((str(word) for word in written if word in words), None)
