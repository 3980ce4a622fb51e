"""Does a value satisfy a schema that a caller sent? Answers within a bound of time, and reads nothing else for it."""

from typing import Any, NoReturn
from urllib.parse import unquote

from gateway.types import Json

EFFORT = 10_000_000  # places of a schema times characters of a value that are looked at, about 10 ns each at the worst
LEAST = 1000  # characters that any value counts for: a schema must be read even for the smallest
DEPTH = 100  # of a schema with its references followed
PATTERN = 150  # places that a regular expression counts for
PATTERN_BYTES = 1 << 16  # of a compiled regular expression
AGAIN = 4  # times that all inside `unevaluated...` counts: it is looked at once more for it
FOREIGN = ("$dynamicRef", "$recursiveRef")  # references whose target depends on the way to them
UNEVALUATED = ("unevaluatedProperties", "unevaluatedItems")


class Unjudged(Exception):
    """The schema refers to something outside, or might take too long."""


def satisfies(schema: object, value: object, characters: int, shares: int = 1) -> bool | None:
    """Whether a value, of that many characters as JSON, satisfies a schema; None when that cannot be said.

    `shares` is how many values are to be judged in one go: together they have the time of one.

    It cannot for a schema that is invalid, refers to another document, has a pattern that needs backtracking, or is so
    large for the value that to compare them might hold up everyone else.
    """
    if not isinstance(schema, dict):
        return None
    # Imported here: eight megabytes that a gateway without such routes never needs.
    import jsonschema_rs

    # The linear engine: without look-around and back-references, and without a text on which it takes for ever.
    linear = jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES, dfa_size_limit=PATTERN_BYTES)
    try:
        Weight(schema, EFFORT // ((characters + LEAST) * shares)).of(schema, 0)
        validator = jsonschema_rs.validator_for(schema, pattern_options=linear, validate_formats=False, offline=True)
        return validator.is_valid(value)
    except (Unjudged, ValueError, jsonschema_rs.ReferencingError):
        return None


class Weight:
    """How many places of a schema may have to be looked at for one place of a value, its references followed.

    It weighs no more than `most`: a schema of megabytes must not take the time that it is refused to save.
    """

    def __init__(self, schema: Json, most: int = EFFORT) -> None:
        self.schema = schema
        self.most = most
        self.seen = 0  # places so far
        self.known: dict[str, int] = {}  # reference -> weight of its target, 1 while that is being found

    def of(self, part: object, depth: int) -> int:
        """The weight of a part; raises Unjudged."""
        self.seen += 1
        if depth > DEPTH or self.seen > self.most:
            raise Unjudged("it is too deep or too large")
        if isinstance(part, list):
            return self.light(1 + sum([self.of(inner, depth + 1) for inner in part]))
        if not isinstance(part, dict):
            return 1
        if depth and isinstance(part.get("$id"), str):
            raise Unjudged("it has another document in it")
        weight = 1 + sum([self.of_keyword(name, inner, depth + 1) for name, inner in part.items()])
        return self.light(weight * AGAIN if any(name in part for name in UNEVALUATED) else weight)

    def light(self, weight: int) -> int:
        """A weight that is not too much; raises Unjudged."""
        if weight > self.most:
            raise Unjudged("it might take too long")
        return weight

    def of_keyword(self, name: str, inner: object, depth: int) -> int:
        """The weight of one keyword and what is in it; raises Unjudged."""
        if name in FOREIGN or (name == "$schema" and "draft-04" in str(inner)):
            raise Unjudged("its references are not followed")
        if name == "$ref" and isinstance(inner, str):
            return self.of_reference(inner, depth)
        if name == "pattern":
            return PATTERN
        if name == "patternProperties" and isinstance(inner, dict):
            return PATTERN * len(inner) + self.of(inner, depth)
        return self.of(inner, depth)

    def of_reference(self, reference: str, depth: int) -> int:
        """The weight of a reference's target; one into itself adds nothing, for the validator remembers those."""
        if reference not in self.known:
            self.known[reference] = 1
            self.known[reference] = self.of(target(self.schema, reference), depth)
        return self.known[reference]


def target(schema: Json, reference: str) -> object:
    """What a reference within a schema points to (RFC 6901); raises Unjudged."""
    if reference != "#" and not reference.startswith("#/"):
        elsewhere(reference)
    part: Any = schema
    for step in unquote(reference).split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(part, list) and step.isdecimal() and int(step) < len(part):
            part = part[int(step)]
        elif isinstance(part, dict) and step in part:
            part = part[step]
        else:
            elsewhere(reference)
    return part


def elsewhere(reference: str) -> NoReturn:
    """Raises Unjudged."""
    raise Unjudged(f"'{reference}' is not in it")
