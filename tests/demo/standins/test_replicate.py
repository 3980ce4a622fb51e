"""The stand-in for Replicate is accepted, unmodified, by Replicate's SDK, and is as odd as the real one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from replicate.client import Client
from replicate.exceptions import ModelError, ReplicateError

from gateway.demo.standins import replicate
from gateway.demo.standins.faults import Cut, ErrorEvent, NoDone, Refuse
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

MODEL = replicate.MODELS[0]
ASK = {"prompt": "Tell me about llamas.", "max_tokens": 12, "seed": 3}
LONG = {"prompt": "llama " * 9000}
PATIENCE = 30  # seconds no test needs


@dataclass(frozen=True, slots=True)
class Upstream:
    """The SDK's client, a bare one, and what the stand-in saw."""

    client: Any
    http: httpx.AsyncClient
    script: Script
    makings: Script


@asynccontextmanager
async def upstream(llama_url: str, *faults: Any, key: str = KEY, **how: Any) -> AsyncIterator[Upstream]:
    script, makings = Script(*faults), Script()
    app = replicate.app(llama_url, script=script, makings=makings, **how)
    async with (
        asyncio.timeout(PATIENCE),
        Served(app) as served,
        httpx.AsyncClient(base_url=served.url, headers={"authorization": f"Bearer {key}"}, trust_env=False) as http,
    ):
        client = Client(api_token=key, base_url=served.url)
        client.poll_interval = 0.01
        yield Upstream(client, http, script, makings)


async def create(client: Any, **how: Any) -> Any:
    return await client.models.predictions.async_create(MODEL, input=how.pop("input", ASK), **how)


@pytest.mark.asyncio
@pytest.mark.parametrize("ref", [MODEL, f"{MODEL}:{replicate.VERSION}"])
async def test_run_brings_pieces_of_text(llama_url: str, ref: str) -> None:
    async with upstream(llama_url) as up:
        output = await up.client.async_run(ref, input=ASK)
        pieces = output if isinstance(output, list) else [piece async for piece in output]
    assert len(pieces) > 3 and all(isinstance(piece, str) for piece in pieces)
    assert up.script.requests[0].headers["prefer"] == "wait"


@pytest.mark.asyncio
async def test_a_stream_spells_out_what_run_brings(llama_url: str) -> None:
    async with upstream(llama_url) as up:
        whole = await up.client.async_run(MODEL, input=ASK)
        events = [event async for event in await up.client.async_stream(MODEL, input=ASK)]
    assert "".join(map(str, events)) == "".join(whole)
    assert [event.event.value for event in events] == ["output"] * (len(events) - 1) + ["done"]
    assert events[-1].data == "{}"
    assert up.script.requests[-1].headers["host"].startswith("localhost:")  # not where the prediction was made


@pytest.mark.asyncio
async def test_a_prediction_is_made_watched_and_done(llama_url: str) -> None:
    async with upstream(llama_url) as up:
        made = await create(up.client)
        assert (made.status, made.output, made.metrics) == ("starting", None, None)
        await made.async_wait()
    assert made.status == "succeeded" and made.output
    assert made.metrics["output_token_count"] == 12 and made.metrics["input_token_count"] > 0
    assert made.completed_at >= made.created_at


@pytest.mark.asyncio
async def test_a_deployment_makes_predictions(llama_url: str) -> None:
    async with upstream(llama_url) as up:
        made = await up.client.deployments.predictions.async_create(replicate.DEPLOYMENT, input=ASK)
        await made.async_wait()
    assert made.status == "succeeded" and made.model == MODEL


@pytest.mark.asyncio
async def test_a_held_prediction_comes_back_as_processing_with_all_its_output(llama_url: str) -> None:
    async with upstream(llama_url) as up:
        held = await up.http.post(f"/v1/models/{MODEL}/predictions", json={"input": ASK}, headers={"prefer": "wait=10"})
        made = await up.client.predictions.async_get(held.json()["id"])
    assert (held.status_code, held.headers["preference-applied"]) == (201, "wait=10")
    assert held.json()["status"] == "processing" and "metrics" not in held.json()
    assert held.json()["output"] == made.output and made.status == "succeeded"
    assert "stream" not in held.json()["urls"]


@pytest.mark.asyncio
async def test_what_takes_longer_than_it_is_held_comes_back_as_starting(llama_url: str) -> None:
    boot = asyncio.Event()
    async with upstream(llama_url, hold=0.01, boot=boot) as up:
        made = await create(up.client, wait=1)
        assert (made.status, made.output) == ("starting", None)
        boot.set()
        await made.async_wait()
    assert made.status == "succeeded"


@pytest.mark.asyncio
async def test_a_cancelled_prediction_says_so_everywhere(llama_url: str) -> None:
    async with upstream(llama_url, boot=asyncio.Event()) as up:
        made = await create(up.client, stream=True)
        await made.async_cancel()
        assert made.status == "canceled"
        await made.async_reload()
        events = [event async for event in made.async_stream()]
        await made.async_cancel()
    assert made.status == "canceled"
    assert [(event.event.value, event.data) for event in events] == [("done", '{"reason":"canceled"}')]


@pytest.mark.asyncio
async def test_what_is_done_cannot_be_cancelled_any_more(llama_url: str) -> None:
    async with upstream(llama_url) as up:
        made = await create(up.client)
        await made.async_wait()
        await made.async_cancel()
    assert made.status == "succeeded"


@pytest.mark.asyncio
async def test_a_prediction_goes_on_without_whoever_watches_it(llama_url: str) -> None:
    async with upstream(llama_url, Cut(after_bytes=100)) as up:
        made = await create(up.client, stream=True)
        with pytest.raises(httpx.RemoteProtocolError):
            [event async for event in made.async_stream()]
        await made.async_wait()
        again = [event async for event in made.async_stream()]
    assert made.status == "succeeded"
    assert "".join(map(str, again)) == "".join(made.output)


@pytest.mark.asyncio
async def test_a_model_that_fails_says_why(llama_url: str) -> None:
    async with upstream(llama_url) as up:
        with pytest.raises(ModelError) as caught:
            await up.client.async_run(MODEL, input=LONG)
        made = await create(up.client, input=LONG, stream=True)
        with pytest.raises(RuntimeError, match="maximum context length"):
            [event async for event in made.async_stream()]
    assert caught.value.prediction.error == "This model's maximum context length is 8192 tokens."


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "body", "status", "title"),
    [
        ("/models/acme/nope/predictions", {"input": ASK}, 404, "Not found"),
        ("/deployments/acme/nope/predictions", {"input": ASK}, 404, "Not found"),
        ("/predictions", {"input": ASK, "version": "nope"}, 422, "Invalid version or not permitted"),
        (f"/models/{MODEL}/predictions", {"input": {}}, 422, "Input validation failed"),
        (f"/models/{MODEL}/predictions", {}, 422, "Input validation failed"),
        (f"/models/{MODEL}/predictions", [], 422, "Input validation failed"),
        ("/predictions/nope/cancel", {}, 404, "Not found"),
    ],
)
async def test_a_refusal_is_problem_details(llama_url: str, path: str, body: object, status: int, title: str) -> None:
    async with upstream(llama_url) as up:
        refused = await up.http.post(f"/v1{path}", json=body)
    assert (refused.status_code, refused.json()["status"], refused.json()["title"]) == (status, status, title)
    assert refused.json()["detail"]


@pytest.mark.asyncio
@pytest.mark.parametrize("path", ["predictions/nope", "streams/nope"])
async def test_what_was_never_made_is_not_found(llama_url: str, path: str) -> None:
    async with upstream(llama_url) as up:
        assert (await up.http.get(f"/v1/{path}")).status_code == 404


@pytest.mark.asyncio
async def test_a_wrong_token_opens_nothing(llama_url: str) -> None:
    async with upstream(llama_url, key="wrong") as up:
        with pytest.raises(ReplicateError) as caught:
            await create(up.client)
        assert {(await up.http.get(f"/v1/{path}")).status_code for path in ("predictions/x", "streams/x")} == {401}
    assert (caught.value.status, caught.value.title) == (401, "Unauthenticated")


@pytest.mark.asyncio
async def test_a_refusal_of_the_script_is_the_sdks_error(llama_url: str) -> None:
    async with upstream(llama_url, Refuse(429, {"retry-after": "7"}), Refuse(402)) as up:
        errors = []
        for _ in range(2):
            with pytest.raises(ReplicateError) as caught:
                await create(up.client)
            errors.append(caught.value)
        await create(up.client)
    assert [(error.status, error.title) for error in errors] == [
        (429, "Request was throttled"),
        (402, "Insufficient credit"),
    ]


@pytest.mark.asyncio
async def test_a_fault_meets_what_carries_the_answer(llama_url: str) -> None:
    async with upstream(llama_url, ErrorEvent(after_chunks=2, message="lost"), NoDone()) as up:
        with pytest.raises(RuntimeError, match="lost"):
            [event async for event in await up.client.async_stream(MODEL, input=ASK)]
        cut = [event async for event in await up.client.async_stream(MODEL, input=ASK)]
    assert [event.event.value for event in cut] == ["output"] * len(cut)
    assert [seen.path for seen in up.makings.requests] == [f"/v1/models/{MODEL}/predictions"] * 2
    assert {seen.path.rpartition("/")[0] for seen in up.script.requests} == {"/v1/streams"}


@pytest.mark.asyncio
async def test_the_models_that_write_are_a_collection(llama_url: str) -> None:
    async with upstream(llama_url) as up:
        listed = (await up.http.get("/v1/collections/language-models")).json()
    assert [f"{row['owner']}/{row['name']}" for row in listed["models"]] == list(replicate.MODELS)


def test_lines_of_text_are_lines_of_data() -> None:
    assert replicate.event("output", "a\n\nb", 7).split(b"\n")[2:] == [b"data: a", b"data: ", b"data: b", b"", b""]


@given(st.text())
def test_a_prompt_that_is_no_template_is_a_question(prompt: str) -> None:
    messages = replicate.chat({"prompt": prompt, "system_prompt": "Be nice."})["messages"]
    assert messages == [{"role": "system", "content": "Be nice."}, {"role": "user", "content": prompt}]


def test_a_template_is_the_chat_it_was_made_of() -> None:
    turns = [("system", "Be nice."), ("user", "Hi\n"), ("ipython", "mild")]
    prompt = "".join(f"<|start_header_id|>{role}<|end_header_id|>\n\n{text}<|eot_id|>" for role, text in turns)
    asked = replicate.chat(
        {"prompt": f"<|begin_of_text|>{prompt}", "stop_sequences": "<|eot_id|>,x", "max_new_tokens": 3}
    )
    assert [(turn["role"], turn["content"]) for turn in asked["messages"]] == [*turns[:2], ("user", "mild")]
    assert (asked["stop"], asked["max_tokens"]) == (["x"], 3)
