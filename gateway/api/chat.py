"""POST /v1/chat/completions: from the bytes of a request to the bytes of its answer."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing

import structlog

from gateway.api import reply
from gateway.api.headers import answer_headers, error_headers
from gateway.api.intake import body_of, caller_of, deadline_of, headers_of
from gateway.api.keepalive import KeepAlive
from gateway.api.reply import Header, Receive, Scope, Send
from gateway.api.server import GONE
from gateway.dialects import openai
from gateway.dialects.cache_control import cache_control
from gateway.engine.answer import Answer
from gateway.engine.engine import Engine
from gateway.engine.record import Ending, recorded, rejected
from gateway.errors import CallerGone, Draining, GatewayError, InternalError
from gateway.types import ChatRequest, Chunk

log = structlog.get_logger()


class Exchange:
    """One request and its answer, with what must be known when it is over."""

    def __init__(self, engine: Engine, send: Send) -> None:
        self.engine = engine
        self.send = send
        self.id = f"req_{os.urandom(12).hex()}"
        self.arrived = engine.tools.clock()
        self.at = engine.tools.wall()
        self.caller = ""
        self.request: ChatRequest | None = None
        self.answer: Answer | None = None
        self.status = 200
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
                await self.fail(Draining("The gateway is shutting down; send the request again."))
        except Exception:
            log.exception("request.failed", request=self.id)
            await self.fail(InternalError("The gateway failed; its log has the reason under this request's id."))
        finally:
            self.close()

    async def serve(self, scope: Scope, receive: Receive) -> None:
        """The way of a request that goes well."""
        headers = headers_of(scope)
        policy = self.engine.policy()
        caller = caller_of(scope, headers, policy)
        self.caller = caller.name
        deadline = deadline_of(headers, self.arrived)
        raw = await body_of(headers, receive)
        control = cache_control(headers.get("cache-control"))
        self.request = openai.chat_request(raw, self.id, headers, caller, control, self.arrived, deadline, self.at)
        self.answer = self.engine.open(self.request, policy)
        async with aclosing(self.answer.chunks()) as chunks:
            if self.request.stream:
                await self.stream(self.request, chunks)
            else:
                await self.whole(chunks)

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
        return answer_headers(self.id, self.answer)

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
        ending = Ending(self.status, self.engine.tools.clock(), self.sent, self.error)
        if self.request is None:
            self.engine.tell(rejected(self.id, self.at, self.arrived, self.caller, ending))
        else:
            self.engine.tell(recorded(self.request, self.at, self.answer, ending), self.answer)
