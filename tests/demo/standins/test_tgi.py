"""What only Text Generation Inference does on the wire."""

import json

import pytest

from gateway.demo.standins import tgi
from gateway.demo.standins.faults import ErrorEvent, Refuse

from .openai_sdk import ASK, LONG, TOOL, accepted, connect, failure, said, serve

pytestmark = pytest.mark.asyncio


async def test_openais_sdk_accepts_its_answers(llama_url: str) -> None:
    await accepted(tgi, llama_url)


@pytest.mark.parametrize(
    ("status", "kind"), [(422, "validation"), (424, "generation"), (429, "overloaded"), (500, "incomplete_generation")]
)
async def test_an_error_has_a_text_and_a_type(llama_url: str, status: int, kind: str) -> None:
    got, body = said(await failure(tgi, llama_url, Refuse(status)))
    assert (got, body.keys(), body["error_type"]) == (status, {"error", "error_type"}, kind)


async def test_a_prompt_that_does_not_fit_is_a_validation_error(llama_url: str) -> None:
    status, body = said(await failure(tgi, llama_url, messages=LONG))
    assert (status, body["error_type"]) == (422, "validation")
    assert body["error"].startswith("Input validation error: `inputs` must have less than ")


async def test_an_error_in_a_stream_is_an_event_of_the_same_shape(llama_url: str) -> None:
    error = await failure(tgi, llama_url, ErrorEvent(after_chunks=1, status=424), stream=True)
    assert str(error.body).startswith("Request failed during generation")


async def test_a_wrong_key_gets_nothing_to_read(llama_url: str) -> None:
    assert said(await failure(tgi, llama_url, key="wrong")) == (401, {})


async def test_it_ends_at_a_stop_string_in_a_word_of_its_own_and_gives_arguments_as_an_object(llama_url: str) -> None:
    async with serve(tgi, llama_url) as served, connect(served.url) as client:
        ended = await client.chat.completions.create(model="tgi", messages=ASK, stop=["a"])
        called = await client.chat.completions.with_raw_response.create(
            model="tgi", messages=ASK, tools=[TOOL], tool_choice="required"
        )
    assert json.loads(ended.model_dump_json())["choices"][0]["finish_reason"] == "stop_sequence"
    (choice,) = called.http_response.json()["choices"]
    assert all(isinstance(call["function"]["arguments"], dict) for call in choice["message"]["tool_calls"])
