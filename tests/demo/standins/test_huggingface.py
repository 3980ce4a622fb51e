"""What only Hugging Face's router does on the wire."""

import json

import pytest

from gateway.demo.standins import huggingface
from gateway.demo.standins.faults import Refuse

from .openai_sdk import ASK, accepted, connect, failure, said, serve

pytestmark = pytest.mark.asyncio

MODEL = huggingface.MODELS[0]


async def test_openais_sdk_accepts_its_answers(llama_url: str) -> None:
    await accepted(huggingface, llama_url)


async def test_a_host_is_chosen_by_a_suffix_and_its_words_come_through(llama_url: str) -> None:
    async with serve(huggingface, llama_url) as served, connect(served.url) as client:
        answers = [
            await client.chat.completions.create(model=f"{MODEL}:{host}", messages=ASK) for host in huggingface.HOSTS
        ]
    assert [json.loads(answer.model_dump_json())["choices"][0]["finish_reason"] for answer in answers] == [
        "stop",
        "eos",
    ]


async def test_a_model_that_no_host_serves_is_a_bad_request(llama_url: str) -> None:
    status, body = said(await failure(huggingface, llama_url, model="meta-llama/Nope"))
    assert (status, body) == (400, huggingface.gone("meta-llama/Nope"))


async def test_a_wrong_key_and_used_up_credits_get_a_string(llama_url: str) -> None:
    status, body = said(await failure(huggingface, llama_url, key="wrong"))
    assert (status, body) == (401, {"error": "Invalid username or password."})
    status, body = said(await failure(huggingface, llama_url, Refuse(402)))
    assert status == 402 and "monthly included credits" in body["error"]


async def test_the_list_names_the_hosts_of_each_model(llama_url: str) -> None:
    async with serve(huggingface, llama_url) as served, connect(served.url) as client:
        (row,) = (await client.models.with_raw_response.list()).http_response.json()["data"]
    assert [host["provider"] for host in row["providers"]] == list(huggingface.HOSTS)
