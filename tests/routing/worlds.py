"""Random worlds for a plan: all that it depends on, edge cases included."""

from typing import NamedTuple

from hypothesis import strategies as st

from gateway.errors import NoCandidate, NothingFits, TooLongForAll
from gateway.routing.book import StatsBook
from gateway.routing.breaker import FRESH, Breaker, free, opened, trying
from gateway.routing.concurrency import Allowance
from gateway.routing.lane import Candidate, Lane
from gateway.routing.planner import Deliberation, deliberate, plan
from gateway.routing.policy import Arm, Burst, Route, Weights
from gateway.routing.stats import START_TAIL, Stats
from gateway.types import ChatRequest, Deployment, Plan, Preferences, Price
from tests.routing.samples import request, route

NOW = 1000.0
NEVER = float("-inf")
BACKENDS = ["b0", "b1", "b2"]
MODELS = ["llama-a", "llama-b"]
CAUSES = ["context", "refused", "overloaded", "burst", "gone llama-a", "gone llama-c"]
CAPABILITIES = st.frozensets(st.sampled_from(["tools", "vision", "logprobs"]), max_size=2)
LANGUAGES = st.frozensets(st.sampled_from(["en", "de", "th"]), max_size=2)
AMOUNTS = st.floats(0.0, 100.0)
SHARES = st.floats(0.0, 1.0)
PRICES = st.builds(Price, AMOUNTS, AMOUNTS, st.none() | AMOUNTS)
TIMES = st.just(NEVER) | st.floats(NOW - 10, NOW + 10)


class World(NamedTuple):
    """Everything that a plan depends on."""

    request: ChatRequest
    route: Route
    book: StatsBook
    chance: float
    causes: frozenset[str] = frozenset()


Refusal = NoCandidate | NothingFits | TooLongForAll


def planned(world: World) -> Plan | Refusal:
    """The plan of a world, or why it has none."""
    try:
        return plan(world.request, world.route, world.book, NOW, world.chance, world.causes)
    except (NothingFits, TooLongForAll, NoCandidate) as error:
        return error


def names(found: Plan | Refusal) -> set[str]:
    """Who is chosen."""
    return {choice.deployment.name for choice in found.choices} if isinstance(found, Plan) else set()


def deliberated(world: World) -> Deliberation:
    """What the plan of a world is made of."""
    return deliberate(world.request, world.route, world.book, NOW, world.chance, world.causes)


@st.composite
def deployments(draw: st.DrawFn, name: str) -> Deployment:
    """A deployment of that name."""
    model = draw(st.sampled_from(MODELS))
    return Deployment(
        name=name,
        backend=draw(st.sampled_from(BACKENDS)),
        model=model,
        id=model,
        kind=draw(st.sampled_from(["vllm", "ollama"])),
        location=draw(st.sampled_from(["self_hosted", "hosted"])),
        capabilities=draw(CAPABILITIES) | draw(CAPABILITIES),
        size=draw(st.none() | st.floats(0.5, 500.0)),
        context=draw(st.none() | st.integers(1, 200_000)),
        max_output=draw(st.none() | st.integers(1, 100_000)),
        precision=draw(st.sampled_from([None, "bf16", "fp8"])),
        price=draw(st.none() | PRICES),
        slots=draw(st.integers(1, 64)),
        concurrency=draw(st.none() | st.integers(0, 4)),
        languages=draw(LANGUAGES),
        collects=draw(st.booleans()),
    )


@st.composite
def candidates(draw: st.DrawFn, prefix: str = "d") -> tuple[Candidate, ...]:
    """Some candidates, many of them in reserve."""
    return tuple(
        Candidate(
            draw(deployments(f"{prefix}{index}")), draw(st.integers(0, 2)), draw(st.sampled_from(["", "", *CAUSES]))
        )
        for index in range(draw(st.integers(0, 6)))
    )


@st.composite
def breakers(draw: st.DrawFn) -> Breaker:
    """A breaker in any state, a moment after any transition."""
    at, opened_at = draw(TIMES), draw(st.just(FRESH) | st.floats(NOW - 10, NOW).map(open_since))
    breaker = draw(st.sampled_from([Breaker(until=min(at, NOW), since=min(at, NOW)), opened_at]))
    return trying(breaker, NOW, 13.0) if free(breaker, NOW) and draw(st.booleans()) else breaker


def open_since(then: float) -> Breaker:
    """One that was opened then."""
    return opened(FRESH, then, 0.5, "5 faults in a row")


@st.composite
def stats(draw: st.DrawFn) -> Stats:
    """What was seen of a deployment, in any state that outcomes may leave behind."""
    seen = draw(st.none() | st.floats(0.0, 1e4))
    ttft = None if seen is None else draw(st.floats(0.0, 100.0))
    prompt = draw(st.floats(1.0, 1e5))
    slope = 0.0 if ttft is None else min(draw(st.floats(0.0, 0.1)), 0.9 * ttft / prompt)
    breaker = draw(breakers())
    return Stats(
        ttft=ttft,
        per_token=draw(st.none() | st.floats(0.0, 1.0)),
        seen=NEVER if seen is None else NOW - seen,
        breaker=breaker,
        ejected_until=breaker.until,
        resting_until=draw(TIMES),
        resting_because=draw(st.sampled_from(["asked us to slow down (429)", "no longer serves this model"])),
        slope=slope,
        offset=slope * prompt,
        tail=draw(st.just(START_TAIL) | st.floats(1.0, 20.0)),
        failing=draw(st.just(0.0) | SHARES),
        failed=draw(st.floats(0.0, NOW)),
    )


@st.composite
def preferences(draw: st.DrawFn) -> Preferences:
    """What a caller may ask of the choice."""
    some = st.lists(st.sampled_from([*BACKENDS, "vllm", "ollama", "nobody"]), max_size=2)
    return Preferences(
        order=tuple(draw(some)),
        only=draw(st.none() | some.map(frozenset)),
        ignore=frozenset(draw(some)),
        sort=draw(st.sampled_from([None, "price", "latency", "throughput"])),
        max_prompt_price=draw(st.none() | AMOUNTS),
        max_completion_price=draw(st.none() | AMOUNTS),
        quantizations=draw(st.none() | st.frozensets(st.sampled_from(["bf16", "fp8", "unknown"]))),
        require_parameters=draw(st.booleans()),
        allow_fallbacks=draw(st.booleans()),
        data_collection=draw(st.sampled_from(["allow", "deny"])),
        models=tuple(draw(st.lists(st.sampled_from([*MODELS, "llama-c"]), max_size=2, unique=True))),
    )


@st.composite
def weights(draw: st.DrawFn) -> Weights:
    """Weights that add up to one, or are all zero."""
    parts = [draw(st.integers(0, 10)) for _ in Weights._fields]
    return Weights(*[part / (sum(parts) or 1) for part in parts])


@st.composite
def books(draw: st.DrawFn, known: tuple[Candidate, ...]) -> StatsBook:
    """What was lately seen of those candidates."""
    book = StatsBook()
    for one in known:
        if draw(st.booleans()):
            book.deployments[one.deployment.name] = draw(stats())
    book.in_flight = draw(st.dictionaries(st.sampled_from(BACKENDS), st.integers(0, 200)))
    book.asked = {one.deployment.name: draw(st.integers(0, 9)) for one in known[::2]}
    book.allowances = {one.deployment.name: Allowance(draw(st.floats(1, 9))) for one in known[::3]}
    book.output = draw(st.just({}) | st.builds(lambda tokens: {"chat": tokens}, st.floats(0, 1e5)))
    book.correction = draw(st.dictionaries(st.sampled_from(MODELS), st.floats(0.25, 4.0)))
    book.cached = draw(st.just({}) | st.builds(lambda share: {"chat": share}, SHARES))
    book.bursts = draw(st.sets(st.just("chat")))
    book.leading = draw(st.just({}) | st.just({"chat": frozenset({"d0", "d3", "e1"})}))
    return book


@st.composite
def routes(draw: st.DrawFn) -> Route:
    """A route with everything that may be written for one."""
    own, new = draw(candidates()), draw(candidates("e"))
    behind = tuple(one._replace(tier=one.tier + 3) for one in own)
    arms = (Arm("new", draw(SHARES), Lane(new + behind)),) if draw(st.booleans()) else ()
    language = draw(st.none() | st.sampled_from(["en", "th"]))
    return route(
        candidates=own,
        arms=arms,
        weights=draw(weights()),
        max_usd=draw(st.none() | st.floats(0.0, 1.0)),
        max_ttft=draw(st.none() | st.floats(0.0, 50.0)),
        sticky=draw(st.sampled_from(["request", "caller", "conversation"])),
        burst=draw(st.none() | st.just(Burst(1.0, 0.5)) | st.just(Burst(1.0, 0.5, 0.0))),
        detect=draw(st.none() | st.just(lambda asked: language)),
    )


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A whole world; its request has no preferences."""
    rules = draw(routes())
    known = tuple(one for lane in (rules.lane, *(arm.lane for arm in rules.arms)) for one in lane.candidates)
    asked = request(
        prompt_tokens=draw(st.integers(0, 200_000)),
        max_tokens=draw(st.none() | st.integers(1, 100_000)),
        needs=draw(CAPABILITIES),
    )
    causes = draw(st.frozensets(st.sampled_from(CAUSES), max_size=2))
    return World(asked, rules, draw(books(known)), draw(st.floats(0, 1, exclude_max=True)), causes)
