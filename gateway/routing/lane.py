"""A set of candidates with what never changes of them in columns, so that a plan reads lists and calls nothing."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gateway.routing.forecast import UNKNOWN_SIZE, rate
from gateway.types import Deployment

if TYPE_CHECKING:
    from gateway.routing.board import Board

NO_LIMIT = float("inf")
NOTHING: frozenset[str] = frozenset()
GOLDEN = 0.6180339887  # its multiples spread evenly over [0, 1): one number shuffles any count of candidates


class Candidate(NamedTuple):
    """A deployment that a route may use; lower tiers are tried first, whatever the score.

    With a `when` it is in reserve and joins for that cause alone: see causes.py.
    """

    deployment: Deployment
    tier: int = 0
    when: str = ""


class Lane:
    """Candidates side by side: each attribute is a list with one value a candidate; tokens, billions, dollars."""

    __slots__ = (
        "backends",
        "board",
        "cached_usd",
        "candidates",
        "causes",
        "common",
        "concurrency",
        "contexts",
        "dear",
        "deployments",
        "input_usd",
        "least_concurrency",
        "least_context",
        "least_output",
        "model",
        "models",
        "names",
        "output_usd",
        "outputs",
        "places",
        "repeats",
        "shuffle",
        "sizes",
        "slots",
        "tiered",
        "tiers",
        "whens",
    )

    def __init__(self, candidates: Sequence[Candidate]) -> None:
        deployments = [candidate.deployment for candidate in candidates]
        self.board: Board | None = None  # what was seen of them when the last plan was made
        self.candidates = tuple(candidates)
        self.deployments = deployments
        self.names = [one.name for one in deployments]
        self.repeats = len(set(self.names)) < len(self.names)  # somebody is in it for several causes
        self.places = range(len(deployments))
        self.shuffle = [place * GOLDEN for place in self.places]
        self.backends = [one.backend for one in deployments]
        self.models = [one.model for one in deployments]
        self.model = self.models[0] if len(set(self.models)) == 1 else None  # when it is the same for all
        self.tiers = [candidate.tier for candidate in candidates]
        self.tiered = len(set(self.tiers)) > 1
        self.whens = [candidate.when for candidate in candidates]
        self.causes = frozenset(self.whens) - {""}  # what some candidate is in reserve for
        self.contexts = [limit(one.context) for one in deployments]
        self.outputs = [limit(one.max_output) for one in deployments]
        self.least_context = min(self.contexts, default=NO_LIMIT)
        self.least_output = min(self.outputs, default=NO_LIMIT)
        self.common = (
            frozenset[str].intersection(*[one.capabilities for one in deployments]) if deployments else NOTHING
        )
        self.concurrency = [limit(one.concurrency) for one in deployments]
        self.least_concurrency = min(self.concurrency, default=NO_LIMIT)
        self.slots = [one.slots for one in deployments]
        self.sizes = [UNKNOWN_SIZE if one.size is None else one.size for one in deployments]
        rates = [rate(one) for one in deployments]
        self.input_usd = [one.input for one in rates]
        self.cached_usd = [one.cached for one in rates]
        self.output_usd = [one.output for one in rates]
        self.dear = dearest(zip(self.input_usd, self.output_usd, strict=True))

    def __eq__(self, other: object) -> bool:
        """Lanes are what their candidates are."""
        return isinstance(other, Lane) and self.candidates == other.candidates

    def __hash__(self) -> int:
        return hash(self.candidates)


def dearest(rates: Iterable[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Those of the prices of prompt and completion that some request may find the dearest: mostly one."""
    found = set(rates)
    return tuple(
        (read, written)
        for read, written in sorted(found)
        if not any(other != (read, written) and other[0] >= read and other[1] >= written for other in found)
    )


def limit(number: int | None) -> float:
    """A limit as a number that can be compared."""
    return NO_LIMIT if number is None else number
