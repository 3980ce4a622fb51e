"""Replicate's stand-in in front of llama.cpp: whoever leaves, however early, leaves no prediction running."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

import orjson
import pytest

from gateway.demo.standins import replicate
from gateway.demo.standins.faults import Cut, Drop, NoDone, Refuse, Silent, Slow
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from gateway.engine.tally import Tally
from gateway.errors import ContextExceeded, Disconnected, ModelGone, Overloaded, RateLimited, UpstreamError
from gateway.providers.replicate import Replicate
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, Chunk

from .test_replicate import ID, asking, deployment, text, whole_and_streamed

PATIENCE = 60  # seconds no test needs

pytestmark = pytest.mark.asyncio


@dataclass
class Link:
    """A provider and the scripts of its upstream."""

    provider: Replicate
    script: Script
    makings: Script

    def source(self, stream: bool, id: str = ID, **more: Any) -> AsyncGenerator[list[Chunk], None]:
        answer = self.provider.answer(asking(stream, **more), deployment(id))
        return cast("AsyncGenerator[list[Chunk], None]", answer)

    async def ask(self, stream: bool, id: str = ID, **more: Any) -> list[Chunk]:
        async with aclosing(self.source(stream, id, **more)) as batches:
            return [chunk async for batch in batches for chunk in batch]

    async def cancelled(self, count: int) -> None:
        """Returns when so many requests have come to the script, the last of them to cancel."""
        await self.script.arrived(count)
        assert self.script.requests[-1].path.endswith("/cancel")
        await self.script.requests[-1].closed.wait()
        assert orjson.loads(self.script.requests[-1].body or b"{}") == {} and self.script.requests[-1].status == 200


@asynccontextmanager
async def linked(llama_url: str, *faults: Any, makings: Script | None = None, **how: Any) -> AsyncIterator[Link]:
    script, makings = Script(*faults), makings or Script()
    app = replicate.app(llama_url, script=script, makings=makings, **how)
    async with asyncio.timeout(PATIENCE), Served(app) as served:
        transport = PooledTransport(keepalive=3)
        yield Link(Replicate(Backend("main", "replicate", served.url, api_key=KEY), transport), script, makings)
        await transport.close()


@whole_and_streamed
@pytest.mark.parametrize("id", [ID, f"{ID}:{replicate.VERSION}", f"deployments/{replicate.DEPLOYMENT}"])
async def test_models_versions_and_deployments_answer(llama_url: str, id: str, stream: bool) -> None:
    async with linked(llama_url) as link:
        chunks = await link.ask(stream, id)
    assert text(chunks) and chunks[-1].body["usage"]["completion_tokens"] <= 32
    assert not any(seen.path.endswith("/cancel") for seen in link.script.requests)


@whole_and_streamed
@pytest.mark.parametrize("id", ["nope", f"{ID}:nope", "deployments/acme/nope", "acme/nope"])
async def test_what_is_not_there_is_gone(llama_url: str, id: str, stream: bool) -> None:
    async with linked(llama_url) as link:
        with pytest.raises(ModelGone):
            await link.ask(stream, id)


@whole_and_streamed
async def test_a_prompt_beyond_the_context_asks_for_a_larger_one(llama_url: str, stream: bool) -> None:
    async with linked(llama_url) as link:
        with pytest.raises(ContextExceeded):
            await link.ask(stream, messages=[{"role": "user", "content": "llama " * 9000}])


@whole_and_streamed
async def test_a_cold_model_is_waited_for(llama_url: str, stream: bool) -> None:
    boot = asyncio.Event()
    async with linked(llama_url, hold=0.01, boot=boot) as link:
        waiting = asyncio.create_task(link.ask(stream))
        await link.script.arrived(2 - stream)  # a look, or the stream
        boot.set()
        assert text(await waiting)


async def test_leaving_while_it_is_looked_at_cancels_the_prediction(llama_url: str) -> None:
    async with linked(llama_url, hold=0.01, boot=asyncio.Event()) as link:
        waiting = asyncio.create_task(link.ask(stream=False))
        await link.script.arrived(2)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await link.cancelled(3)


async def test_leaving_a_stream_cancels_the_prediction(llama_url: str) -> None:
    async with linked(llama_url, Silent(after_chunks=3)) as link:
        batches = link.source(stream=True)
        assert await anext(batches)
        await batches.aclose()
        await link.cancelled(2)
        assert link.script.requests[0].disconnected


async def test_a_caller_who_leaves_before_the_first_word_cancels_the_prediction(llama_url: str) -> None:
    async with linked(llama_url, boot=asyncio.Event()) as link:
        waiting = asyncio.create_task(link.ask(stream=True))
        await link.script.arrived(1)
        waiting.cancel()
        await link.cancelled(2)


async def test_leaving_twice_does_not_stop_the_cancelling(llama_url: str) -> None:
    async with linked(llama_url, hold=0.01, boot=asyncio.Event()) as link:
        waiting = asyncio.create_task(link.ask(stream=False))
        await link.script.arrived(2)
        waiting.cancel()
        await asyncio.sleep(0)
        waiting.cancel()
        await link.cancelled(3)


@whole_and_streamed
async def test_a_prediction_whose_id_is_not_known_yet_is_cancelled_as_soon_as_it_is(
    llama_url: str, stream: bool
) -> None:
    gate = asyncio.Event()
    makings, faults = Script(Slow(until=gate)), () if stream else (Slow(until=gate),)
    async with linked(llama_url, *faults, makings=makings, hold=0.01, boot=asyncio.Event()) as link:
        waiting = asyncio.create_task(link.ask(stream))
        await (makings if stream else link.script).arrived(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        gate.set()
        await link.cancelled(1 if stream else 2)


@pytest.mark.parametrize(("fault", "raised"), [(Cut(after_bytes=900), Disconnected), (NoDone(), None)])
async def test_a_stream_that_is_cut_is_never_a_whole_answer_and_its_prediction_is_cancelled(
    llama_url: str, fault: Any, raised: type[UpstreamError] | None
) -> None:
    tally, error = Tally(), None
    async with linked(llama_url, fault) as link:
        try:
            async for batch in link.source(stream=True):
                for chunk in batch:
                    tally.add(chunk.body)
        except UpstreamError as exc:
            error = type(exc)
        await link.cancelled(2)
    assert tally.content and not tally.complete and error is raised


@pytest.mark.parametrize(
    ("fault", "meaning"), [(Drop(), Disconnected), (Refuse(503), Overloaded), (Refuse(429), RateLimited)]
)
async def test_a_stream_that_cannot_be_read_is_an_error_and_its_prediction_is_cancelled(
    llama_url: str, fault: Any, meaning: type[UpstreamError]
) -> None:
    async with linked(llama_url, fault) as link:
        with pytest.raises(meaning):
            await link.ask(stream=True)
        await link.cancelled(2)
