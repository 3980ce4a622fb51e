"""Compiles a route's `match` into small questions, and tells when one match takes in another."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from gateway.config.schema import MatchSpec, RangeSpec, TimeSpec
from gateway.routing.book import StatsBook
from gateway.routing.policy import Detect, Matcher
from gateway.types import ChatRequest

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY = 24 * 60  # minutes
ANY = "*"  # in place of a value: that there is one


class Dear(NamedTuple):
    """Questions that cost more to ask, made elsewhere: the expression, and what tells a language."""

    when: Matcher | None = None
    detect: Detect | None = None


CHEAP = Dear()


def matchers(spec: MatchSpec, names: Collection[str], dear: Dear = CHEAP) -> tuple[Matcher, ...]:
    """The questions of a match, the cheapest first; `names` are the model names and spellings that it takes."""
    found: list[Matcher] = []
    if spec.model is not None:
        found.append(asks_for(frozenset(names), spec.model))
    if spec.stream is not None:
        found.append(streams(spec.stream))
    if spec.caller is not None:
        found.append(called_by(spec.caller))
    found += [header(name.lower(), values) for name, values in (spec.headers or {}).items()]
    if spec.capabilities is not None:
        found.append(needs(frozenset(spec.capabilities)))
    if spec.input_tokens is not None:
        found.append(reads(*bounds(spec.input_tokens)))
    if spec.output_tokens is not None:
        found.append(writes(*bounds(spec.output_tokens)))
    found += [metadata(name, values) for name, values in (spec.metadata or {}).items()]
    if spec.time is not None:
        found.append(at(spec.time))
    if dear.when is not None:
        found.append(dear.when)
    if spec.language is not None and dear.detect is not None:
        found.append(written_in(frozenset(spec.language), dear.detect))
    return tuple(found)


def bounds(spec: RangeSpec) -> tuple[float, float]:
    """A range with its open ends filled in."""
    return (0 if spec.min is None else spec.min, float("inf") if spec.max is None else spec.max)


def asks_for(names: frozenset[str], written: Sequence[str]) -> Matcher:
    """The model asked for is one of the names."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        return None if request.model in names else f"the model is not {either(written)}"

    return check


def streams(wanted: bool) -> Matcher:
    """The answer is to be streamed, or not."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        return None if request.stream is wanted else f"stream is {str(request.stream).lower()}"

    return check


def called_by(names: Sequence[str]) -> Matcher:
    """The caller is one of the names."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        return None if request.caller.name in names else f"the caller is not {either(names)}"

    return check


def header(name: str, values: Sequence[str]) -> Matcher:
    """A header has one of the values, or any when `*` is among them."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        value = request.headers.get(name)
        if value is None:
            return f"header {name} is missing"
        return None if value in values or ANY in values else f"header {name} is not {either(values)}"

    return check


def needs(wanted: frozenset[str]) -> Matcher:
    """The request needs all of the capabilities."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        missing = wanted - request.needs
        return f"does not need {', '.join(sorted(missing))}" if missing else None

    return check


def reads(low: float, high: float) -> Matcher:
    """The prompt is within a range."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        return outside(request.prompt_tokens, "input", low, high)

    return check


def writes(low: float, high: float) -> Matcher:
    """The completion asked for is within a range."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        if request.max_tokens is None:
            return "asks for no number of output tokens"
        return outside(request.max_tokens, "output", low, high)

    return check


def outside(tokens: int, what: str, low: float, high: float) -> str | None:
    """Why a number of tokens is not in a range."""
    if tokens < low:
        return f"{tokens} {what} tokens, wants at least {low:.0f}"
    return f"{tokens} {what} tokens, wants at most {high:.0f}" if tokens > high else None


def metadata(name: str, values: Sequence[str]) -> Matcher:
    """A key of the body's `metadata` has one of the values, or any when `*` is among them."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        given = request.body.get("metadata")
        value = given.get(name) if isinstance(given, dict) else None
        if value is None:
            return f"metadata {name} is missing"
        return None if str(value) in values or ANY in values else f"metadata {name} is not {either(values)}"

    return check


def at(spec: TimeSpec) -> Matcher:
    """It is asked on one of the days, within the hours; hours that span midnight belong to the day they begin on."""
    zone, days = ZoneInfo(spec.zone), frozenset(spec.days or DAYS)
    start, end = minutes(spec.hours or "00:00-00:00")

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        now = datetime.fromtimestamp(request.at, zone)
        minute, day = now.hour * 60 + now.minute, now.weekday()
        if start >= end and minute < end:
            day, minute = (day - 1) % 7, minute + DAY
        within = start <= minute < (end if start < end else end + DAY)
        return None if within and DAYS[day] in days else f"it is {DAYS[now.weekday()]} {now:%H:%M} in {spec.zone}"

    return check


def minutes(hours: str) -> tuple[int, int]:
    """`08:00-18:30` as minutes of the day."""
    start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in hours.split("-"))
    return start, end


def written_in(wanted: frozenset[str], detect: Detect) -> Matcher:
    """The last user message is in one of the languages; one that cannot be told is in none of them."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        language = detect(request)
        return None if language in wanted else f"the language is {language or 'not clear'}"

    return check


def either(words: Sequence[str]) -> str:
    """`a, b or c`."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def takes_in(wide: MatchSpec, narrow: MatchSpec, model: str | None) -> bool:
    """Whether every request for `model` (any model when None) that `narrow` takes is one that `wide` takes too."""
    return (wide.model is None or model in wide.model) and all(conditions(wide, narrow))


def conditions(wide: MatchSpec, narrow: MatchSpec) -> Iterator[bool]:
    """For each condition of `wide` but the model: whether `narrow` is as strict."""
    yield wide.stream is None or wide.stream is narrow.stream
    yield wide.caller is None or (narrow.caller is not None and set(narrow.caller) <= set(wide.caller))
    yield wide.when is None or wide.when == narrow.when
    yield wide.time is None or wide.time == narrow.time
    yield wide.language is None or (narrow.language is not None and set(narrow.language) <= set(wide.language))
    yield set(wide.capabilities or ()) <= set(narrow.capabilities or ())
    yield values_within(lowered(wide.headers), lowered(narrow.headers))
    yield values_within(wide.metadata or {}, narrow.metadata or {})
    yield range_within(wide.input_tokens, narrow.input_tokens)
    # A request that asks for no length passes no output range, however wide.
    yield wide.output_tokens is None or (
        narrow.output_tokens is not None and range_within(wide.output_tokens, narrow.output_tokens)
    )


def lowered(headers: Mapping[str, Sequence[str]] | None) -> dict[str, Sequence[str]]:
    """Headers by the name they arrive with."""
    return {name.lower(): values for name, values in (headers or {}).items()}


def values_within(wide: Mapping[str, Sequence[str]], narrow: Mapping[str, Sequence[str]]) -> bool:
    """Whether each name that `wide` asks for has no more values in `narrow`."""
    return all(name in narrow and (ANY in values or set(narrow[name]) <= set(values)) for name, values in wide.items())


def range_within(wide: RangeSpec | None, narrow: RangeSpec | None) -> bool:
    """Whether a range lies in another."""
    low, high = bounds(wide or RangeSpec())
    inner_low, inner_high = bounds(narrow or RangeSpec())
    return low <= inner_low and inner_high <= high
