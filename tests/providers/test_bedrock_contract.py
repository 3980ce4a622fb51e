"""Bedrock keeps the contract of all kinds, but for what its API has no words for."""

import inspect
from itertools import product
from typing import Any
from urllib.parse import unquote

import pytest

from gateway.demo.standins.hosted import KEY
from gateway.errors import Rejected

from . import test_contract as contract
from .upstreams import BEDROCK, linked

pytestmark = pytest.mark.asyncio

ELSEWHERE = {
    contract.test_a_named_tool_is_the_one_that_is_called,  # Llama on Bedrock cannot be made to call a tool
    contract.test_an_answer_keeps_to_a_schema,  # nor to keep to a schema
    contract.test_the_key_is_sent_and_the_callers_headers_are_not,  # the model is in the address, not in the body
}
VALUES = {"stream": (False, True), "chunks": (0, 3)}  # of the contract's parameters besides the kind and its server


def promises() -> list[Any]:
    """Every test of the contract with each of its parameters."""
    found = [test for name, test in vars(contract).items() if name.startswith("test_") and test not in ELSEWHERE]
    return [
        pytest.param(test, dict(zip(names, values, strict=True)), id="-".join([test.__name__, *map(str, values)]))
        for test in found
        for names in [[name for name in inspect.signature(test).parameters if name in VALUES]]
        for values in product(*(VALUES[name] for name in names))
    ]


@pytest.mark.parametrize(("test", "more"), promises())
async def test_it_keeps_the_contract(test: Any, more: dict[str, Any], llama_url: str) -> None:
    await test(BEDROCK, llama_url, **more)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_schema_is_for_others(llama_url: str, stream: bool) -> None:
    async with linked(BEDROCK, llama_url) as link:
        answer = await contract.ask(link, contract.asking(stream, response_format=contract.JSON_SCHEMA))
    assert isinstance(answer.error, Rejected) and answer.error.elsewhere
    assert not link.script.requests


async def test_a_named_tool_is_the_only_one_offered(llama_url: str) -> None:
    function: dict[str, Any] = {**contract.TOOL["function"], "name": "other"}  # type: ignore[dict-item]  # JSON
    choice = {"type": "function", "function": {"name": "weather"}}
    tools = [{"type": "function", "function": function}, contract.TOOL]
    async with linked(BEDROCK, llama_url) as link:
        answer = await contract.ask(link, contract.asking(False, tools=tools, tool_choice=choice, max_tokens=200))
    calls = [call for piece in answer.pieces for call in piece.get("tool_calls") or []]
    assert {call["function"]["name"] for call in calls} == {"weather"}


async def test_the_model_is_in_the_address_and_the_key_is_sent_alone(llama_url: str) -> None:
    async with linked(BEDROCK, llama_url) as link:
        await contract.ask(link, contract.asking(stream=False))
    (seen,) = link.script.generations
    assert unquote(seen.path) == f"/model/{BEDROCK.model}/converse"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers.keys() == {
        "host", "accept-encoding", "authorization", "content-length", "content-type", "user-agent",
    }  # fmt: skip
    assert seen.json.keys() == {"messages", "inferenceConfig"}
