"""An upstream for every provider kind: its real server or a stand-in, in front of a real llama.cpp, with faults."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.demo.standins import (
    bedrock,
    fireworks,
    groq,
    huggingface,
    lmstudio,
    ogx,
    ollama,
    replicate,
    sglang,
    tgi,
    together,
    vllm,
)
from gateway.demo.standins.faults import Fault
from gateway.demo.standins.hosted import KEY, Streamed
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from gateway.demo.standins.wire import Manner, event, is_done
from gateway.errors import TotalTimeout
from gateway.providers.bedrock_events import EventSplitter
from gateway.providers.port import Provider
from gateway.providers.registry import provider_class
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, Deployment

Build = Callable[[str, Script], ASGIApp]
LLAMA_CHAT = "/v1/chat/completions"
CANARY = "canary-8f3b-of-the-caller"  # a secret that must not reach anybody


@dataclass(frozen=True, slots=True)
class Kind:
    """A provider kind, its upstream, and what of the contract the two have no words for.

    `build` makes the upstream from llama.cpp's address; it says by its manner how each failure is worded.
    """

    name: str  # of the registry, or `package.module:Class`
    build: Build
    model: str
    lacks: frozenset[str] = frozenset()
    headers: frozenset[str] = frozenset()  # that its calls have besides the usual
    base: str = ""  # what a policy's url ends with
    alike: str = ""  # the kind that has the same wire, where this one does not go through our transport
    settings: Callable[[], Mapping[str, Any]] = dict  # of its provider, where nothing is waited for
    unwrap: Callable[[bytes], list[bytes]] = lambda data: [data]  # a stream as texts that hold all of its JSON
    wrap: Callable[[bytes], bytes] = lambda text: text  # one of those texts as it is sent

    def __str__(self) -> str:
        return self.name.rpartition(":")[2]


def of(module: Any) -> Build:
    """A hosted API's stand-in."""

    def build(llama_url: str, script: Script) -> ASGIApp:
        app: ASGIApp = module.app(llama_url, key=KEY, script=script)
        return app

    return build


def llama_cpp(llama_url: str, script: Script) -> ASGIApp:
    """The real server itself: every byte is its own, unless a fault of the script is played."""

    async def passed_on(request: Request) -> Response:
        client = httpx.AsyncClient(base_url=llama_url, timeout=60, trust_env=False)
        built = client.build_request(request.method, request.url.path, content=await request.body())
        answer = await client.send(built, stream=True)
        kind = answer.headers["content-type"]
        if kind.startswith("text/event-stream"):
            return Streamed(events(client, answer), kind)
        content = await answer.aread()
        await client.aclose()
        return Response(content, answer.status_code, media_type=kind)

    routes = [Route(LLAMA_CHAT, passed_on, methods=["POST"]), Route("/v1/models", passed_on)]
    return script.around(Starlette(routes=routes), {LLAMA_CHAT: LLAMA_MANNER, "": LLAMA_MANNER})


async def events(client: httpx.AsyncClient, answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The events one by one, as faults count them."""
    held = b""
    try:
        async for part in answer.aiter_raw():
            *whole, held = (held + part).split(b"\n\n")
            for one in whole:
                yield one + b"\n\n"
    finally:
        await answer.aclose()
        await client.aclose()


def llama_refuse(status: int, message: str | None) -> dict[str, Any]:
    """An error in llama.cpp's shape."""
    return {"error": {"code": status, "message": message or "Compute error.", "type": "server_error"}}


LLAMA_MANNER = Manner(
    llama_refuse, lambda status, message: event(llama_refuse(status, message)), is_done, frozenset({"usage"})
)


def events_of(data: bytes) -> list[bytes]:
    """Bedrock's messages without their framing: a kind, a newline, JSON."""
    return EventSplitter("main").feed(data)


def event_of(text: bytes) -> bytes:
    """A message of Bedrock's."""
    name, _, payload = text.partition(b"\n")
    return bedrock.message({":event-type": name.decode(), ":message-type": "event"}, payload)


class Looks:
    """Sleeps that take no time; after so many the time of the request is over."""

    def __init__(self, left: int) -> None:
        self.left = left

    async def __call__(self, seconds: float) -> None:
        """The next one."""
        self.left -= 1
        if self.left < 0:
            raise TotalTimeout("The time for this request is used up.")


# What an API may have no words for.
KEYS, MODEL, FORCED, TOOLS, SCHEMA = "keys", "model check", "forced tools", "tools", "json_schema"
LISTING, SEED, LOGPROBS, N, VISION = "listing", "seed", "logprobs", "n", "vision"
FILTER = "content filter"
EARLY = "an end before the last frame"  # a finish that is told before the frame that ends the stream
COUNTED = "usage in the stream"
PROMPT = "leaving at once"  # a request whose caller has left is let go of before it is answered
BOUNDED = "limits of our transport"


def without(*words: str) -> frozenset[str]:
    """What a kind lacks."""
    return frozenset(words)


KINDS = (
    Kind("vllm", of(vllm), vllm.MODELS[0]),
    Kind("llama_cpp", llama_cpp, "llama-3.1-8b-instruct", without(KEYS, MODEL)),
    Kind(
        "ollama",
        lambda llama_url, script: ollama.app(llama_url, script=script),
        "llama3.1:8b",
        without(KEYS, FORCED, LOGPROBS, N, FILTER, EARLY),
    ),
    Kind("openai_compatible", of(vllm), vllm.MODELS[0]),
    Kind("together", of(together), together.MODELS[0]),
    Kind("groq", of(groq), groq.MODELS[0]),
    Kind("fireworks", of(fireworks), fireworks.MODELS[0]),
    Kind("sglang", of(sglang), sglang.MODELS[0], without(MODEL)),
    Kind("tgi", of(tgi), tgi.MODELS[0], without(MODEL)),
    Kind("lmstudio", of(lmstudio), lmstudio.MODELS[0], without(LOGPROBS)),
    Kind("ogx", of(ogx), ogx.MODELS[0]),
    Kind("huggingface", of(huggingface), huggingface.MODELS[0]),
    Kind(
        "bedrock",
        of(bedrock),
        bedrock.MODELS[0],
        without(FORCED, SCHEMA, SEED, LOGPROBS, N),
        unwrap=events_of,
        wrap=event_of,
    ),
    Kind(
        "replicate",
        of(replicate),
        replicate.MODELS[0],
        without(TOOLS, FORCED, SCHEMA, LOGPROBS, N, VISION, FILTER, EARLY, COUNTED, PROMPT),
        headers=frozenset({"prefer"}),
        settings=lambda: {"sleep": Looks(100)},
    ),
    Kind(
        "litellm",
        of(vllm),
        f"hosted_vllm/{vllm.MODELS[0]}",
        without(LISTING, BOUNDED),
        headers=frozenset({"accept", "connection"}),
        base="/v1",
        alike="openai_compatible",
    ),
    Kind("tests.providers.outsider:Outsider", of(vllm), vllm.MODELS[0]),
)


@dataclass(frozen=True, slots=True)
class Link:
    """A provider, the deployment to ask it for, and the upstream's script."""

    provider: Provider
    deployment: Deployment
    script: Script


@asynccontextmanager
async def linked(
    kind: Kind, llama_url: str, *faults: Fault | None, key: str = KEY, model: str | None = None
) -> AsyncIterator[Link]:
    """A provider in front of its running upstream, which plays the faults."""
    script = Script(*faults)
    async with Served(kind.build(llama_url, script)) as served:
        transport = PooledTransport(keepalive=3)
        provider = provider_class(kind.name)(backend_of(kind, served.url, key), transport)
        try:
            yield Link(provider, deployment_of(kind, model), script)
        finally:
            await transport.close()


def backend_of(kind: Kind, url: str, key: str = KEY) -> Backend:
    """A backend of a kind at an address."""
    return Backend("main", kind.name, f"{url}{kind.base}", api_key=key)


def deployment_of(kind: Kind, model: str | None = None) -> Deployment:
    """The deployment that is asked."""
    return Deployment("main/llama", "main", "llama", model or kind.model, kind.name, "hosted", context=8192)
