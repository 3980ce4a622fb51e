"""One question to one provider in front of its upstream, for tests of what only that provider does."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast

from gateway.demo.standins.faults import Fault
from gateway.errors import UpstreamError
from gateway.types import ChatRequest, Chunk

from .upstreams import KINDS, Link, linked

ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
LONG: Any = [{"role": "user", "content": "llama " * 9000}]


def question(stream: bool = False, **more: Any) -> ChatRequest:
    """A chat request."""
    body = {"model": "llama", "messages": ASK, "seed": 3, "max_tokens": 16, "stream": stream, **more}
    return ChatRequest("r1", "llama", body, stream)


async def chunks_of(link: Link, request: ChatRequest) -> list[Chunk]:
    """The answer over a link; raises UpstreamError."""
    source = cast("AsyncGenerator[list[Chunk], None]", link.provider.answer(request, link.deployment))
    async with aclosing(source) as batches:
        return [chunk async for batch in batches for chunk in batch]


async def asked(
    name: str, llama_url: str, request: ChatRequest, *faults: Fault, **how: Any
) -> tuple[list[Chunk], dict[str, Any]]:
    """The answer of a kind, and the body that its upstream got; raises UpstreamError."""
    kind = next(kind for kind in KINDS if kind.name == name)
    async with linked(kind, llama_url, *faults, **how) as link:
        found = await chunks_of(link, request)
        return found, link.script.generations[-1].json


async def error_of(name: str, llama_url: str, request: ChatRequest, *faults: Fault, **how: Any) -> UpstreamError:
    """The error in which a question to a kind ends."""
    try:
        await asked(name, llama_url, request, *faults, **how)
    except UpstreamError as exc:
        return exc
    raise AssertionError("the question was answered")


def ends(found: list[Chunk]) -> list[str]:
    """The finish reasons of an answer."""
    choices = [choice for chunk in found for choice in chunk.body["choices"]]
    return [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
