"""An upstream for every provider kind: its real server or a stand-in, in front of a real llama.cpp, with faults."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
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
from gateway.providers.port import Provider
from gateway.providers.registry import provider_class
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, Deployment

Build = Callable[[str, Script], ASGIApp]
LLAMA_CHAT = "/v1/chat/completions"


@dataclass(frozen=True, slots=True)
class Kind:
    """A provider kind and what its upstream can do; `build` makes the upstream from llama.cpp's address."""

    name: str
    build: Build
    model: str
    checks_key: bool = True
    checks_model: bool = True
    forces_tools: bool = True
    lists_models: bool = True
    headers: frozenset[str] = frozenset()  # that its calls have besides the usual
    base: str = ""  # what a policy's url ends with


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

KINDS = (
    Kind("vllm", of(vllm), vllm.MODELS[0]),
    Kind("llama_cpp", llama_cpp, "llama-3.1-8b-instruct", checks_key=False, checks_model=False),
    Kind(
        "ollama",
        lambda llama_url, script: ollama.app(llama_url, script=script),
        "llama3.1:8b",
        checks_key=False,
        forces_tools=False,
    ),
    Kind("openai_compatible", of(vllm), vllm.MODELS[0]),
    Kind("together", of(together), together.MODELS[0]),
    Kind("groq", of(groq), groq.MODELS[0]),
    Kind("fireworks", of(fireworks), fireworks.MODELS[0]),
    Kind("sglang", of(sglang), sglang.MODELS[0], checks_model=False),
    Kind("tgi", of(tgi), tgi.MODELS[0], checks_model=False),
    Kind("lmstudio", of(lmstudio), lmstudio.MODELS[0]),
    Kind("ogx", of(ogx), ogx.MODELS[0]),
    Kind("huggingface", of(huggingface), huggingface.MODELS[0]),
    Kind(
        "litellm",
        of(vllm),
        f"hosted_vllm/{vllm.MODELS[0]}",
        lists_models=False,
        headers=frozenset({"accept", "connection"}),
        base="/v1",
    ),
)

# Apart, because its address names the model and its Llama keeps to no schema: test_bedrock_contract.py runs the rest.
BEDROCK = Kind("bedrock", of(bedrock), bedrock.MODELS[0], forces_tools=False)
# Likewise: test_replicate_contract.py.
REPLICATE = Kind("replicate", of(replicate), replicate.MODELS[0], forces_tools=False, headers=frozenset({"prefer"}))


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
        backend = Backend("main", kind.name, f"{served.url}{kind.base}", api_key=key)
        transport = PooledTransport(keepalive=3)
        provider = provider_class(kind.name)(backend, transport)
        deployment = Deployment("main/llama", "main", "llama", model or kind.model, kind.name, "hosted", context=8192)
        try:
            yield Link(provider, deployment, script)
        finally:
            await transport.close()
