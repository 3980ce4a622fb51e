"""What a caller may use, around its answer: reserved before anybody is asked, settled when all attempts are over.

A caller without limits never comes here. A request that was answered from the cache has asked nobody and takes nothing.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Protocol

import orjson

from gateway.engine.tools import Tools
from gateway.errors import LimitReached
from gateway.outcomes import Outcome
from gateway.routing.forecast import rate
from gateway.routing.policy import Route
from gateway.stores.limits import Lease, Need, nano
from gateway.types import ChatRequest, Chunk, Deployment, Limits

USUAL_TOKENS = 256  # of a completion whose length nobody has limited: its tokens are counted when it is over
TEMPLATE_TOKENS = 64  # that a chat template adds beyond what JSON does
LONGEST = 8192  # tokens of a completion, where neither the request nor its model says
Batches = AsyncGenerator[list[Chunk], None]


class Spending(Protocol):
    """What is looked at of an answer."""

    request: ChatRequest
    route: Route
    outcomes: list[Outcome]
    lease: Lease | None
    more: tuple[Lease, ...]  # reserved later, for attempts after such as cost something

    @property
    def tools(self) -> Tools:
        """What it is made with."""
        ...

    def trying(self) -> Batches:
        """The answer of whoever has one."""
        ...

    def after(self, tell: Callable[[], None]) -> None:
        """Call when all attempts are over."""
        ...


async def leased(answer: Spending) -> Batches:
    """The answer, within a lease. Raises LimitReached, BudgetSpent, TooLarge and StoreAway before anybody is asked."""
    limits, request = answer.tools.limits, answer.request
    answer.lease = await limits.acquire(request.caller, need(request, answer.route))
    try:
        async with aclosing(answer.trying()) as batches:
            async for batch in batches:
                yield batch
    finally:
        answer.after(lambda: settle(answer))


async def reserve_more(answer: Spending) -> None:
    """Before another attempt: what the earlier ones have cost must not come out of what is reserved for it."""
    assert answer.lease is not None
    first = answer.lease.need
    reserved = first.nano + sum([lease.need.nano for lease in answer.more])
    missing = cost(answer.outcomes) + first.nano - reserved
    if missing > 0 and first.nano:
        id = f"{first.id}:{len(answer.more) + 2}"
        try:
            lease = await answer.tools.limits.acquire(answer.request.caller, Need(id, 0, missing, 0))
        except LimitReached as exc:
            exc.levels = ()  # the answer has them already
            raise
        answer.more = (*answer.more, lease)


def settle(answer: Spending) -> None:
    """Put what all attempts have used in the place of what was reserved."""
    assert answer.lease is not None
    limits = answer.tools.limits
    limits.settle(answer.lease, tokens(answer.outcomes), cost(answer.outcomes))
    for lease in answer.more:
        limits.settle(lease, 0, 0)


def tokens(outcomes: list[Outcome]) -> int:
    """Tokens of all attempts."""
    used = [one.usage for one in outcomes if one.usage is not None]
    return max(0, sum([usage.prompt + usage.completion for usage in used]))


def cost(outcomes: list[Outcome]) -> int:
    """Nano-dollars of all attempts; what has no known price counts as dear."""
    return max(0, sum([nano(usd(one)) or 0 for one in outcomes]))


def usd(outcome: Outcome) -> float:
    """US dollars of an attempt."""
    usage = outcome.usage
    if usage is None or outcome.cost is not None:
        return outcome.cost or 0.0
    price = rate(outcome.deployment)
    return usage.prompt * price.input + usage.completion * price.output


def need(request: ChatRequest, route: Route) -> Need:
    """What a request may use: counted only as far as its caller or their team has a limit of it."""
    own, team = request.caller.limits, request.caller.team
    every = (own,) if team is None else (own, team.limits)
    most = [one.tpm for one in every if one.tpm is not None]
    return Need(
        request.id,
        expected_tokens(request, min(most)) if most else 0,
        dearest(request, route) if any(budgeted(one) for one in every) else 0,
    )


def budgeted(limits: Limits) -> bool:
    """Whether money is limited."""
    return limits.usd_per_day is not None or limits.usd_per_month is not None


def answers(request: ChatRequest) -> int:
    """How many answers are asked for."""
    wanted = request.body.get("n")
    return wanted if isinstance(wanted, int) and wanted > 1 else 1


def expected_tokens(request: ChatRequest, limit: int) -> int:
    """Tokens that are reserved: all that are asked for, or the usual number as far as it fits the limit."""
    if request.max_tokens is not None:
        return request.prompt_tokens + request.max_tokens * answers(request)
    return max(request.prompt_tokens, min(request.prompt_tokens + USUAL_TOKENS * answers(request), limit))


def dearest(request: ChatRequest, route: Route) -> int:
    """Nano-dollars of the dearest answer that the route and the caller permit; two of them where one may be hedged."""
    allowed, asked, count = request.caller.models, request.max_tokens, answers(request)
    lanes = [route.lane, *[arm.lane for arm in route.arms]]
    prompt = most_prompt_tokens(request)
    if allowed is None and asked is not None:
        every = [prompt * read + asked * count * written for lane in lanes for read, written in lane.dear]
    else:
        every = [
            prompt * read + longest(request, one) * count * written
            for lane in lanes
            for one, read, written in zip(lane.deployments, lane.input_usd, lane.output_usd, strict=True)
            if allowed is None or one.model in allowed
        ]
    return nano(max(every, default=0.0) * (1 if route.hedge is None else 2)) or 0


def most_prompt_tokens(request: ChatRequest) -> int:
    """Tokens that the prompt cannot have more of: no token is less than a byte, and images are counted apart."""
    return max(request.prompt_tokens, request.size or len(orjson.dumps(request.body))) + TEMPLATE_TOKENS


def longest(request: ChatRequest, deployment: Deployment) -> int:
    """Tokens of the longest completion."""
    if request.max_tokens is not None:
        return request.max_tokens
    room = None if deployment.context is None else max(0, deployment.context - request.prompt_tokens)
    known = [tokens for tokens in (deployment.max_output, room) if tokens is not None]
    return min(known) if known else LONGEST
