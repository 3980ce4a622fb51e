"""One unit test of a policy: the request and the statistics it describes, and what the plan is held against. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson

from gateway.config.problems import Path
from gateway.dialects.openai import chat_request
from gateway.errors import GatewayError, Unauthorized
from gateway.policytools.cases import AskedSpec, CaseSpec, ExpectSpec, GivenSpec
from gateway.policytools.decision import Decision, decide, everyone, names_of, shadowed
from gateway.routing.book import StatsBook
from gateway.routing.breaker import FAULTS, OPEN_SECONDS, Breaker
from gateway.routing.forecast import START_TTFT, prior
from gateway.routing.policy import Policy
from gateway.routing.stats import GONE, PARKING
from gateway.types import CacheControl, Caller, ChatRequest, Choice, Deployment, Json

NOW = 1000.0  # seconds of the monotonic clock: any number does
REST_SECONDS = 60.0
RESTS = "rests, as the test says"
ANYBODY = "anonymous"
BODY = ("model", "stream", "max_tokens", "tools", "response_format", "metadata", "provider", "models")


class Failure(NamedTuple):
    """An expectation that was not met; `what` is its path below `expect`."""

    what: Path
    expected: str
    got: str


def failures(case: CaseSpec, policy: Policy) -> list[Failure]:
    """What a test expects and the policy does not do."""
    try:
        request = request_of(case.request, policy)
    except GatewayError as error:
        decision = Decision(None, None, error, ())
    else:
        book, given = book_of(case.given, policy), case.given
        decision = decide(policy, request, book, NOW, given.chance, frozenset(given.causes))
    if case.expect.error is not None:
        return list(wrong_error(case.expect, decision))
    if decision.plan is None:
        return [Failure((), "a plan", refusal(decision))]
    return list(wrong_plan(case.expect, decision, everyone(policy)))


def request_of(asked: AskedSpec, policy: Policy) -> ChatRequest:
    """The request as it would come in; raises GatewayError as the gateway would."""
    fields = {name: value for name in BODY if (value := getattr(asked, name)) is not None}
    messages = asked.messages or [{"role": "user", "content": asked.prompt or "Hello"}]
    body: Json = {**asked.body, **fields, "messages": asked.body.get("messages", messages)}
    headers = {name.lower(): value for name, value in asked.headers.items()}
    caller = caller_of(asked.caller, policy)
    found = chat_request(orjson.dumps(body), "test", headers, caller, CacheControl(), NOW, None)
    return replace(
        found,
        prompt_tokens=found.prompt_tokens if asked.input_tokens is None else asked.input_tokens,
        needs=found.needs | frozenset(asked.needs or ()),
        at=found.at if asked.time is None else asked.time,
    )


def caller_of(name: str | None, policy: Policy) -> Caller:
    """A caller of the policy by name; raises Unauthorized when the policy has callers and that is none of them."""
    if name is None or not policy.callers:
        return Caller(name or ANYBODY)
    found = next((caller for caller in policy.callers.values() if caller.name == name), None)
    if found is None:
        raise Unauthorized(f"The policy has no caller '{name}'.")
    return found


def meant(words: Iterable[str], deployments: Iterable[Deployment]) -> Iterator[Deployment]:
    """The deployments that any of the words means."""
    wanted = set(words)
    return (one for one in deployments if not wanted.isdisjoint(names_of(one)))


def book_of(given: GivenSpec, policy: Policy) -> StatsBook:
    """The statistics that a test describes."""
    book, deployments = StatsBook(), list(everyone(policy).values())
    measure(given, book, deployments)
    for one in meant(given.ejected, deployments):
        until, because = NOW + OPEN_SECONDS, f"{FAULTS} faults in a row"
        breaker = Breaker(False, until, until, FAULTS, 1, because=because)
        book.deployments[one.name] = book.of(one)._replace(breaker=breaker, ejected_until=until, failed=NOW)
    for words, because, seconds in (
        (given.resting, RESTS, REST_SECONDS),
        (given.gone, GONE, PARKING["upstream_model_gone"][0]),
    ):
        for one in meant(words, deployments):
            book.deployments[one.name] = book.of(one)._replace(resting_until=NOW + seconds, resting_because=because)
    book.in_flight.update(given.in_flight)
    book.bursts.update(given.burst)
    book.output.update({route: float(tokens) for route, tokens in given.output_tokens.items()})
    for route, usd in given.spent.items():
        book.spend(route, usd, NOW)
    return book


def measure(given: GivenSpec, book: StatsBook, deployments: Iterable[Deployment]) -> None:
    """Latencies and failures, as if measured this moment."""
    for one in deployments:
        ttft = value_for(given.ttft, one)
        speed = value_for(given.tokens_per_second, one)
        failing = value_for(given.failing, one)
        if ttft is not None or speed is not None:
            pace = prior(one).per_token if speed is None else 1 / speed
            book.deployments[one.name] = book.of(one)._replace(
                ttft=START_TTFT if ttft is None else ttft, per_token=pace, seen=NOW
            )
        if failing is not None:
            book.deployments[one.name] = book.of(one)._replace(failing=failing, failed=NOW)


def value_for(values: dict[str, float], deployment: Deployment) -> float | None:
    """What is given of a deployment: by its own name, else by the first word that means it."""
    if deployment.name in values:
        return values[deployment.name]
    names = names_of(deployment)
    return next((value for word, value in values.items() if word in names), None)


def wrong_error(expect: ExpectSpec, decision: Decision) -> Iterator[Failure]:
    """The error is not the one expected, or there is none."""
    if decision.error is None:
        yield Failure(("error",), f"the error {expect.error}", f"a plan: {shown(decision)}")
    elif decision.error.code != expect.error:
        yield Failure(("error",), f"the error {expect.error}", refusal(decision))
    if expect.route is not None and expect.route != decision.name:
        yield Failure(("route",), expect.route, decision.name or "no route")
    yield from not_out(expect, decision)


def wrong_plan(expect: ExpectSpec, decision: Decision, known: dict[str, Deployment]) -> Iterator[Failure]:
    """Where a plan differs from what is expected of it."""
    assert decision.plan is not None
    plan = decision.plan
    first = plan.choices[0]
    if expect.route is not None and expect.route != plan.route:
        yield Failure(("route",), expect.route, plan.route)
    if expect.arm is not None and expect.arm != plan.arm:
        yield Failure(("arm",), expect.arm, plan.arm or "the route's own")
    if expect.first is not None and expect.first not in names_of(first.deployment):
        yield Failure(("first",), expect.first, shown(decision))
    if expect.order is not None and not in_order(expect.order, plan.choices):
        yield Failure(("order",), ", ".join(expect.order), ", ".join(one.deployment.name for one in plan.choices))
    yield from not_out(expect, decision, known)
    yield from there_after_all(expect, decision, known)
    if expect.max_usd is not None and first.forecast.usd > expect.max_usd:
        yield Failure(("max_usd",), f"at most ${expect.max_usd:g}", f"${first.forecast.usd:.6f} ({shown(decision)})")
    if expect.ttft is not None and first.forecast.ttft > expect.ttft:
        yield Failure(("ttft",), f"at most {expect.ttft:g} s", f"{first.forecast.ttft:.3f} s ({shown(decision)})")


def in_order(words: list[str], choices: Sequence[Choice]) -> bool:
    """Whether each choice is what stands in its place, and nobody is left over."""
    return len(words) == len(choices) and all(
        word in names_of(choice.deployment) for word, choice in zip(words, choices, strict=True)
    )


def not_out(expect: ExpectSpec, decision: Decision, known: dict[str, Deployment] | None = None) -> Iterator[Failure]:
    """Deployments that are to be out and are not, or for another reason."""
    out = {one.deployment: one for one in decision.out}
    for word, reason in expect.excluded.items():
        concerned = [one for name, one in out.items() if means(word, name, known)]
        wanted = f"out ({reason})" if reason else "out"
        tried = decision.plan.choices if decision.plan is not None else ()
        inside = [one.deployment.name for one in tried if word in names_of(one.deployment)]
        if inside:
            yield Failure(("excluded", word), wanted, f"{', '.join(inside)} may be tried")
        elif not concerned:
            yield Failure(("excluded", word), wanted, f"no part of the route '{decision.name}'")
        for one in concerned:
            if reason and reason != one.code and reason not in one.reason:
                yield Failure(("excluded", word), wanted, f"{one.deployment} {one.reason} ({one.code})")


def means(word: str, name: str, known: dict[str, Deployment] | None) -> bool:
    """Whether a word means the deployment of a name."""
    if known is not None and name in known:
        return word in names_of(known[name])
    return word in (name, *name.split("/", 1))


def there_after_all(expect: ExpectSpec, decision: Decision, known: dict[str, Deployment]) -> Iterator[Failure]:
    """Deployments that are never to get the request and may: now, later, or as shadow."""
    if decision.plan is None or decision.route is None:
        return
    ways = [
        ("is tried", [choice.deployment for choice in decision.plan.choices]),
        ("is in the reserve", [known[one.deployment] for one in decision.out if one.code == "reserve"]),
        ("gets copies (shadow)", shadowed(decision.route)),
    ]
    for index, word in enumerate(expect.never):
        for how, deployments in ways:
            for one in meant([word], deployments):
                yield Failure(("never", index), f"{word} never gets it", f"{one.name} {how}")


def shown(decision: Decision) -> str:
    """The first of a plan, and why."""
    plan = decision.plan
    return "" if plan is None else f"{plan.choices[0].deployment.name} by route '{plan.route}' ({plan.reason})"


def refusal(decision: Decision) -> str:
    """An error in a line."""
    error = decision.error
    return "" if error is None else f"{error.status} {error.code}: {error.message}"
