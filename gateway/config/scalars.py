"""The values of a policy file: names, durations, sizes, shares, and the mapping that all others are made of."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, WithJsonSchema
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError

from gateway.config import units
from gateway.config.document import resolve
from gateway.config.variables import Expanded

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
MODEL_NAME = r"^[A-Za-z0-9@][A-Za-z0-9@._:/+-]{0,127}$"

LANGUAGE = r"^[a-z]{2}$"


def typed(value: object) -> object:
    """What came from a variable is text: where a number is wanted, read it as one."""
    return resolve(str(value)) if isinstance(value, Expanded) else value


def duration(value: object) -> object:
    """`800ms`, `2s`, `5m`, `1h` in seconds."""
    found = units.seconds(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("unit", "a duration such as 800ms, 2s, 5m or 1h")
    return found


def size(value: object) -> object:
    """`8b`, `0.5b` in billions of parameters."""
    found = units.billions(value) if isinstance(value, str) else None
    if found is None:
        raise PydanticCustomError("unit", "a size in billions of parameters such as 8b or 0.5b")
    return found


def precision(value: object) -> object:
    """A precision, in lower case."""
    name = value.lower() if isinstance(value, str) else ""
    if units.exactness(name) is None:
        raise PydanticCustomError("precision", "a precision such as bf16, fp8, q8_0 or q4_k_m")
    return name


def day(value: object) -> object:
    """`2027-03-30` as a date."""
    try:
        return value if type(value) is date else date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise PydanticCustomError("day", "a date such as 2027-03-30") from None


def language(value: object) -> object:
    """An ISO 639-1 code."""
    if not isinstance(value, str) or not re.fullmatch(LANGUAGE, value):
        raise PydanticCustomError("language", "a language's ISO 639-1 code, two letters such as en or de")
    return value


def zone(value: object) -> object:
    """A name of the time zone database."""
    try:
        return ZoneInfo(value).key if isinstance(value, str) else None
    except (KeyError, ValueError, OSError):
        raise PydanticCustomError("zone", "a name of the time zone database, such as Europe/Berlin") from None


def share(value: object) -> object:
    """`5%` or 0.05 as a part of one."""
    found = units.share(typed(value))
    if found is None:
        raise PydanticCustomError("share", "a share from 0% to 100%, such as 5% or 0.05")
    return found


def listed(value: object) -> object:
    """A single word as a list of one."""
    return [value] if isinstance(value, str) else value


def moment(value: object) -> object:
    """`2027-03-30`, its midnight in UTC, or `2027-03-30T12:00:00+01:00`."""
    try:
        found = (
            value if isinstance(value, datetime) else datetime.fromisoformat(value if isinstance(value, str) else "")
        )
    except ValueError:
        raise PydanticCustomError("moment", "a date such as 2027-03-30, or with a time, 2027-03-30T12:00:00Z") from None
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


Zone = Annotated[str, BeforeValidator(zone)]
Text = Annotated[str, Field(min_length=1)]
Label = Annotated[str, Field(min_length=1, max_length=256)]
Name = Annotated[str, Field(pattern=NAME)]
ModelName = Annotated[str, Field(pattern=MODEL_NAME)]
Whole = Annotated[int, BeforeValidator(typed), Field(ge=1, le=10**9)]
Count = Annotated[int, BeforeValidator(typed), Field(ge=0, le=10**9)]
Money = Annotated[float, BeforeValidator(typed), Field(ge=0, le=10**9)]
Dollars = Annotated[Money, Field(gt=0)]
Flag = Annotated[bool, BeforeValidator(typed)]
Duration = Annotated[
    float, BeforeValidator(duration), WithJsonSchema({"type": "string", "pattern": units.DURATION.pattern})
]
Size = Annotated[
    float, BeforeValidator(size), WithJsonSchema({"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?[bB]$"})
]
Precision = Annotated[
    str, BeforeValidator(precision), WithJsonSchema({"type": "string", "examples": units.precisions()})
]
Words = Annotated[
    list[Text],
    BeforeValidator(listed),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
Share = Annotated[
    float,
    BeforeValidator(share),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "ge": 0, "le": 1}, {"type": "string", "pattern": units.PERCENT.pattern}]}
    ),
]
Day = Annotated[date, BeforeValidator(day), WithJsonSchema({"type": "string", "format": "date"})]
Moment = Annotated[
    datetime, BeforeValidator(moment), WithJsonSchema({"type": "string", "pattern": units.MOMENT.pattern})
]
Language = Annotated[str, BeforeValidator(language), WithJsonSchema({"type": "string", "pattern": LANGUAGE})]
Part = Annotated[Share, Field(gt=0)]
Location = Literal["self_hosted", "hosted"]
Collection = Literal["allow", "deny"]
Capabilities = list[Text]


class Spec(BaseModel):
    """A mapping of the policy file: no keys but its own."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def keys_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a mapping by the keys that a file has for them."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def worded(words: Iterable[str], core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
    """The JSON schema of a mapping that may be a single word as well."""
    return {"anyOf": [{"enum": list(words)}, handler(core)]}
