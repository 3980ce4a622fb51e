"""One try at one deployment: however it ends, it makes exactly one Outcome."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import cast

import orjson

from gateway.engine.tally import Tally
from gateway.engine.watch import Watch
from gateway.errors import GatewayError, InternalError, InvalidResponse, StreamCut, UpstreamError
from gateway.providers.port import Provider
from gateway.types import ChatRequest, Choice, Chunk, Deployment, Json, Outcome, OutcomeName, Timeouts, Usage

WHOLE_SLACK = 3.0  # times the measured time that an answer in one piece may take
FEW_TOKENS = 64  # that any answer may have
WHOLE_TOKENS = 4  # times the usual completion, where the request sets no limit
HELD_CHUNKS = 1000  # without content


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
    ) -> None:
        self.request = request
        self.deployment = deployment
        self.source = cast("AsyncGenerator[list[Chunk], None]", provider.answer(request, deployment))
        self.clock = clock
        self.report = ended
        self.tally = Tally(request.body.get("n") or 1)
        self.started = clock()
        self.held: list[Chunk] = []  # what came before the first content
        self.first: float | None = None
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
        try:
            await self.source.aclose()
        finally:
            self.report(self.outcome(exc))

    async def batch(self) -> list[Chunk] | None:
        """The next of the answer, None at its end; nothing is given before its first content.

        Raises UpstreamError, StreamCut among them.
        """
        while (batch := await self.next()) is not None:
            for index, chunk in enumerate(batch):
                self.tally.add(chunk.body)
                if self.request.include_usage and isinstance(chunk.body.get("usage"), dict):
                    batch[index] = self.priced(chunk)
            if self.first is not None:
                return batch
            self.hold(batch)
            if self.committed():
                self.first, self.watch.content, self.silence = self.clock(), True, self.watch.waited
                return self.held
        if not self.tally.complete:
            raise StreamCut(f"Backend '{self.deployment.backend}' {self.tally.cut}.")
        return None

    def hold(self, batch: list[Chunk]) -> None:
        """Keep what comes before the first content; raises InvalidResponse when that does not end."""
        self.held += batch
        if len(self.held) > HELD_CHUNKS:
            raise InvalidResponse(f"Backend '{self.deployment.backend}' sends chunks without any content.")

    def committed(self) -> bool:
        """Whether there is something to give: content of a stream, the whole of an answer in one piece."""
        return self.tally.content and (self.request.stream or self.tally.complete)

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
        """A chunk with usage, with its price added: `usage.cost`, in US dollars."""
        cost = None if self.tally.usage is None else self.cost(self.tally.usage)
        if cost is None:
            return chunk
        body: Json = {**chunk.body, "usage": {**chunk.body["usage"], "cost": cost}}
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
        usage = self.tally.counted(self.request.prompt_tokens) if answered else None
        error = fault(exc)
        name = named(exc, error, answered, self.tally.complete)
        return Outcome(
            deployment=self.deployment,
            outcome=name,
            verdict=error.verdict if error is not None else ("ok" if name == "success" else "neutral"),
            started=self.started,
            ended=self.clock(),
            first=self.first,
            usage=usage,
            cost=None if usage is None else self.cost(usage),
            error_type=error.error_type if error is not None else ("" if name == "success" else "caller_gone"),
            message=error.logged if error is not None else "",
            retry_after=error.retry_after if error is not None else None,
            rest=self.watch.waited - self.silence if answered else 0.0,
            streamed=self.request.stream,
            answered=self.tally.model,
        )


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


def patience_of(request: ChatRequest, choice: Choice, limits: Timeouts, last: bool, measured: bool) -> float:
    """Seconds until the first content of an attempt: tight while another candidate remains, looser for the last one.

    An answer in one piece shows nothing before it is whole: it has the time that its tokens may take besides, thrice
    what was measured; the last candidate has all the time of the request.
    """
    if request.stream:
        return limits.first_token_last if last else limits.first_token
    if last:
        return limits.total
    if not measured:
        return limits.first_token_last
    forecast = choice.forecast
    per_token = (forecast.seconds - forecast.ttft) / max(1, forecast.output_tokens)
    tokens = request.max_tokens or WHOLE_TOKENS * (forecast.output_tokens or FEW_TOKENS)
    return limits.first_token + WHOLE_SLACK * per_token * tokens
