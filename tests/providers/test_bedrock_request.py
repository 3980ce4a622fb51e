"""OpenAI's chats in Converse's words, judged by botocore's own description of the service."""

import base64
from typing import Any

import orjson
import pytest
from botocore.loaders import Loader  # type: ignore[import-untyped]  # botocore has no types
from botocore.model import ServiceModel  # type: ignore[import-untyped]  # the same
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.standins.bedrock import MODELS, Form, check_rules
from gateway.errors import Rejected
from gateway.providers.bedrock_answer import completion
from gateway.providers.bedrock_request import converse_body, profile_id, tool_id
from gateway.types import ChatRequest, Deployment

LLAMA, OTHER = MODELS[-1], "mistral.mistral-large-2407-v1:0"
ASK = [{"role": "user", "content": "Hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"type": "function", "function": {"name": "weather", "description": "The weather", "parameters": SCHEMA}}
TIME = {"type": "function", "function": {"name": "time", "parameters": {}}}
PIXEL = "iVBORw0KGgo="
FORM = Form("bedrock-runtime")

NAMES = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
IDS = st.from_regex(r"[a-zA-Z0-9_.:-]{1,64}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
CALLS = st.lists(st.tuples(IDS, NAMES, st.dictionaries(TEXT, JSON, max_size=4)), min_size=1, max_size=4)


def sent(messages: Any = ASK, model: str = LLAMA, **body: Any) -> dict[str, Any]:
    """The body sent, which fits the service's description."""
    request = ChatRequest("r1", "llama", {"model": "llama", "messages": messages, **body})
    made = converse_body(request, Deployment("main/llama", "main", "llama", model, "bedrock", "hosted"))
    FORM.check("ConverseRequest", {**made, "modelId": model})
    return made


def refused(messages: Any = ASK, **body: Any) -> str:
    with pytest.raises(Rejected) as caught:
        sent(messages, **body)
    assert caught.value.elsewhere
    return str(caught.value)


def call(name: str = "weather", arguments: str = '{"city": "Lima"}', id: object = "call_1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(role: str, content: Any, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


CALLED = said("assistant", None, tool_calls=[call()])
RESULT = said("tool", "mild", tool_call_id="call_1")


def test_the_tests_judge_is_of_the_service() -> None:
    model = ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))
    assert {"Converse", "ConverseStream"} <= set(model.operation_names)


def test_system_messages_are_kept_apart_wherever_they_are() -> None:
    body = sent([said("system", "Be brief."), *ASK, said("developer", [{"type": "text", "text": "Be kind."}])])
    assert body["system"] == [{"text": "Be brief."}, {"text": "Be kind."}]
    assert body["messages"] == [{"role": "user", "content": [{"text": "Hello"}]}]


def test_turns_alternate() -> None:
    body = sent([*ASK, said("user", "You?"), said("assistant", "Hi"), said("assistant", ""), said("user", "So?")])
    assert [(turn["role"], [block["text"] for block in turn["content"]]) for turn in body["messages"]] == [
        ("user", ["Hello", "You?"]), ("assistant", ["Hi"]), ("user", ["So?"]),
    ]  # fmt: skip


@pytest.mark.parametrize("messages", [[], [said("system", "x")], [said("assistant", "Hi"), *ASK], [said("user", " ")]])
def test_a_conversation_that_no_user_begins_is_for_others(messages: Any) -> None:
    assert "does not begin with a user's message" in refused(messages)


@pytest.mark.parametrize("about", ["png", "jpeg", "jpg", "gif", "webp", "PNG"])
def test_images_come_as_their_bytes(about: str) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/{about};base64,{PIXEL}"}}
    (turn,) = sent([said("user", [{"type": "text", "text": "What?"}, image])])["messages"]
    format = about.lower().replace("jpg", "jpeg")
    assert turn["content"] == [{"text": "What?"}, {"image": {"format": format, "source": {"bytes": PIXEL}}}]


def test_an_image_that_is_not_in_base64_is_put_in_it() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png,%89PNG"}}
    (turn,) = sent([said("user", [image])])["messages"]
    assert base64.b64decode(turn["content"][0]["image"]["source"]["bytes"]) == b"\x89PNG"


@pytest.mark.parametrize("url", ["https://example.org/a.png", "data:image/tiff;base64,AA==", "data:text/plain,x", 7])
def test_other_images_are_for_others(url: Any) -> None:
    assert "cannot be sent an image" in refused([said("user", [{"type": "image_url", "image_url": {"url": url}}])])


def test_other_parts_are_for_others() -> None:
    assert "'input_audio'" in refused([said("user", [{"type": "input_audio"}])])


def test_sampling_has_bedrocks_names_and_no_more_than_it_knows() -> None:
    body = sent(max_tokens=9, temperature=0, top_p=0.5, stop="END", top_k=3, seed=1, logit_bias={}, frequency_penalty=1)
    assert body.keys() == {"messages", "inferenceConfig"}
    assert body["inferenceConfig"] == {"maxTokens": 9, "temperature": 0, "topP": 0.5, "stopSequences": ["END"]}
    assert sent(max_tokens=9, max_completion_tokens=7, stop=["a", "b"])["inferenceConfig"] == {
        "maxTokens": 7, "stopSequences": ["a", "b"],
    }  # fmt: skip
    assert "inferenceConfig" not in sent(temperature=None, stop=[])


def test_a_temperature_above_bedrocks_highest_is_taken_as_that() -> None:
    assert sent(temperature=1.7)["inferenceConfig"] == {"temperature": 1.0}


def test_bedrocks_own_fields_go_along() -> None:
    assert sent(requestMetadata={"team": "search"})["requestMetadata"] == {"team": "search"}


@pytest.mark.parametrize("body", [{"response_format": {"type": "json_object"}}, {"n": 2}])
def test_what_bedrock_has_no_words_for_is_for_others(body: Any) -> None:
    assert "cannot be sent" in refused(**body)
    assert sent(response_format={"type": "text"}, n=1)


def test_tools_have_a_name_a_purpose_and_a_schema_of_an_object() -> None:
    weather, clock = (tool["toolSpec"] for tool in sent(tools=[WEATHER, TIME])["toolConfig"]["tools"])
    assert weather == {"name": "weather", "description": "The weather", "inputSchema": {"json": SCHEMA}}
    assert clock == {"name": "time", "inputSchema": {"json": {"type": "object", "properties": {}}}}
    assert "tool that is not a function" in refused(tools=[{"type": "web_search"}])


@pytest.mark.parametrize(
    ("choice", "llama", "other"),
    [
        ("auto", ["weather", "time"], None),
        ("required", ["weather", "time"], {"any": {}}),
        ({"type": "function", "function": {"name": "time"}}, ["time"], {"tool": {"name": "time"}}),
    ],
)
def test_llama_is_never_forced_to_call_a_tool_and_others_are(choice: Any, llama: list[str], other: Any) -> None:
    config = sent(tools=[WEATHER, TIME], tool_choice=choice)["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == llama and "toolChoice" not in config
    assert sent(model=OTHER, tools=[WEATHER, TIME], tool_choice=choice)["toolConfig"].get("toolChoice") == other


def test_tools_that_must_not_be_called_are_not_offered() -> None:
    assert "toolConfig" not in sent(tools=[WEATHER], tool_choice="none")


def test_calls_and_results_keep_their_ids() -> None:
    body = sent([*ASK, CALLED, RESULT], tools=[WEATHER])
    use, result = (turn["content"][0] for turn in body["messages"][1:])
    assert use == {"toolUse": {"toolUseId": "call_1", "name": "weather", "input": {"city": "Lima"}}}
    assert result == {"toolResult": {"toolUseId": "call_1", "content": [{"text": "mild"}]}}


def test_an_id_that_bedrock_does_not_take_becomes_the_same_other_one_everywhere() -> None:
    calls = said("assistant", None, tool_calls=[call(id="a b"), call(id="x" * 65)])
    results = [said("tool", "", tool_call_id=id) for id in ("a b", "x" * 65)]
    uses, answers = (turn["content"] for turn in sent([*ASK, calls, *results], tools=[WEATHER])["messages"][1:])
    ids = [use["toolUse"]["toolUseId"] for use in uses]
    assert ids == [answer["toolResult"]["toolUseId"] for answer in answers]
    assert ids == [tool_id("a b"), tool_id("x" * 65)] and len(set(ids)) == 2


def test_llama_gets_no_words_beside_calls_or_results() -> None:
    messages = [*ASK, {**CALLED, "content": "I look."}, RESULT, said("user", "And now?")]
    _, calls, results = (turn["content"] for turn in sent(messages, tools=[WEATHER])["messages"])
    assert [block.keys() for block in calls] == [{"toolUse"}]
    (result,) = results
    assert result["toolResult"]["content"] == [{"text": "mild"}, {"text": "And now?"}]
    _, calls, results = (turn["content"] for turn in sent(messages, OTHER, tools=[WEATHER])["messages"])
    assert [block.keys() for block in (*calls, *results)] == [{"text"}, {"toolUse"}, {"toolResult"}, {"text"}]


def test_without_tools_to_offer_calls_and_results_are_told_in_words() -> None:
    never: dict[str, Any] = {"tools": [WEATHER], "tool_choice": "none"}
    for more in ({}, never):
        body = sent([*ASK, CALLED, RESULT], **more)
        assert "toolConfig" not in body
        assert [turn["content"] for turn in body["messages"][1:]] == [
            [{"text": '{"name":"weather","parameters":{"city":"Lima"}}'}],
            [{"text": "Result of weather:"}, {"text": "mild"}],
        ]


@pytest.mark.parametrize("wrong", [call(id=None), call(arguments="[]"), call(arguments="{"), {"id": "x"}, "x"])
def test_a_call_that_is_none_is_for_others(wrong: Any) -> None:
    assert "call" in refused([*ASK, said("assistant", None, tool_calls=[wrong])], tools=[WEATHER])


@given(CALLS)
def test_calls_survive_the_way_to_bedrock_and_back(calls: list[tuple[str, str, dict[str, Any]]]) -> None:
    written = [call(name, orjson.dumps(arguments).decode(), id) for id, name, arguments in calls]
    turn = sent([*ASK, said("assistant", None, tool_calls=written)], tools=[WEATHER])["messages"][1]
    answer = orjson.dumps({"output": {"message": turn}, "stopReason": "tool_use"})
    (choice,) = completion("main", answer, {}).body["choices"]
    assert choice["message"]["tool_calls"] == written
    assert choice["finish_reason"] == "tool_calls"


ROLES = st.sampled_from(["user", "assistant", "system", "tool", "call"])


@given(st.lists(st.tuples(ROLES, st.sampled_from(["", "Hi", "So"])), max_size=8), st.booleans())
def test_every_conversation_that_a_user_begins_fits_llamas_rules(turns: list[tuple[str, str]], tools: bool) -> None:
    messages: list[Any] = [
        {**CALLED, "content": text} if role == "call" else said(role, text, tool_call_id="call_1")
        for role, text in turns
    ]
    offered: dict[str, Any] = {"tools": [WEATHER]} if tools else {}
    body = sent([*ASK, *messages], **offered)
    check_rules(LLAMA, body, streams=False)


@pytest.mark.parametrize(
    ("id", "region", "asked"),
    [
        ("meta.llama3-3-70b-instruct-v1:0", "us-east-1", "us.meta.llama3-3-70b-instruct-v1:0"),
        ("us.meta.llama4-scout-17b-instruct-v1:0", "eu-west-1", "eu.meta.llama4-scout-17b-instruct-v1:0"),
        ("eu.meta.llama3-2-1b-instruct-v1:0", "ap-south-1", "apac.meta.llama3-2-1b-instruct-v1:0"),
        ("meta.llama3-1-8b-instruct-v1:0", "us-gov-west-1", "us-gov.meta.llama3-1-8b-instruct-v1:0"),
        ("us.meta.llama3-1-8b-instruct-v1:0", "us-west-2", "us.meta.llama3-1-8b-instruct-v1:0"),
        ("us.meta.llama3-1-8b-instruct-v1:0", "ca-central-1", "us.meta.llama3-1-8b-instruct-v1:0"),
        ("meta.llama3-1-8b-instruct-v1:0", None, "meta.llama3-1-8b-instruct-v1:0"),
        ("meta.llama3-8b-instruct-v1:0", "us-east-1", "meta.llama3-8b-instruct-v1:0"),
        ("meta.llama3-70b-instruct-v1:0", "us-east-1", "meta.llama3-70b-instruct-v1:0"),
        ("global.meta.llama4-x", "us-east-1", "global.meta.llama4-x"),
        ("arn:aws:bedrock:us-east-1:1:imported-model/x", "eu-west-1", "arn:aws:bedrock:us-east-1:1:imported-model/x"),
    ],
)
def test_a_model_is_asked_for_by_the_profile_of_its_region(id: str, region: str | None, asked: str) -> None:
    assert profile_id(id, region) == asked
