"""The hosted stand-ins are accepted, unmodified, by the SDK of the provider each one stands for."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import fireworks as fireworks_sdk
import groq as groq_sdk
import httpx
import openai as openai_sdk
import pytest
import together as together_sdk

from gateway.demo.standins import fireworks, groq, together, vllm
from gateway.demo.standins.faults import ErrorEvent, Refuse
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

pytestmark = pytest.mark.asyncio

ASK: Any = [{"role": "user", "content": "Tell me about llamas."}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}}
JSON = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}


@dataclass(frozen=True, slots=True)
class Provider:
    """A stand-in, its SDK and what the provider calls things."""

    standin: ModuleType
    sdk: ModuleType
    client: Callable[..., Any]
    base: str
    natural_end: str = "stop"
    forced_call_end: str = "tool_calls"
    sdk_sees_stream_errors: bool = True

    @property
    def model(self) -> str:
        return str(self.standin.MODELS[0])

    def connect(self, url: str, key: str = KEY) -> Any:
        return self.client(api_key=key, base_url=url + self.base, max_retries=0, timeout=20)

    def serve(self, llama_url: str, *faults: Any) -> tuple[Served, Script]:
        script = Script(*faults)
        return Served(self.standin.app(llama_url, key=KEY, script=script)), script


PROVIDERS: Sequence[Provider] = (
    Provider(groq, groq_sdk, groq_sdk.AsyncGroq, ""),
    Provider(together, together_sdk, together_sdk.AsyncTogether, "", natural_end="eos"),
    Provider(fireworks, fireworks_sdk, fireworks_sdk.AsyncFireworks, "", sdk_sees_stream_errors=False),
    Provider(vllm, openai_sdk, openai_sdk.AsyncOpenAI, "/v1", forced_call_end="stop"),
)


@pytest.fixture(params=PROVIDERS, ids=lambda provider: provider.standin.__name__.rpartition(".")[2])
def provider(request: pytest.FixtureRequest) -> Provider:
    chosen: Provider = request.param
    return chosen


async def test_a_plain_answer_has_text_usage_and_the_providers_finish_reason(
    provider: Provider, llama_url: str
) -> None:
    served, script = provider.serve(llama_url)
    async with served, provider.connect(served.url) as client:
        answer = await client.chat.completions.create(model=provider.model, messages=ASK)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == provider.natural_end
    assert answer.model == provider.model
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 1
    assert script.generations[0].headers["authorization"] == f"Bearer {KEY}"


async def test_a_token_limit_ends_with_length(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url)
    async with served, provider.connect(served.url) as client:
        answer = await client.chat.completions.create(model=provider.model, messages=ASK, max_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


async def test_a_stream_spells_out_an_answer_and_ends_with_one_finish_reason(
    provider: Provider, llama_url: str
) -> None:
    served, script = provider.serve(llama_url)
    async with served, provider.connect(served.url) as client:
        stream = await client.chat.completions.create(model=provider.model, messages=ASK, stream=True)
        chunks = [chunk async for chunk in stream]
        await script.generations[0].closed.wait()
    choices = [choice for chunk in chunks for choice in chunk.choices]
    assert "".join(choice.delta.content or "" for choice in choices)
    assert [choice.finish_reason for choice in choices if choice.finish_reason] == [provider.natural_end]
    assert {chunk.id for chunk in chunks} == {chunks[0].id}
    assert script.generations[0].complete
    assert not script.generations[0].disconnected


async def test_a_forced_tool_call_fits_its_schema(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url)
    async with served, provider.connect(served.url) as client:
        answer = await client.chat.completions.create(
            model=provider.model, messages=ASK, tools=[TOOL], tool_choice="required"
        )
    for call in answer.choices[0].message.tool_calls:  # one or more
        assert call.function.name == "weather"
        assert json.loads(call.function.arguments).keys() == {"city"}
    assert answer.choices[0].finish_reason == provider.forced_call_end


async def test_a_named_tool_is_the_one_that_is_called(provider: Provider, llama_url: str) -> None:
    other = {"type": "function", "function": {"name": "time", "parameters": {"type": "object", "properties": {}}}}
    choice = {"type": "function", "function": {"name": "weather"}}
    served, _ = provider.serve(llama_url)
    async with served, provider.connect(served.url) as client:
        answer = await client.chat.completions.create(
            model=provider.model, messages=ASK, tools=[other, TOOL], tool_choice=choice
        )
    assert {call.function.name for call in answer.choices[0].message.tool_calls} == {"weather"}


async def test_a_streamed_tool_call_adds_up_to_json(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url)
    async with served, provider.connect(served.url) as client:
        stream = await client.chat.completions.create(
            model=provider.model, messages=ASK, tools=[TOOL], tool_choice="required", stream=True
        )
        deltas = [choice.delta async for chunk in stream for choice in chunk.choices]
    parts = [part.function for delta in deltas for part in delta.tool_calls or [] if part.index == 0]
    assert "".join(part.name or "" for part in parts) == "weather"
    assert json.loads("".join(part.arguments or "" for part in parts)).keys() == {"city"}


async def test_a_json_schema_is_obeyed(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url)
    async with served, provider.connect(served.url) as client:
        answer = await client.chat.completions.create(model=provider.model, messages=ASK, response_format=JSON)
    assert json.loads(answer.choices[0].message.content).keys() == {"city"}


async def test_a_wrong_key_is_an_authentication_error(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url)
    async with served, provider.connect(served.url, "wrong") as client:
        with pytest.raises(provider.sdk.AuthenticationError):
            await client.chat.completions.create(model=provider.model, messages=ASK)


async def test_an_unknown_model_is_a_not_found_error(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url)
    async with served, provider.connect(served.url) as client:
        with pytest.raises(provider.sdk.NotFoundError) as caught:
            await client.chat.completions.create(model="nope", messages=ASK)
    assert caught.value.response.json()["error"]["message"]


async def test_a_rate_limit_carries_retry_after_and_is_over_with_the_next_request(
    provider: Provider, llama_url: str
) -> None:
    served, script = provider.serve(llama_url, Refuse(429, {"retry-after": "7"}))
    async with served, provider.connect(served.url) as client:
        with pytest.raises(provider.sdk.RateLimitError) as caught:
            await client.chat.completions.create(model=provider.model, messages=ASK)
        await client.chat.completions.create(model=provider.model, messages=ASK)
    assert caught.value.response.headers["retry-after"] == "7"
    assert [seen.status for seen in script.generations] == [429, 200]


async def test_a_prompt_beyond_the_context_is_a_bad_request(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url)
    long = [{"role": "user", "content": "llama " * 9000}]
    async with served, provider.connect(served.url) as client:
        with pytest.raises(provider.sdk.BadRequestError) as caught:
            await client.chat.completions.create(model=provider.model, messages=long)
    assert caught.value.response.status_code == 400


async def test_a_stream_that_fails_half_way_raises_in_the_sdk_if_it_looks(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url, ErrorEvent(after_chunks=2, status=503))
    async with served, provider.connect(served.url) as client:
        stream = await client.chat.completions.create(model=provider.model, messages=ASK, stream=True)
        chunks = aiter(stream)
        for _ in range(2):
            await anext(chunks)
        if provider.sdk_sees_stream_errors:
            with pytest.raises(provider.sdk.APIError):
                await anext(chunks)
        else:
            assert (await anext(chunks)).error["message"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
async def test_a_body_that_is_no_json_object_is_a_bad_request(
    provider: Provider, llama_url: str, content: bytes
) -> None:
    served, _ = provider.serve(llama_url)
    headers = {"authorization": f"Bearer {KEY}"}
    async with served, httpx.AsyncClient(base_url=served.url, headers=headers) as client:
        answer = await client.post(f"{provider.standin.BASE}/chat/completions", content=content)
    assert (answer.status_code, answer.json()["error"]["message"]) == (400, "The request body is not valid JSON.")


async def test_the_model_list_names_every_model(provider: Provider, llama_url: str) -> None:
    served, _ = provider.serve(llama_url)
    async with served, openai_sdk.AsyncOpenAI(api_key=KEY, base_url=served.url + provider.standin.BASE) as client:
        raw = (await client.models.with_raw_response.list()).http_response.json()
    listed = raw["data"] if isinstance(raw, dict) else raw
    assert [model["id"] for model in listed] == list(provider.standin.MODELS)
