"""Asks a stand-in as OpenAI's SDK does, which must accept whatever comes."""

from types import ModuleType
from typing import Any

import openai as sdk

from gateway.demo.standins.faults import Fault
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
LONG: Any = [{"role": "user", "content": "llama " * 9000}]
TOOL: Any = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def serve(standin: ModuleType, llama_url: str, *faults: Fault | None) -> Served:
    """The stand-in, with a key and faults."""
    return Served(standin.app(llama_url, key=KEY, script=Script(*faults)))


def connect(url: str, key: str = KEY) -> sdk.AsyncOpenAI:
    """A client of it."""
    return sdk.AsyncOpenAI(api_key=key, base_url=f"{url}/v1", max_retries=0, timeout=20)


async def accepted(standin: ModuleType, llama_url: str) -> None:
    """Whole answers, streams with usage and the model list are what the SDK expects."""
    model = standin.MODELS[0]
    async with serve(standin, llama_url) as served, connect(served.url) as client:
        whole = await client.chat.completions.create(model=model, messages=ASK, seed=3, max_tokens=16)
        stream = await client.chat.completions.create(
            model=model, messages=ASK, seed=3, max_tokens=16, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
        listed = [row.id async for row in client.models.list()]
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert whole.choices[0].message.content == text != ""
    assert whole.usage is not None and chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens > 0
    assert model in listed


async def failure(standin: ModuleType, llama_url: str, *faults: Fault, key: str = KEY, **asked: Any) -> sdk.APIError:
    """The error in which a question ends."""
    request = {"model": standin.MODELS[0], "messages": ASK, **asked}
    async with serve(standin, llama_url, *faults) as served, connect(served.url, key) as client:
        try:
            answer = await client.chat.completions.create(**request)
            if asked.get("stream"):
                [chunk async for chunk in answer]
        except sdk.APIError as exc:
            return exc
    raise AssertionError("the question was answered")


def said(error: sdk.APIError) -> tuple[int, Any]:
    """The status and the whole body of an error."""
    assert isinstance(error, sdk.APIStatusError)
    return error.status_code, error.response.json()
