"""What a plan costs by itself: every filter and four terms, over fleets of growing size."""

from collections.abc import Callable, Mapping, Sequence

from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate
from gateway.routing.planner import plan
from gateway.routing.policy import Route, Weights
from gateway.routing.stats import Stats
from gateway.types import ChatRequest, Deployment, Price

from .adapters import Job
from .stats import Round, cell, spreads

SIZES = (3, 10, 50, 200)  # deployments
GOALS = {3: 15.0, 10: 25.0, 50: 80.0, 200: 300.0}  # CPU microseconds, the median
MODELS = (("llama-8b", 8.0), ("llama-70b", 70.0), ("llama-405b", 405.0))
PLAN = "cpu_us_plan"
NOW = 1000.0  # of the monotonic clock


def deployment(index: int) -> Deployment:
    """One of a fleet: each on a backend of its own, of three models in turn."""
    model, size = MODELS[index % len(MODELS)]
    return Deployment(
        name=f"gpu-{index}/{model}",
        backend=f"gpu-{index}",
        model=model,
        id=model,
        kind="vllm",
        location="hosted",
        capabilities=frozenset({"tools", "json_schema"}),
        size=size,
        context=32_768,
        max_output=8_192,
        price=Price(0.1 * (index + 1), 0.2 * (index + 1)),
        concurrency=64,
    )


def fleet(count: int) -> tuple[Route, StatsBook]:
    """A route with every limit set and all weights above zero, and what was lately seen of its deployments."""
    deployments, book = [deployment(index) for index in range(count)], StatsBook()
    for index, one in enumerate(deployments):
        book.deployments[one.name] = Stats(0.1 + index * 0.01, 0.01, NOW - 1, failing=0.01, failed=NOW - 10)
        book.in_flight[one.backend] = index % 4
    route = Route(
        name="bench",
        models=tuple(model for model, _ in MODELS),
        candidates=tuple(Candidate(one) for one in deployments),
        weights=Weights(0.3, 0.3, 0.2, 0.2),
        max_usd=10.0,
        max_ttft=5.0,
    )
    return route, book


def planning(count: int) -> Job:
    """Making the plan of one request."""
    route, book = fleet(count)
    asked = ChatRequest(
        "bench-1", "auto", {"messages": []}, prompt_tokens=500, max_tokens=200, needs=frozenset({"tools"})
    )
    return Job(lambda: plan(asked, route, book, NOW, 0.5))


def measured(rounds: int, say: Callable[[str], None] = lambda text: None) -> dict[str, Sequence[Round | None]]:
    """The figures for each size, round by round, each round through all of them."""
    jobs = {count: planning(count) for count in SIZES}
    times = {count: job.times() for count, job in jobs.items()}
    found: dict[str, list[Round | None]] = {str(count): [] for count in SIZES}
    for index in range(rounds):
        say(f"plans: round {index + 1} of {rounds}")
        for count, job in jobs.items():
            found[str(count)].append({PLAN: job.cpu_us(times[count])})
    return dict(found)


def section(rounds: Mapping[str, Sequence[Round | None]]) -> list[str]:
    """The figures as Markdown, with the goals; nothing when none was measured."""
    if not rounds:
        return []
    middles = {count: spreads(one for one in found if one)[PLAN] for count, found in rounds.items()}
    rows = [f"| {count} | {cell(found)} | {GOALS[int(count)]:g} |" for count, found in middles.items()]
    told = "Every filter and four terms; CPU of this process alone, without sockets."
    return ["## Plans", told, "\n".join(["| deployments | CPU us per plan | goal |", "|---|---|---|", *rows])]
