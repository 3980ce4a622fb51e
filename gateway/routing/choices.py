"""The choices of a plan, made when somebody looks at them: most requests are answered by the first."""

from collections.abc import Iterator, Sequence
from typing import overload

from gateway.routing.lane import Lane
from gateway.routing.view import View
from gateway.types import Choice, Deployment, Forecast, Ranked


class Choices(Ranked):
    """Choices in their order, as columns that nobody changes any more."""

    __slots__ = ("lane", "made", "order", "output", "passed", "prompts", "scores", "seconds", "tails", "ttfts", "usd")

    def __init__(self, view: View, passed: Sequence[int], scores: Sequence[float], order: Sequence[int]) -> None:
        self.lane: Lane = view.lane
        self.output = view.output
        self.prompts = view.prompts
        self.usd = view.usd
        self.ttfts = view.ttfts
        self.seconds = view.seconds
        self.tails = view.board.tails.copy()  # the board goes on
        self.passed = passed  # places in the lane
        self.scores = scores  # by index in `passed`
        self.order = order  # indices in `passed`
        self.made: dict[int, Choice] = {}

    def __len__(self) -> int:
        return len(self.order)

    @overload
    def __getitem__(self, at: int) -> Choice: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[Choice, ...]: ...
    def __getitem__(self, at: int | slice) -> Choice | tuple[Choice, ...]:
        """One of them, or several."""
        if isinstance(at, slice):
            return tuple([self[index] for index in range(*at.indices(len(self)))])
        index = self.order[at]
        choice = self.made.get(index)
        if choice is None:
            choice = self.made[index] = self.make(index)
        return choice

    def __iter__(self) -> Iterator[Choice]:
        return iter([self[at] for at in range(len(self.order))])

    def __eq__(self, other: object) -> bool:
        """As tuples of choices are."""
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))

    def deployments(self) -> list[Deployment]:
        """Whom they are of, in their order."""
        known, passed = self.lane.deployments, self.passed
        return [known[passed[index]] for index in self.order]

    def numbers(self) -> list[float]:
        """Scores, tiers, places, and forecast after forecast."""
        places, tiers = [self.passed[index] for index in self.order], self.lane.tiers
        found = [*[self.scores[index] for index in self.order], *[tiers[place] for place in places], *places]
        prompts, usd, ttfts, seconds, tails = self.prompts, self.usd, self.ttfts, self.seconds, self.tails
        for place in places:
            late = seconds[place] * tails[place]
            found += (prompts[place], self.output, usd[place], ttfts[place], seconds[place], late)
        return found

    def make(self, index: int) -> Choice:
        """The choice of one that passed."""
        place, lane = self.passed[index], self.lane
        seconds = self.seconds[place]
        late = seconds * self.tails[place]
        forecast = Forecast(self.prompts[place], self.output, self.usd[place], self.ttfts[place], seconds, late)
        return Choice(
            lane.deployments[place], self.scores[index], forecast, lane.tiers[place], lane.whens[place], place
        )
