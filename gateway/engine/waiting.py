"""A request that nobody takes just now: it waits for a slot in a queue, or for the world to change."""

from collections.abc import Awaitable, Callable, Sequence

from gateway.engine.admission import HEADER, class_of
from gateway.engine.queue import Place, patience
from gateway.engine.tools import Tools
from gateway.errors import NoCandidate, Shed
from gateway.routing.filters import rest
from gateway.routing.policy import Policy, Route
from gateway.types import ChatRequest, Choice

STEP = 0.05  # seconds between two looks for a candidate
FOREVER = float("inf")


class Waiting:
    """One wait, from its beginning to its end."""

    def __init__(
        self,
        request: ChatRequest,
        policy: Policy,
        route: Route,
        tools: Tools,
        pause: Callable[[float], Awaitable[None]],
    ) -> None:
        self.request = request
        self.policy = policy
        self.route = route
        self.tools = tools
        self.pause = pause  # raises TotalTimeout when the request's time is up
        self.begun = tools.clock()

    async def change(self, error: NoCandidate) -> None:
        """Wait until there may be a candidate where there was none; raises the error when that is too late.

        When rests end is known, also when it is too late. Whatever else keeps candidates out is looked at again and
        again: nobody tells when it changes.
        """
        now, until = self.tools.clock(), self.begun + self.route.wait
        codes = {one["code"] for one in (error.details or {}).get("candidates", ())} - {"policy"}
        seconds = self.rested(now) if codes == {"resting"} else min(STEP, until - now)
        if now >= until or now + seconds > until:
            raise error
        await self.pause(seconds)

    def rested(self, now: float) -> float:
        """Seconds until the first of the route's deployments has rested."""
        ends = [self.tools.book.of(one.deployment).resting_until for one in self.route.candidates]
        return min([at - now for at in ends if now < at < FOREVER], default=STEP)

    async def slot(self, choices: Sequence[Choice]) -> Choice | None:
        """The first of some full choices that takes one more; its slot is held until an attempt starts.

        None when nobody is to be asked any more after the wait. Raises Shed, TotalTimeout.
        """
        tools = self.tools
        try:
            at = await tools.queues.slot(self.places(choices), self.policy.backends)
        except Shed:
            await self.pause(0.0)  # unless it was the request's own time that was up
            raise
        chosen = choices[at].deployment
        if rest(tools.book.of(chosen), tools.clock()) is None:
            return choices[at]
        tools.queues.give_back(chosen)
        return None

    def places(self, choices: Sequence[Choice]) -> list[Place]:
        """What each choice is waited for, and until when: as long as its backend or the route says."""
        class_ = class_of(self.request.headers.get(HEADER), self.request.caller.class_)
        deadline = FOREVER if self.request.deadline is None else self.request.deadline
        found = []
        for choice in choices:
            wait = max(self.route.wait, patience(self.policy.backends[choice.deployment.backend], class_))
            until = min(deadline, self.begun + wait)
            found.append(Place(choice.deployment, class_, self.request.caller.name, until))
        return found
