"""The expected types of a body's fields, checked without a model object: unknown fields are nobody's business."""

from collections.abc import Sequence
from typing import NamedTuple

from gateway.errors import InvalidRequest
from gateway.types import Json

WORDS = {str: "a string", list: "a list", bool: "true or false", dict: "an object", int: "a whole number"}


class Field(NamedTuple):
    """A field's type, and the least and the most that its value (or its length) may be."""

    name: str
    type: type | tuple[type, ...]
    required: bool = False
    least: float | None = None
    most: float | None = None


def check_fields(body: Json, fields: Sequence[Field]) -> None:
    """Raises InvalidRequest, naming the field, for the first that is missing or wrong."""
    for field in fields:
        value = body.get(field.name)
        if value is None:
            if field.required:
                raise InvalidRequest(f"'{field.name}' is missing.", param=field.name)
            continue
        if not isinstance(value, field.type) or (isinstance(value, bool) and field.type is not bool):
            word = WORDS[field.type] if isinstance(field.type, type) else "a number"
            raise InvalidRequest(f"'{field.name}' must be {word}.", param=field.name)
        if field.least is not None or field.most is not None:
            check_bounds(field, value)


def check_bounds(field: Field, value: object) -> None:
    """Raises InvalidRequest when a number, or a length, is out of bounds."""
    size = value if isinstance(value, (int, float)) else len(value) if isinstance(value, (str, list)) else 0
    counted = "" if isinstance(value, (int, float)) else " entries" if isinstance(value, list) else " characters"
    if field.least is not None and size < field.least:
        raise InvalidRequest(f"'{field.name}' must be at least {field.least:g}{counted}.", param=field.name)
    if field.most is not None and size > field.most:
        raise InvalidRequest(f"'{field.name}' must be at most {field.most:g}{counted}.", param=field.name)
