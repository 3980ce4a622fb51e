"""Replicate: a chat is a prediction that is made, followed or looked at until it is over, and cancelled if unwanted."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from typing import Any, TypeVar

import orjson

from gateway.errors import ModelGone, RateLimited, ServerFault, UpstreamError
from gateway.providers import replicate_prediction as translate
from gateway.providers.failures import CONTEXT, failure, number
from gateway.providers.http import ANSWER_LIMIT, HttpProvider, beginning, not_promised
from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import headers_of
from gateway.providers.port import HttpCall, ServedModel, Transport
from gateway.providers.replicate_stream import EventDecoder
from gateway.types import Backend, ChatRequest, Chunk, Deployment, Json, Timeouts

# Seconds that Replicate holds the request for a whole answer back. Until then its id is not known, and what has no id
# cannot be cancelled: more would save looks, but cost more whenever a caller leaves.
HOLD = 5
CANCEL = 1.0  # seconds that cancelling may take
MEASURE = 2.0  # seconds to wait for the metrics of an answer that is complete
PATIENCE = 5  # looks in a row that may fail
MADE = (200, 201, 202)
PIECE = "chat.completion.chunk"
NO_SUCH_VERSION = b"Invalid version"

T = TypeVar("T")
Sleep = Callable[[float], Awaitable[None]]


class Work:
    """A prediction as we last saw it."""

    def __init__(self, said: Json) -> None:
        self.said = said
        self.ended = False  # its stream said so
        self.told = False  # its stream gave an answer, or a part of one

    @property
    def over(self) -> bool:
        """Whether it works and costs no longer."""
        return self.ended or self.final

    @property
    def final(self) -> bool:
        """Whether its last status is a final one."""
        return self.said["status"] in translate.OVER


class Replicate(HttpProvider):
    """POST {url}/v1/models/{id}/predictions, or to a version or a deployment; then its stream, or GET until it is over.

    A cold model takes minutes to start, and giving up on that would waste them: hence the long limits.
    """

    kind = Kind(
        "replicate",
        telemetry="replicate",
        url="https://api.replicate.com",
        credential="REPLICATE_API_TOKEN",
        needs_key=True,
        timeouts=Timeouts(connect=3, first_token=300, first_token_last=300, idle=60, total=900),
        cold=300,
        slots=32,
        queue=64,
        queue_wait=30,
        capabilities=frozenset(),
        offers=frozenset(),
    )

    def __init__(self, backend: Backend, transport: Transport, sleep: Sleep = asyncio.sleep) -> None:
        super().__init__(backend, transport)
        self.base = backend.url.rstrip("/").removesuffix("/v1") + "/v1"
        self.headers = headers_of(backend)
        self.sleep = sleep
        self.tasks: set[asyncio.Task[Any]] = set()  # what goes on although its caller has left

    def call(self, request: ChatRequest, deployment: Deployment) -> HttpCall:
        """The request that makes a prediction; a whole answer is waited for a little."""
        path, more = translate.place(deployment.id)
        body = translate.body_of(request, deployment, more)
        headers = self.headers if request.stream else {**self.headers, "prefer": f"wait={HOLD}"}
        return HttpCall("POST", self.base + path, headers, body, deployment.timeouts.connect)

    def completion(self, body: bytes, request: ChatRequest) -> Chunk:
        """The answer in one piece, from a prediction that is over."""
        said = translate.prediction(body, self.backend.name)
        self.check(said, request.model)
        return translate.whole(said, request, self.backend.name)

    def decoder(self, request: ChatRequest, deployment: Deployment) -> EventDecoder:
        """A decoder for one stream."""
        top = translate.head({"model": deployment.id}, request, PIECE)
        return EventDecoder(self.backend.name, top, lambda words: self.fault(words, deployment.id))

    def models_call(self) -> HttpCall:
        """GET {url}/v1/collections/language-models: all models there are, most of which do not write, have no end."""
        url = f"{self.base}/collections/language-models"
        return HttpCall("GET", url, self.headers, b"", self.backend.timeouts.connect)

    def models_listed(self, body: bytes) -> list[ServedModel]:
        """The models of that collection."""
        try:
            rows = orjson.loads(body)["models"]
            return [ServedModel(f"{row['owner']}/{row['name']}") for row in rows]
        except (orjson.JSONDecodeError, KeyError, TypeError) as exc:
            raise not_promised(self.backend.name, "a list of models of an unknown shape") from exc

    def error(self, deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """The error that an answer of another status stands for."""
        if status == 422 and NO_SUCH_VERSION in body:
            return ModelGone(f"Backend '{self.backend.name}' does not serve the model '{deployment.id}' (422).")
        found = super().error(deployment, status, headers, body)
        if isinstance(found, RateLimited) and found.retry_after is None:
            found.retry_after = number(headers.get("ratelimit-reset"))
        return found

    def fault(self, words: str, model_id: str) -> UpstreamError:
        """The error that the words of a failed prediction stand for."""
        status = 400 if CONTEXT.search(words) else 500
        return failure(self.backend.name, model_id, status, {}, self.redacted(orjson.dumps({"detail": words})))

    def check(self, said: Json, model_id: str) -> None:
        """Raise UpstreamError unless the prediction went well."""
        if said["status"] == "failed":
            raise self.fault(str(said.get("error") or ""), model_id)
        if said["status"] != "succeeded":
            raise ServerFault(f"Backend '{self.backend.name}' gave the prediction up ('{said['status'][:20]}').")

    async def answer(self, request: ChatRequest, deployment: Deployment) -> AsyncIterator[list[Chunk]]:
        """The answer in canonical chunks as they arrive, or one chunk when the request does not stream."""
        try:
            async with aclosing(self.predicted(request, deployment)) as batches:
                async for batch in batches:
                    yield batch
        except UpstreamError as exc:
            raise self.cleaned(exc) from exc.__cause__

    async def predicted(self, request: ChatRequest, deployment: Deployment) -> AsyncGenerator[list[Chunk], None]:
        """The answer of a new prediction, which is cancelled if this is left before it is over."""
        work = await self.made(request, deployment)
        try:
            if request.stream and (url := translate.stream_url(work.said, self.base)):
                async with aclosing(self.followed(url, work, request, deployment)) as batches:
                    async for batch in batches:
                        yield batch
            if not work.told:
                waited_for = work.said["status"] == "processing"  # so it comes back although its output is whole
                await self.finished(work, deployment, 0.0 if waited_for else None)
                yield self.spelled(work, request, deployment)
        finally:
            if not work.over:
                await asyncio.shield(self.kept(self.cancel(work)))

    async def made(self, request: ChatRequest, deployment: Deployment) -> Work:
        """A new prediction; if the caller leaves before its id is known, it is cancelled as soon as it is."""
        making = self.kept(self.fetched(self.call(request, deployment), deployment))
        try:
            return Work(await asyncio.shield(making))
        except asyncio.CancelledError:
            self.kept(self.abandoned(making))
            raise

    async def abandoned(self, making: "asyncio.Task[Json]") -> None:
        """Cancel a prediction that is only being made."""
        try:
            async with asyncio.timeout(HOLD + CANCEL):
                work = Work(await making)
        except (UpstreamError, TimeoutError):
            return
        if not work.over:
            await self.cancel(work)

    async def followed(
        self, url: str, work: Work, request: ChatRequest, deployment: Deployment
    ) -> AsyncGenerator[list[Chunk], None]:
        """The output as it comes; a stream that ends before its prediction does is not finished."""
        decoder = self.follower(work, request, deployment)
        headers = {**self.headers, "accept": "text/event-stream", "cache-control": "no-store"}
        response = await self.transport.send(HttpCall("GET", url, headers, b"", deployment.timeouts.connect))
        try:
            if response.status != 200:
                raise self.error(deployment, response.status, response.headers, await beginning(response))
            async for part in response.parts():
                chunks = decoder.feed(part)
                work.ended, work.told = decoder.over, decoder.begun or decoder.done
                if chunks:
                    yield chunks
                if decoder.failure is not None:
                    raise decoder.failure
                if decoder.done:
                    await response.end()
                    break
        finally:
            response.close()
        if decoder.done:
            await self.measured(work, deployment)
            yield translate.endings(work.said, decoder.head, decoder.begun)

    def follower(self, work: Work, request: ChatRequest, deployment: Deployment) -> EventDecoder:
        """A decoder whose chunks say when the prediction was made, and of what model."""
        decoder = self.decoder(request, deployment)
        decoder.head = translate.head(work.said, request, PIECE)
        return decoder

    async def measured(self, work: Work, deployment: Deployment) -> None:
        """Look at a prediction whose answer is complete, for its metrics; without them it is as complete."""
        try:
            async with asyncio.timeout(MEASURE):
                await self.finished(work, deployment, 0.0)
        except (UpstreamError, TimeoutError):
            return

    async def finished(self, work: Work, deployment: Deployment, pause: float | None) -> None:
        """Look at the prediction until it is over, first after `pause` seconds; a look or two may fail."""
        url = f"{self.base}/predictions/{work.said['id']}"
        call = HttpCall("GET", url, self.headers, b"", deployment.timeouts.connect)
        pauses, failures = translate.pauses(), 0
        while not work.final:
            await self.sleep(next(pauses) if pause is None else pause)
            pause = None
            try:
                work.said = await self.fetched(call, deployment)
                failures = 0
            except UpstreamError as exc:
                failures += 1
                if failures > PATIENCE or not exc.again:
                    raise
                pause = exc.retry_after

    def spelled(self, work: Work, request: ChatRequest, deployment: Deployment) -> list[Chunk]:
        """The answer of a prediction that is over, in one piece or as its stream would have given it."""
        self.check(work.said, deployment.id)
        if not request.stream:
            return [translate.whole(work.said, request, self.backend.name)]
        decoder = self.follower(work, request, deployment)
        text = translate.text_of(work.said, self.backend.name)
        said = [decoder.said(text)] if text else []
        return [*said, *translate.endings(work.said, decoder.head, decoder.begun)]

    async def fetched(self, call: HttpCall, deployment: Deployment) -> Json:
        """The prediction that a call answers with."""
        response = await self.transport.send(call)
        try:
            if response.status not in MADE:
                raise self.error(deployment, response.status, response.headers, await beginning(response))
            return translate.prediction(await response.read(ANSWER_LIMIT), self.backend.name)
        finally:
            response.close()

    async def cancel(self, work: Work) -> None:
        """Ask Replicate to stop; when that fails, nothing is left to be done."""
        url = f"{self.base}/predictions/{work.said['id']}/cancel"
        try:
            async with asyncio.timeout(CANCEL):
                response = await self.transport.send(HttpCall("POST", url, self.headers, b"", CANCEL))
                try:
                    await response.read(ANSWER_LIMIT)
                finally:
                    response.close()
        except (UpstreamError, TimeoutError):
            return

    def kept(self, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that nobody but us holds on to."""
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task
