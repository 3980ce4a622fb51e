"""What a request asks of the choice, as OpenRouter's users write it: `provider`, `models`, `:floor` and `:nitro`."""

from collections.abc import Callable, Mapping
from typing import NamedTuple, NoReturn

from gateway.errors import InvalidRequest
from gateway.types import Json, Preferences

SUFFIXES = {":floor": "price", ":nitro": "throughput"}
SORTS = ("price", "latency", "throughput")
MOST = 20  # entries of a list
LONGEST = 100  # characters of an entry


class Wish(NamedTuple):
    """The model's name without a suffix, what the request asks of the choice, and the body that is left to send."""

    model: str
    preferences: Preferences | None
    body: Json


def wish(body: Json) -> Wish:
    """What a checked body asks of the choice, None when it asks nothing; raises InvalidRequest."""
    model, sort = cut(body["model"])
    provider, models = body.get("provider"), body.get("models")
    if sort is None and provider is None and models is None:
        return Wish(model, None, body)
    found = Preferences() if provider is None else of_provider(provider)
    if sort is not None:
        found = found._replace(sort=sort)
    if models is not None:
        found = found._replace(models=tuple(cut(name)[0] for name in words(models, "models")))
    sent = {name: value for name, value in body.items() if name not in ("provider", "models")}
    return Wish(model, found, {**sent, "model": model})


def cut(model: str) -> tuple[str, str | None]:
    """A model's name without its suffix, and what that sorts by."""
    stem, colon, suffix = model.rpartition(":")
    sort = SUFFIXES.get(colon + suffix)
    return (stem, sort) if sort is not None and stem else (model, None)


def of_provider(given: object) -> Preferences:
    """OpenRouter's `provider` object; raises InvalidRequest for a key we do not know: it may have been a constraint."""
    if not isinstance(given, dict):
        wrong("provider", "an object")
    values: Json = {}
    for name, value in given.items():
        if name not in READERS:
            raise InvalidRequest(
                f"'provider.{str(name)[:LONGEST]}' is not known here; there are {', '.join(READERS)}.", param="provider"
            )
        if value is not None:
            values |= READERS[name](value, f"provider.{name}")
    return Preferences(**values)


def words(value: object, where: str) -> list[str]:
    """A list of names, not too many."""
    if not isinstance(value, list) or len(value) > MOST:
        wrong(where, f"a list of at most {MOST} names")
    if not all(isinstance(one, str) and 0 < len(one) <= LONGEST for one in value):
        wrong(where, "a list of names")
    return value


def names(field: str, kind: Callable[[list[str]], object]) -> Callable[[object, str], Json]:
    """Reads a list of names, in lower case."""
    return lambda value, where: {field: kind([one.lower() for one in words(value, where)])}


def flag(field: str) -> Callable[[object, str], Json]:
    """Reads true or false."""

    def read(value: object, where: str) -> Json:
        return {field: value} if isinstance(value, bool) else wrong(where, "true or false")

    return read


def sorting(value: object, where: str) -> Json:
    """Reads what to sort by: a word, or an object that has it as `by`."""
    word = value.get("by") if isinstance(value, dict) else value
    return {"sort": word} if word in SORTS else wrong(where, f"one of {', '.join(SORTS)}")


def collection(value: object, where: str) -> Json:
    """Reads whether providers may keep what they are sent."""
    return {"data_collection": value} if value in ("allow", "deny") else wrong(where, "allow or deny")


def prices(value: object, where: str) -> Json:
    """Reads the most that tokens may cost, in US dollars per million."""
    if not isinstance(value, dict) or not value.keys() <= {"prompt", "completion"}:
        wrong(where, "an object with `prompt` and `completion`")
    return {f"max_{name}_price": dollars(price, f"{where}.{name}") for name, price in value.items()}


def dollars(value: object, where: str) -> float:
    """A price, as a number or as a text that is one."""
    try:
        price = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except ValueError:
        price = -1.0
    return price if 0 <= price < float("inf") else wrong(where, "US dollars per million tokens")


def wrong(where: str, what: str) -> NoReturn:
    """Raises InvalidRequest for a field that is not what it should be."""
    raise InvalidRequest(f"'{where}' must be {what}.", param=where)


READERS: Mapping[str, Callable[[object, str], Json]] = {
    "order": names("order", tuple),
    "only": names("only", frozenset),
    "ignore": names("ignore", frozenset),
    "sort": sorting,
    "max_price": prices,
    "quantizations": names("quantizations", frozenset),
    "require_parameters": flag("require_parameters"),
    "allow_fallbacks": flag("allow_fallbacks"),
    "data_collection": collection,
}
