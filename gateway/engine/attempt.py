"""One try at one deployment: however it ends, it makes exactly one Outcome."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import NamedTuple, cast

import orjson

from gateway.engine.judge import flaw
from gateway.engine.repair import Repair, leaked
from gateway.engine.rests import ReadRest, Unbroken
from gateway.engine.tally import Tally
from gateway.engine.watch import Watch
from gateway.errors import GatewayError, Inadequate, InternalError, InvalidResponse, StreamCut, UpstreamError
from gateway.outcomes import Outcome
from gateway.providers.port import Provider
from gateway.types import ChatRequest, Choice, Chunk, Deployment, Json, OutcomeName, Timeouts, Usage

WHOLE_SLACK = 3.0  # times the measured time that an answer in one piece may take
FEW_TOKENS = 64  # that any answer may have
WHOLE_TOKENS = 4  # times the usual completion, where the request sets no limit
NONE: frozenset[str] = frozenset()
LEAKED = (
    "the server does not parse tool calls: start vLLM with --enable-auto-tool-choice and --tool-call-parser, "
    "or set repair_tool_calls on the route"
)
BEATEN = "gateway_hedge"  # the error type of an attempt whose second has answered first
TRUNCATED = frozenset({"truncated"})
OPENING = 500  # characters of an answer that are looked at for leaked tool calls
HELD_CHUNKS = 1000  # without content
HELD_BYTES = 16 << 20  # of an answer that is held until it is whole


class Manner(NamedTuple):
    """How a route wants answers to be handled."""

    buffered: bool = False  # a stream is given when it is whole
    flaws: frozenset[str] = frozenset()  # that a larger model shall do better
    repair: bool = False  # tool calls that came as text
    lump: bool = False  # a stream of this upstream shows nothing before it is whole


PLAIN = Manner()


class Attempt:
    """Asks one provider for one answer; an async context that ends when the answer does."""

    def __init__(
        self,
        request: ChatRequest,
        deployment: Deployment,
        provider: Provider,
        limits: Timeouts,
        patience: float,
        clock: Callable[[], float],
        ended: Callable[[Outcome], None],
        manner: Manner = PLAIN,
        spent: float | None = 0.0,
        leave: Callable[[ReadRest], bool] | None = None,
    ) -> None:
        self.request = request
        self.manner = manner
        self.whole = manner.buffered or not request.stream  # nothing is given before the end
        tooled = "tools" in request.needs
        self.repair = Repair(request) if manner.repair and tooled else None
        self.opening: str | None = (
            "" if tooled and not manner.repair else None
        )  # of the text, to recognise leaked calls
        self.deployment = deployment
        source = cast("AsyncGenerator[list[Chunk], None]", provider.answer(request, deployment))
        self.source = source if leave is None else Unbroken(source)
        self.leave = leave  # takes over what is left when nobody waits any more; None where that is cancelled
        self.clock = clock
        self.spent = spent  # US dollars, by earlier attempts; None when not known
        self.report = ended
        self.tally = Tally(request.body.get("n") or 1)
        self.started = clock()
        self.held: list[Chunk] = []  # what came before the commit
        self.held_bytes = 0
        self.first: float | None = None
        self.told = False  # whether its first content was told of
        self.beaten = False  # whether another attempt, beside it, has answered
        self.given: int | None = None  # tokens of the completion that were given before nobody waited any more
        self.silence = 0.0  # seconds of waiting until the first content
        self.watch = watch_of(request, deployment, limits, patience, clock)

    async def __aenter__(self) -> "Attempt":
        """The attempt begins."""
        self.watch.arm()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The attempt is over: free the connection, say what came of it."""
        self.watch.disarm()
        if self.leave is not None and gone(exc) and not self.tally.complete:
            self.given = self.tally.counted(0).completion if self.first is not None else 0
            if self.leave(self.read_on):
                return
        try:
            await self.source.aclose()
        finally:
            self.report(self.outcome(exc))

    async def read_on(self, seconds: float) -> None:
        """Read what is left of an answer that nobody waits for, so that its usage is known; then it is over."""
        self.watch.arm()
        try:
            async with asyncio.timeout(seconds):
                while (batch := await self.next()) is not None:
                    for chunk in batch:
                        self.tally.add(chunk.body)
        except (TimeoutError, UpstreamError):
            pass
        finally:
            self.watch.disarm()
            try:
                await self.source.aclose()
            finally:
                self.report(self.outcome(asyncio.CancelledError()))

    async def batch(self) -> list[Chunk] | None:
        """The next of the answer, None at its end; nothing is given before its first content.

        Raises UpstreamError, StreamCut and Inadequate among them.
        """
        while (batch := await self.next()) is not None:
            if self.repair is not None:
                batch = self.repair.feed(batch)
            elif self.opening is not None and len(self.opening) < OPENING:
                self.opening += "".join([said(chunk) for chunk in batch])
            for index, chunk in enumerate(batch):
                self.tally.add(chunk.body)
                if self.request.include_usage and isinstance(chunk.body.get("usage"), dict):
                    batch[index] = self.priced(chunk)
            if self.first is not None:
                if batch:
                    return batch
                continue
            self.hold(batch)
            if self.tally.content and not self.whole:
                return self.commit()
        if not self.tally.complete:
            raise StreamCut(f"Backend '{self.deployment.backend}' {self.tally.cut}.")
        return self.commit() if self.first is None else None

    @property
    def leaks(self) -> bool:
        """Whether the answer seems to have tool calls as text, which nobody repairs."""
        return bool(self.opening) and leaked(self.opening or "", self.request.body.get("tools") or ())

    def hold(self, batch: list[Chunk]) -> None:
        """Keep what must not be given yet; raises InvalidResponse when that does not end."""
        self.held += batch
        if self.request.stream and (self.tally.content or (self.repair is not None and self.repair.holding)):
            self.watch.progress()
        self.held_bytes += sum([len(chunk.data) for chunk in batch]) if self.whole else 0
        if len(self.held) > HELD_CHUNKS and not self.tally.content:
            raise InvalidResponse(f"Backend '{self.deployment.backend}' sends chunks without any content.")
        if self.held_bytes > HELD_BYTES:
            raise InvalidResponse(f"Backend '{self.deployment.backend}' sends more than an answer may have.")

    def commit(self) -> list[Chunk]:
        """What was held is given: from here on, the answer is this attempt's. Raises Inadequate instead."""
        judged = self.flaws if self.whole else NONE  # never by its beginning
        wrong = flaw(self.request, self.held, judged) if judged else None
        if wrong is not None:
            raise Inadequate(f"The answer of {self.deployment.name} has a flaw ({wrong}); a larger model is asked.")
        self.first, self.silence = self.clock(), self.watch.waited
        return self.held

    @property
    def flaws(self) -> frozenset[str]:
        """What to look for: an answer as long as the request allows is not cut by the model."""
        usage, most = self.tally.usage, self.request.max_tokens
        full = usage is not None and most is not None and usage.completion >= most
        return self.manner.flaws - TRUNCATED if full else self.manner.flaws

    async def next(self) -> list[Chunk] | None:
        """The next chunks; None at the end, also when the stream breaks after every choice was finished."""
        try:
            with self.watch:
                return await anext(self.source, None)
        except UpstreamError:
            if self.tally.complete:
                return None
            raise

    def priced(self, chunk: Chunk) -> Chunk:
        """A chunk with usage, with the price of all attempts added: `usage.cost`, in US dollars."""
        cost = None if self.tally.usage is None else self.cost(self.tally.usage)
        if cost is None or self.spent is None:
            return chunk
        body: Json = {**chunk.body, "usage": {**chunk.body["usage"], "cost": self.spent + cost}}
        return Chunk(orjson.dumps(body), body)

    def cost(self, usage: Usage) -> float | None:
        """US dollars of that usage at this deployment; None when its price is not known."""
        price = self.deployment.price
        if price is None:
            return 0.0 if self.deployment.location == "self_hosted" else None
        return price.of(usage.prompt, usage.completion, usage.cached)

    def outcome(self, exc: BaseException | None) -> Outcome:
        """What came of it."""
        answered = self.first is not None
        left = exc is not None and gone(exc)
        usage = self.tally.counted(self.request.prompt_tokens) if self.tally.content or left else None
        error = fault(exc)
        name = named(exc, error, answered, self.tally.complete and self.given is None)
        return Outcome(
            deployment=self.deployment,
            outcome=name,
            verdict=error.verdict if error is not None else ("ok" if name == "success" else "neutral"),
            started=self.started,
            ended=self.clock(),
            first=self.first,
            usage=usage,
            cost=None if usage is None else self.cost(usage),
            error_type=error.error_type if error is not None else ("" if name == "success" else self.left_by),
            message=error.logged if error is not None else "",
            retry_after=error.retry_after if error is not None else None,
            rest=self.watch.waited - self.silence if answered else 0.0,
            streamed=self.request.stream and not (answered and (self.whole or self.manner.lump)),
            answered=self.tally.model,
            request=self.request.id,
            wasted=0 if name == "success" or usage is None else usage.completion - self.delivered(usage),
        )

    @property
    def left_by(self) -> str:
        """Who has left an attempt that did not fail: its caller, or we, since another one has answered."""
        return BEATEN if self.beaten else "caller_gone"

    def delivered(self, usage: Usage) -> int:
        """Tokens of the completion that its caller got."""
        if self.given is not None:
            return min(self.given, usage.completion)
        return 0 if self.first is None or self.beaten else usage.completion


def said(chunk: Chunk) -> str:
    """The text of a chunk's first choice."""
    choices = chunk.body["choices"]
    piece = (choices[0].get("delta") or choices[0].get("message")) if choices else None
    text = piece.get("content") if isinstance(piece, dict) else None
    return text if isinstance(text, str) else ""


def gone(exc: BaseException | None) -> bool:
    """Whether an attempt ends since nobody waits for it any more."""
    return isinstance(exc, asyncio.CancelledError | GeneratorExit)


def fault(exc: BaseException | None) -> GatewayError | None:
    """The error that ended an attempt: none for a caller who left, ours for a defect."""
    if exc is None or isinstance(exc, GatewayError):
        return exc
    if isinstance(exc, asyncio.CancelledError | GeneratorExit):
        return None
    return InternalError("The gateway failed in the middle of the attempt; its log has the reason.")


def named(exc: BaseException | None, error: GatewayError | None, answered: bool, complete: bool) -> OutcomeName:
    """The outcome's name: an answer that was finished is a success even when the caller did not wait for the end."""
    if exc is None or (complete and error is None):
        return "success"
    if error is None:
        return "client_cancelled"
    return "partial" if answered else error.outcome


def watch_of(
    request: ChatRequest, deployment: Deployment, limits: Timeouts, patience: float, clock: Callable[[], float]
) -> Watch:
    """The timer of an attempt: `patience` seconds to the first content, never beyond the request's own deadline."""
    deadline = clock() + limits.total
    if request.deadline is not None:
        deadline = min(deadline, request.deadline)
    return Watch(deployment.backend, patience, limits.idle, deadline, clock)


def patience_of(
    request: ChatRequest, choice: Choice, limits: Timeouts, last: bool, measured: bool, whole: bool = False
) -> float:
    """Seconds until the first content of an attempt: tight while another candidate remains, looser for the last one.

    An answer in one piece (or a stream that is `whole` before it shows anything) shows nothing
    before it is whole: it has the time that its tokens may take besides, thrice
    what was measured or, before that, is usual for a model of its size; the last candidate has all the time there is.
    """
    if request.stream and not whole:
        return limits.first_token_last if last else limits.first_token
    if last:
        return limits.total
    forecast = choice.forecast
    per_token = (forecast.seconds - forecast.ttft) / max(1, forecast.output_tokens)
    usual = WHOLE_TOKENS * (forecast.output_tokens or FEW_TOKENS) if measured else forecast.output_tokens
    return limits.first_token + WHOLE_SLACK * per_token * (request.max_tokens or usual)
