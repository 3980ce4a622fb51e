"""POST /v1/chat/completions: from the bytes of a request to the bytes of its answer."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial

import structlog

from gateway.api import once, reply
from gateway.api.door import Door
from gateway.api.headers import answer_headers, error_headers
from gateway.api.intake import body_of, caller_of, deadline_of, headers_of
from gateway.api.keepalive import KeepAlive
from gateway.api.reply import Header, Receive, Scope, Send
from gateway.api.server import GONE
from gateway.dialects import openai
from gateway.dialects.cache_control import cache_control
from gateway.engine.admission import HEADER, class_of
from gateway.engine.answer import Answer
from gateway.engine.engine import Engine
from gateway.engine.record import Ending, recorded, rejected
from gateway.errors import CallerGone, Draining, GatewayError, InternalError, StoreAway
from gateway.stores.idempotency import claimed
from gateway.types import ChatRequest, Chunk

log = structlog.get_logger()
RETRY = (("x-should-retry", "true"),)


class Exchange:
    """One request and its answer, with what must be known when it is over."""

    def __init__(self, engine: Engine, send: Send, door: Door) -> None:
        self.engine = engine
        self.door = door
        self.send = send
        self.id = f"req_{os.urandom(12).hex()}"
        self.arrived = engine.tools.clock()
        self.at = engine.tools.wall()
        self.caller = ""
        self.request: ChatRequest | None = None
        self.answer: Answer | None = None
        self.status = 200
        self.more: tuple[Header, ...] = ()  # headers of its answer besides the usual
        self.admitted = False  # whether it counts among the requests in flight
        self.begun = False  # whether a head was sent
        self.sent: float | None = None  # when the first piece of the answer went out
        self.error: GatewayError | None = None

    async def run(self, scope: Scope, receive: Receive) -> None:
        """Answer; every way out leads through `close`."""
        try:
            await self.serve(scope, receive)
        except GatewayError as error:
            await self.fail(error)
        except asyncio.CancelledError as exc:
            if exc.args == (GONE,):
                self.error = CallerGone("The caller hung up before its answer was complete.")
                self.status = self.error.status
            else:
                await self.fail(draining())
        except Exception:
            log.exception("request.failed", request=self.id)
            await self.fail(InternalError("The gateway failed; its log has the reason under this request's id."))
        finally:
            self.close()

    async def serve(self, scope: Scope, receive: Receive) -> None:
        """The way of a request that goes well."""
        headers = headers_of(scope)
        policy = self.engine.policy()
        caller = caller_of(scope, headers, policy, self.door)
        self.caller = caller.name
        self.engine.tools.admission.enter(class_of(headers.get(HEADER), caller.class_))
        self.admitted = True
        deadline = deadline_of(headers, self.arrived)
        raw = await body_of(headers, receive)
        control = cache_control(headers.get("cache-control"))
        self.request = openai.chat_request(raw, self.id, headers, caller, control, self.arrived, deadline, self.at)
        if self.engine.tools.trace is not None or "traceparent" in headers:
            self.request = self.engine.traced(self.request)
        self.answer = self.engine.open(self.request, policy)
        if once.NAME in headers:
            await self.unrepeated(self.request, self.answer, raw, once.checked(headers[once.NAME]))
        else:
            await self.answered(self.request, self.answer)

    async def answered(self, request: ChatRequest, answer: Answer) -> None:
        """Answer, from the cache or anew."""
        if answer.route.cache is not None and (kept := await answer.look_up()) is not None:
            await self.again(request, kept)
            return
        async with aclosing(answer.chunks()) as chunks:
            if request.stream:
                await self.stream(request, chunks)
            else:
                await self.whole(chunks)

    async def unrepeated(self, request: ChatRequest, answer: Answer, raw: bytes, key: str) -> None:
        """Answer a request that may have been sent before; a stream is always answered anew."""
        if request.stream:
            self.more = (once.IGNORED,)
            await self.answered(request, answer)
            return
        keeping, send = self.engine.tools.keeping, self.send
        claim = claimed(keeping.secret, request.caller.name, request.operation, key, raw)
        held = once.Held(send, keeping.once, claim)
        try:
            before = await keeping.once.begin(claim)
        except StoreAway as exc:
            self.more = (once.UNAVAILABLE,)
            if exc.asked:  # and may have claimed the key after all
                await self.claimed(request, answer, held)
            else:
                await self.answered(request, answer)
            return
        except asyncio.CancelledError:
            await held.free()  # the store claims it all the same
            raise
        if before is None:
            await self.claimed(request, answer, held)
        else:
            self.begun, self.status = True, before.status
            await once.given_again(send, self.id, before)
            self.sent = self.engine.tools.clock()

    async def claimed(self, request: ChatRequest, answer: Answer, held: once.Held) -> None:
        """Answer, and keep the answer before it is sent; what fails frees the key."""
        send, self.send = self.send, held
        try:
            await self.answered(request, answer)
        finally:
            self.send = send
            if not held.done:
                await held.free()

    async def again(self, request: ChatRequest, kept: bytes) -> None:
        """An answer that was kept, a stream in one piece too: all of it is here."""
        self.begun = True
        if request.stream:
            await reply.whole(self.send, 200, (*reply.STREAM, *self.headers()), kept + openai.DONE)
        else:
            await reply.whole(self.send, 200, (reply.JSON, *self.headers()), kept)
        self.sent = self.engine.tools.clock()

    async def whole(self, chunks: AsyncGenerator[list[Chunk], None]) -> None:
        """An answer in one piece."""
        batches = [batch async for batch in chunks]
        await reply.whole(self.send, 200, (reply.JSON, *self.headers()), batches[0][0].data)
        self.begun, self.sent = True, self.engine.tools.clock()

    async def stream(self, request: ChatRequest, chunks: AsyncGenerator[list[Chunk], None]) -> None:
        """A stream: its head waits for the first content, so that failover stays invisible until then."""
        async with KeepAlive(self.begin, self.send) as waiting:
            async for batch in chunks:
                if self.sent is None:
                    await waiting.stop()
                    await self.begin()
                await reply.piece(self.send, openai.frames(batch, request.include_usage))
                self.sent = self.sent or self.engine.tools.clock()
        await reply.end(self.send, openai.DONE)

    async def begin(self) -> None:
        """Send the head of a stream, once."""
        if not self.begun:
            await reply.head(self.send, self.headers())
            self.begun = True

    def headers(self) -> list[Header]:
        """The headers of this answer."""
        return [*answer_headers(self.id, self.answer), *self.more]

    async def fail(self, error: GatewayError) -> None:
        """Tell the caller; a stream that has begun ends with an error event, no [DONE], and a connection cut short."""
        self.error = error
        if self.begun:
            await reply.piece(self.send, openai.error_event(error, self.id))
            return
        self.begun, self.status = True, error.status
        headers = (reply.JSON, *self.headers(), *error_headers(error))
        await reply.whole(self.send, error.status, headers, openai.error_body(error, self.id))

    def close(self) -> None:
        """The request is over: its record goes to the observers."""
        if self.admitted:
            self.engine.tools.admission.leave()
        ending = Ending(self.status, self.engine.tools.clock(), self.sent, self.error)
        if self.request is None:
            self.engine.tell(rejected(self.id, self.at, self.arrived, self.caller, ending))
        elif self.answer is not None and self.answer.rests:
            self.answer.after(partial(self.record, self.request, ending))
        else:
            self.record(self.request, ending)

    def record(self, request: ChatRequest, ending: Ending) -> None:
        """Tell of a request that was one."""
        self.engine.tell(recorded(request, self.at, self.answer, ending), self.answer)


def draining() -> Draining:
    """What a request is told that this process cannot end any more: another one will take it."""
    return Draining("The gateway is shutting down; send the request again.", retry_after=1.0, headers=RETRY)
