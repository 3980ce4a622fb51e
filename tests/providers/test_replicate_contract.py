"""Replicate keeps the contract of all kinds, but for what its API has no words for."""

import inspect
from itertools import product
from typing import Any

import pytest

from gateway.demo.standins.hosted import KEY

from . import test_contract as contract
from .upstreams import REPLICATE, linked

pytestmark = pytest.mark.asyncio

ELSEWHERE = {
    contract.test_a_tool_call_has_a_name_an_id_and_arguments_in_json,  # it knows no tools
    contract.test_a_named_tool_is_the_one_that_is_called,
    contract.test_an_answer_keeps_to_a_schema,  # nor schemas
    contract.test_a_stream_without_its_last_frame_is_finished_only_if_its_choices_are,  # that frame finishes them
    contract.test_usage_that_is_not_told_is_not_made_up,  # it is told apart from the stream
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
    await test(REPLICATE, llama_url, **more)


async def test_the_model_is_in_the_address_and_the_key_is_sent_alone(llama_url: str) -> None:
    async with linked(REPLICATE, llama_url) as link:
        await contract.ask(link, contract.asking(stream=False))
    (seen,) = link.script.generations
    assert seen.path == f"/v1/models/{REPLICATE.model}/predictions"
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert seen.headers.keys() - REPLICATE.headers == {
        "host", "accept-encoding", "authorization", "content-length", "content-type", "user-agent",
    }  # fmt: skip
    assert seen.json.keys() == {"input"}
