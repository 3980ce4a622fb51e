"""Whoever leaves, or is left without an answer, leaves no work behind at the upstream, whatever kind it is."""

import asyncio

import pytest

from gateway.demo.standins.faults import Silent, Slow
from gateway.engine.attempt import Attempt
from gateway.errors import FirstTokenTimeout, IdleTimeout, UpstreamError
from gateway.outcomes import Outcome
from gateway.types import Timeouts

from .asking import PATIENCE, ask, every_kind, question, source, whole_and_streamed
from .upstreams import PROMPT, Kind, Link, linked

SHORT = 0.05  # seconds: a limit that is meant to pass

pytestmark = pytest.mark.asyncio


@every_kind
async def test_closing_a_stream_early_cancels_the_upstreams_work(kind: Kind, llama_url: str) -> None:
    async with asyncio.timeout(PATIENCE), linked(kind, llama_url, Silent(after_chunks=3)) as link:
        batches = source(link, question(stream=True))
        assert await anext(batches)
        await batches.aclose()
        await link.script.requests[0].closed.wait()
    assert link.script.requests[0].disconnected


@every_kind
@pytest.mark.parametrize("fault", [Slow(), Silent()], ids=["no head", "a head"])
@whole_and_streamed
async def test_leaving_before_the_answer_cancels_the_upstreams_work(
    kind: Kind, llama_url: str, stream: bool, fault: Slow | Silent
) -> None:
    if PROMPT in kind.lacks and not stream:
        return  # it waits for the name of the work that it then cancels
    async with asyncio.timeout(PATIENCE), linked(kind, llama_url, fault) as link:
        waiting = asyncio.create_task(ask(link, question(stream)))
        await link.script.arrived(1)
        waiting.cancel()
        await link.script.requests[0].closed.wait()
    assert link.script.requests[0].disconnected


async def outlasted(link: Link) -> UpstreamError:
    """The error in which an attempt with short limits ends, once its upstream knows that it has."""
    outcomes: list[Outcome] = []
    clock, limits = asyncio.get_running_loop().time, Timeouts(first_token=SHORT, idle=SHORT, total=PATIENCE)
    with pytest.raises(UpstreamError) as caught:
        async with Attempt(
            question(stream=True), link.deployment, link.provider, limits, SHORT, clock, outcomes.append
        ) as attempt:
            while await attempt.batch() is not None:
                pass
    left = [seen for seen in link.script.requests if not seen.complete]
    for seen in left:
        await seen.closed.wait()
    assert [seen.disconnected for seen in left] == [True]
    assert [outcome.verdict for outcome in outcomes] == ["fault"]
    return caught.value


async def given_up(kind: Kind, llama_url: str, fault: Slow | Silent) -> type[UpstreamError]:
    """The kind of error that an upstream with this fault ends in."""
    async with linked(kind, llama_url, None, fault) as link:
        await ask(link, question(stream=True, max_tokens=1))  # so that what is loaded once is loaded
        return type(await outlasted(link))


@every_kind
async def test_an_upstream_that_falls_silent_is_given_up_and_told_so(kind: Kind, llama_url: str) -> None:
    faults = (Slow(), Silent(), Silent(after_chunks=4))
    async with asyncio.timeout(PATIENCE):
        found = await asyncio.gather(*(given_up(kind, llama_url, fault) for fault in faults))
    assert found == [FirstTokenTimeout, FirstTokenTimeout, IdleTimeout]
