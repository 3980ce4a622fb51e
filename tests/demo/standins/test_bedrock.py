"""The stand-in for Bedrock is accepted, unmodified, by AWS's own SDK, and refuses what Bedrock refuses."""

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]  # AWS's SDK has no types
import httpx
import pytest
from botocore.config import Config  # type: ignore[import-untyped]  # the same
from botocore.eventstream import ChecksumMismatch  # type: ignore[import-untyped]  # the same
from botocore.exceptions import ClientError, EventStreamError  # type: ignore[import-untyped]  # the same

from gateway.demo.standins import bedrock
from gateway.demo.standins.bedrock import ACCESS_KEY, MODELS, REGION, SECRET_KEY, BadChecksum
from gateway.demo.standins.faults import Cut, ErrorEvent, Fault, Refuse
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served

MODEL = MODELS[0]
LLAMA4 = MODELS[-1]
ASK = [{"role": "user", "content": [{"text": "Tell me about llamas."}]}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = {"tools": [{"toolSpec": {"name": "weather", "description": "The weather", "inputSchema": {"json": SCHEMA}}}]}
USE = {"toolUseId": "call_1", "name": "weather", "input": {"city": "Lima"}}


def client(url: str, service: str = "bedrock-runtime", secret: str = SECRET_KEY, access: str = ACCESS_KEY) -> Any:
    return boto3.client(
        service,
        region_name=REGION,
        endpoint_url=url,
        aws_access_key_id=access,
        aws_secret_access_key=secret,
        config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
    )


@pytest.fixture
def ask(llama_url: str) -> Iterator[Callable[..., Any]]:
    """Asks a fresh stand-in with boto3, which blocks and therefore has a thread."""
    with asyncio.Runner() as runner:

        def asked(work: Callable[[str], Any], *faults: Fault | None, clock: Callable[[], float] = time.time) -> Any:
            async def serve() -> Any:
                async with Served(bedrock.app(llama_url, script=Script(*faults), clock=clock)) as served:
                    return await asyncio.to_thread(work, served.url)

            return runner.run(serve())

        yield asked


def refused(ask: Callable[..., Any], work: Callable[[str], Any], *faults: Fault, **how: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        ask(work, *faults, **how)
    said = caught.value.response
    return said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"], said["Error"]["Message"]


def converse(**body: Any) -> Callable[[str], Any]:
    return lambda url: client(url).converse(**{"modelId": MODEL, "messages": ASK, **body})


def streamed(**body: Any) -> Callable[[str], list[dict[str, Any]]]:
    return lambda url: list(client(url).converse_stream(**{"modelId": MODEL, "messages": ASK, **body})["stream"])


def test_a_plain_answer_has_text_a_stop_reason_and_usage(ask: Callable[..., Any]) -> None:
    answer = ask(converse(system=[{"text": "Be brief."}], inferenceConfig={"maxTokens": 64, "temperature": 0.5}))
    assert answer["output"]["message"]["content"][0]["text"]
    assert answer["stopReason"] in ("end_turn", "max_tokens")
    assert answer["usage"]["totalTokens"] == answer["usage"]["inputTokens"] + answer["usage"]["outputTokens"] > 1


def test_a_token_limit_is_the_reason_to_stop(ask: Callable[..., Any]) -> None:
    answer = ask(converse(inferenceConfig={"maxTokens": 2}))
    assert (answer["stopReason"], answer["usage"]["outputTokens"]) == ("max_tokens", 2)


def test_a_stream_spells_out_the_same_answer(ask: Callable[..., Any]) -> None:
    limit = {"maxTokens": 32, "temperature": 0.0}
    whole, events = ask(converse(inferenceConfig=limit)), ask(streamed(inferenceConfig=limit))
    deltas = [event["contentBlockDelta"]["delta"] for event in events if "contentBlockDelta" in event]
    assert "".join(delta["text"] for delta in deltas) == whole["output"]["message"]["content"][0]["text"]
    assert [next(iter(event)) for event in (events[0], *events[-3:])] == [
        "messageStart", "contentBlockStop", "messageStop", "metadata",
    ]  # fmt: skip
    assert events[-1]["metadata"]["usage"] == whole["usage"]


def test_tools_are_called_and_their_results_taken(ask: Callable[..., Any]) -> None:
    answer = ask(converse(toolConfig=TOOLS))
    uses = [block["toolUse"] for block in answer["output"]["message"]["content"]]
    assert all((use["name"], use["input"].keys()) == ("weather", {"city"}) for use in uses)
    assert uses and answer["stopReason"] == "tool_use"
    results = [{"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "mild"}]}} for use in uses]
    turns = [*ASK, answer["output"]["message"], {"role": "user", "content": results}]
    assert ask(converse(messages=turns, toolConfig=TOOLS))["stopReason"] in ("tool_use", "end_turn")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"modelId": "nope"}, "model identifier is invalid"),
        ({"messages": [{"role": "assistant", "content": [{"text": "Hi"}]}]}, "must start with a user message"),
        ({"messages": ASK * 2}, "must alternate"),
        ({"messages": [{"role": "user", "content": [{"text": " "}]}]}, "is blank"),
        ({"inferenceConfig": {"temperature": 1.5}}, "less than or equal to 1"),
        ({"toolConfig": {**TOOLS, "toolChoice": {"any": {}}}}, "toolConfig.toolChoice.any"),
        ({"messages": [*ASK, {"role": "assistant", "content": [{"toolUse": USE}]}]}, "toolConfig field must be"),
        (
            {
                "messages": [*ASK, {"role": "assistant", "content": [{"text": "I look."}, {"toolUse": USE}]}],
                "toolConfig": TOOLS,
            },
            "same turn",
        ),
        (
            {"messages": [*ASK, {"role": "assistant", "content": [{"toolUse": {**USE, "toolUseId": "a b"}}]}]},
            "regular expression",
        ),
        ({"messages": [{"role": "user", "content": [{"text": "llama " * 9000}]}]}, "maximum context length"),
    ],
)
def test_what_bedrock_does_not_take_is_a_validation_error(
    ask: Callable[..., Any], body: dict[str, Any], words: str
) -> None:
    status, code, said = refused(ask, converse(**body))
    assert (status, code) == (400, "ValidationException")
    assert words in said


def test_llama_has_no_tools_in_a_stream(ask: Callable[..., Any]) -> None:
    said = refused(ask, streamed(modelId=LLAMA4, toolConfig=TOOLS))
    assert said == (400, "ValidationException", "This model doesn't support tool use in streaming mode.")


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (403, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (408, "ModelTimeoutException"),
        (424, "ModelErrorException"),
        (429, "ThrottlingException"),
        (500, "InternalServerException"),
        (503, "ServiceUnavailableException"),
    ],
)
def test_an_error_has_the_name_that_the_sdk_reads(ask: Callable[..., Any], status: int, code: str) -> None:
    assert refused(ask, converse(), Refuse(status))[:2] == (status, code)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "validationException"),
        (424, "modelStreamErrorException"),
        (429, "throttlingException"),
        (500, "internalServerException"),
        (503, "serviceUnavailableException"),
    ],
)
def test_an_exception_in_a_stream_raises_in_the_sdk(ask: Callable[..., Any], status: int, code: str) -> None:
    with pytest.raises(EventStreamError) as caught:
        ask(streamed(), ErrorEvent(after_chunks=2, status=status, message="that was it"))
    assert caught.value.response["Error"] == {"Code": code, "Message": "that was it"}


def test_a_wrong_checksum_is_seen_by_the_sdk(ask: Callable[..., Any]) -> None:
    with pytest.raises(ChecksumMismatch):
        ask(streamed(), BadChecksum(after_chunks=2))


def test_a_stream_that_is_cut_inside_an_event_raises_in_the_sdk(ask: Callable[..., Any]) -> None:
    with pytest.raises(Exception, match="ended prematurely"):
        ask(streamed(), Cut(after_bytes=200))


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"secret": "wrong"}, "InvalidSignatureException"),
        ({"access": "AKIANOBODY0000000000"}, "UnrecognizedClientException"),
    ],
)
def test_a_wrong_signature_is_refused(ask: Callable[..., Any], keys: dict[str, str], code: str) -> None:
    said = refused(ask, lambda url: client(url, **keys).converse(modelId=MODEL, messages=ASK))
    assert said[:2] == (403, code)


@pytest.mark.parametrize(("minutes", "words"), [(6, "Signature expired"), (-6, "Signature not yet current")])
def test_a_signature_of_another_time_is_refused(ask: Callable[..., Any], minutes: int, words: str) -> None:
    status, code, said = refused(ask, converse(), clock=lambda: time.time() + 60 * minutes)
    assert (status, code) == (403, "InvalidSignatureException")
    assert said.startswith(words) and "5 min." in said


def test_a_clock_a_little_wrong_is_not_minded(ask: Callable[..., Any]) -> None:
    assert ask(converse(), clock=lambda: time.time() + 240)["usage"]


def test_the_models_of_meta_are_listed(ask: Callable[..., Any]) -> None:
    listed = ask(lambda url: client(url, "bedrock").list_foundation_models(byProvider="meta"))["modelSummaries"]
    assert {row["modelId"] for row in listed} == {model.removeprefix("us.") for model in MODELS}


@pytest.mark.parametrize(("key", "status"), [(KEY, 200), ("nobodys", 403), (None, 403)])
@pytest.mark.asyncio
async def test_the_bearer_key_opens_it_too(llama_url: str, key: str | None, status: int) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    async with Served(bedrock.app(llama_url)) as served, httpx.AsyncClient(base_url=served.url) as http:
        answer = await http.post(f"/model/{MODEL}/converse", json={"messages": ASK}, headers=headers)
    assert answer.status_code == status
    assert answer.headers["x-amzn-requestid"]
    assert ("x-amzn-errortype" in answer.headers) is (status != 200)


@pytest.mark.asyncio
async def test_a_body_that_is_no_json_is_a_serialization_error(llama_url: str) -> None:
    headers = {"authorization": f"Bearer {KEY}"}
    async with Served(bedrock.app(llama_url)) as served, httpx.AsyncClient(base_url=served.url) as http:
        answer = await http.post(f"/model/{MODEL}/converse", content=b"{", headers=headers)
    assert (answer.status_code, answer.headers["x-amzn-errortype"].partition(":")[0]) == (400, "SerializationException")
