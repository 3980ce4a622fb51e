"""Records of requests as bytes, so that they outlive the process. Pure.

A record is JSON, what is empty left out, and behind it the numbers of its plan in single precision: a plan of ten
candidates is mostly numbers. Deployments are written once and meant by a number of their own.
"""

import hashlib
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

import orjson

from gateway.outcomes import Outcome, Record, Sketch
from gateway.types import NOTHING, Choice, Deployment, Forecast, Json, Plan, Price, Ranked, Rejection
from gateway.types import Usage as Tokens

MOST_REJECTED = 100  # of a plan, that are kept
MOST_KNOWN = 10_000  # deployments whose numbers are remembered
TEXT = 500  # characters of a reason
LENGTH = struct.Struct("<I")  # bytes of the JSON
FACTS = ("name", "backend", "model", "id", "kind", "location", "slots", "price_source")
BUILT = frozenset({"deployment", "attempts", "plan", "usage", "sketch", "reason"})  # fields that take more than JSON
PLAIN = tuple(name for name in Record._fields if name not in BUILT)
plain = itemgetter(*[Record._fields.index(name) for name in PLAIN])
USAGE = Outcome._fields.index("usage")
FORECAST = len(Forecast._fields)
NO_CHOICES: tuple[tuple[Any, ...], ...] = ((),) * len(Choice._fields)
NOT_KEPT = Deployment("unknown", "unknown", "unknown", "unknown", "unknown", "hosted")
MOST = 3e38  # in single precision
Number = Callable[[Deployment], int]


def packed(record: Record, number: Number) -> bytes:
    """A record; `number` is what a deployment is meant by. Raises TypeError for what JSON cannot hold."""
    found: Json = {name: value for name, value in zip(PLAIN, plain(record), strict=True) if value}
    made, kept = record.plan, record.sketch
    if record.deployment is not None:
        found["deployment"] = number(record.deployment)
    if record.usage is not None:
        found["usage"] = [*record.usage]
    if record.cost is not None:
        found["cost"] = record.cost
    if record.attempts:
        found["attempts"] = [attempt(outcome, number) for outcome in record.attempts]
    if kept is not None:
        found["sketch"] = sketch(kept)
    if made is None:
        found["reason"] = record.reason
        return LENGTH.pack(0) + orjson.dumps(found, default=list)
    if record.reason != made.reason:
        found["reason"] = record.reason
    found["plan"] = words(made, number)
    text = orjson.dumps(found, default=list)
    return LENGTH.pack(len(text)) + text + numbers(made)


def attempt(outcome: Outcome, number: Number) -> list[object]:
    """An attempt, by its fields in order."""
    row: list[object] = [*outcome]
    row[0] = number(outcome.deployment)
    if outcome.usage is not None:
        row[USAGE] = [*outcome.usage]
    return row


def words(made: Plan, number: Number) -> Json:
    """What of a plan is no number."""
    found: Json = {
        "route": made.route,
        "weights": [*made.weights],
        "choices": [number(deployment) for deployment in chosen(made.choices)],
        "rejected": [[number(out.deployment), out.reason[:TEXT], out.code] for out in made.rejected[:MOST_REJECTED]],
        "reason": made.reason,
        "arm": made.arm,
        "causes": [*made.causes],
        "leading": [*made.leading],
        "columns": len(made.columns),
    }
    if made.causes:
        found["whens"] = [choice.when for choice in made.choices]
    return {name: value for name, value in found.items() if value}


def numbers(made: Plan) -> bytes:
    """The numbers of a plan in single precision: scores, tiers, places, forecasts, then column after column."""
    found = [*numbers_of(made.choices), *chain.from_iterable(made.columns)]
    try:
        return struct.pack(f"<{len(found)}f", *found)
    except OverflowError:
        return struct.pack(f"<{len(found)}f", *[min(max(value, -MOST), MOST) for value in found])


def chosen(choices: Sequence[Choice]) -> list[Deployment]:
    """Whom the choices are of."""
    return choices.deployments() if isinstance(choices, Ranked) else [choice.deployment for choice in choices]


def numbers_of(choices: Sequence[Choice]) -> list[float]:
    """Scores, tiers, places, and forecast after forecast."""
    if isinstance(choices, Ranked):
        return choices.numbers()
    _, scores, forecasts, tiers, _, places = zip(*choices, strict=True) if choices else NO_CHOICES
    return [*scores, *tiers, *places, *chain.from_iterable(forecasts)]


def sketch(kept: Sketch) -> Json:
    """What is kept of a request, and not known of it besides."""
    found: Json = {
        "prompt_tokens": kept.prompt_tokens,
        "max_tokens": kept.max_tokens,
        "needs": [*kept.needs],
        "headers": {**kept.headers},
        "metadata": {**kept.metadata},
    }
    return {name: value for name, value in found.items() if value}


def unpacked(body: bytes, deployments: Mapping[int, Deployment]) -> Record:
    """The record of these bytes; what a newer or older version wrote is read as far as it is known."""
    (length,) = LENGTH.unpack_from(body)
    text = body[LENGTH.size : LENGTH.size + length] if length else body[LENGTH.size :]
    amounts = (
        struct.unpack(f"<{(len(body) - LENGTH.size - length) // 4}f", body[LENGTH.size + length :]) if length else ()
    )
    found: Json = orjson.loads(text)
    known: Json = {"outcome": "", "status": 0, "duration": 0.0, "at": 0.0, "id": "", "caller": ""}
    known |= {name: found[name] for name in PLAIN if name in found}
    known["overhead"] = tuple((phase, seconds) for phase, seconds in known.get("overhead", ()))
    known["deployment"] = None if "deployment" not in found else deployments[found["deployment"]]
    known["usage"] = None if "usage" not in found else Tokens(*found["usage"])
    known["attempts"] = tuple(read_attempt(row, deployments) for row in found.get("attempts", ()))
    known["plan"] = made = None if "plan" not in found else read_plan(found["plan"], amounts, deployments)
    known["reason"] = found.get("reason", "" if made is None else made.reason)
    record = Record(**known)
    return record if "sketch" not in found else record._replace(sketch=read_sketch(found["sketch"], record))


def read_attempt(row: list[Any], deployments: Mapping[int, Deployment]) -> Outcome:
    """An attempt."""
    facts = dict(zip(Outcome._fields, row, strict=False))
    facts["usage"] = None if facts["usage"] is None else Tokens(*facts["usage"])
    return Outcome(**{**facts, "deployment": deployments[row[0]]})


def read_plan(found: Json, amounts: Sequence[float], deployments: Mapping[int, Deployment]) -> Plan:
    """A plan."""
    chosen = [deployments[one] for one in found.get("choices", ())]
    whens = found.get("whens") or [""] * len(chosen)
    choices, count = [], len(chosen)
    for index, (deployment, when) in enumerate(zip(chosen, whens, strict=True)):
        score, tier, place = amounts[index], amounts[count + index], amounts[2 * count + index]
        start = 3 * count + index * FORECAST
        prompt, output, *rest = amounts[start : start + FORECAST]
        choices.append(
            Choice(deployment, score, Forecast(int(prompt), int(output), *rest), int(tier), when, int(place))
        )
    return Plan(
        route=found["route"],
        weights=tuple(found.get("weights", ())),
        choices=tuple(choices),
        rejected=tuple(Rejection(deployments[one], reason, code) for one, reason, code in found.get("rejected", ())),
        reason=found.get("reason", ""),
        arm=found.get("arm", ""),
        causes=frozenset(found.get("causes", ())),
        leading=frozenset(found.get("leading", ())),
        columns=read_columns(found.get("columns", 0), amounts[count * (3 + FORECAST) :]),
    )


def read_columns(count: int, amounts: Sequence[float]) -> tuple[Sequence[float], ...]:
    """The columns of a plan, all of one length."""
    length = len(amounts) // count if count else 0
    return tuple(list(amounts[index * length : (index + 1) * length]) for index in range(count))


def read_sketch(found: Json, record: Record) -> Sketch:
    """What was kept of a request."""
    return Sketch(
        model=record.asked,
        at=record.at,
        stream=record.stream,
        prompt_tokens=found.get("prompt_tokens", 0),
        max_tokens=found.get("max_tokens"),
        needs=frozenset(found.get("needs", ())),
        headers=found.get("headers", NOTHING),
        metadata=found.get("metadata", NOTHING),
        caller=record.caller,
        operation=record.operation,
    )


def facts(deployment: Deployment) -> str:
    """What is kept of a deployment."""
    price = deployment.price
    found: Json = {name: getattr(deployment, name) for name in FACTS}
    found["price"] = None if price is None else [price.input, price.output, price.cached_input]
    return orjson.dumps(found).decode()


def read_facts(text: str) -> Deployment:
    """A deployment as far as it was kept."""
    found: Json = orjson.loads(text)
    price = found.pop("price")
    return Deployment(**found, price=None if price is None else Price(*price))


class Numbers:
    """The numbers of deployments: of what is kept of them, so that every process has the same."""

    def __init__(self) -> None:
        self.known: dict[int, tuple[Deployment, int]] = {}  # by identity, which holds while the deployment is held
        self.facts: dict[int, str] = {}  # number -> what is kept

    def of(self, deployment: Deployment) -> int:
        """The number of a deployment."""
        found = self.known.get(id(deployment))
        if found is None:
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
                self.facts.clear()
            text = facts(deployment)
            number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")
            found = self.known[id(deployment)] = deployment, number
            self.facts[number] = text
        return found[1]

    def write(self, db: sqlite3.Connection) -> None:
        """Write those that are not in the file, which may be another than it was."""
        db.executemany("INSERT INTO deployments VALUES (?, ?) ON CONFLICT DO NOTHING", self.facts.items())


def deployments_of(db: sqlite3.Connection) -> Mapping[int, Deployment]:
    """Every deployment of a file, by its number."""
    found = {number: read_facts(text) for number, text in db.execute("SELECT number, facts FROM deployments")}
    return defaultdict(lambda: NOT_KEPT, found)
