"""What a server answered, read with care: anything may be of any shape."""

from collections.abc import Mapping

from gateway.fleet.httpx_transport import Answer
from gateway.types import Json

Answers = Mapping[str, Answer]  # by path
MODELS = "/v1/models"


def parsed(answers: Answers, path: str) -> object:
    """The JSON under a path; None when there is none."""
    answer = answers.get(path)
    return None if answer is None else answer.parsed()


def listed(answers: Answers, path: str, key: str = "data") -> list[Json] | None:
    """The objects of a list under a path; None when it is no such list."""
    rows = mapping(parsed(answers, path)).get(key)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None


def owned(rows: list[Json], *owners: str) -> bool:
    """Whether every model has one of these owners."""
    return all(row.get("owned_by") in owners for row in rows)


def version(answers: Answers, path: str) -> bool:
    """Whether a version is told under a path."""
    return bool(text(mapping(parsed(answers, path)).get("version")))


def mapping(value: object) -> Json:
    """An object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def text(value: object) -> str:
    """A text, or an empty one in place of anything else."""
    return value if isinstance(value, str) else ""


def whole(value: object) -> int | None:
    """A number of things above zero; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= 10**9 else None
