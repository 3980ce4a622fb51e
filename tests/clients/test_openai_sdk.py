"""OpenAI's Python SDK, unmodified, against the whole gateway."""

import json
from typing import Any

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from gateway.demo.standins.faults import Cut, ErrorEvent, Malformed, Refuse, Silent, html_502
from tests.world import KEY, LIMITED, SECRET, SMALL, World

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "What does a gateway do?"}]
WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}},
    "required": ["city"],
    "additionalProperties": False,
}


def streamed(client: openai.OpenAI, model: str, **more: Any) -> tuple[str, Any]:
    """A streamed answer: its text, and its last chunk."""
    text, last = "", None
    for chunk in client.chat.completions.create(model=model, messages=HELLO, stream=True, seed=7, **more):
        last = chunk
        if chunk.choices:
            text += chunk.choices[0].delta.content or ""
    return text, last


def test_a_plain_answer_comes_with_text_usage_and_a_finish_reason(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=HELLO)
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens > 0


def test_the_response_headers_say_who_answered_and_why(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="auto", messages=HELLO)
    headers = raw.headers
    assert headers["x-gateway-route"] == "auto"
    assert headers["x-gateway-model"] == SMALL
    assert headers["x-gateway-backend"] == "small"
    assert headers["x-gateway-attempts"] == "1"
    assert headers["x-gateway-cache"] == "bypass"
    assert headers["x-gateway-reason"]
    assert len(headers["x-gateway-policy"]) == 12
    assert headers["x-request-id"].startswith("req_")
    usage = raw.parse().usage
    assert usage is not None
    cost = (usage.prompt_tokens * 1 + usage.completion_tokens * 2) / 1e6
    assert float(headers["x-gateway-cost-usd"]) == pytest.approx(cost, abs=1e-8)


def test_a_stream_gives_the_same_text_as_the_plain_answer(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(model="auto", messages=HELLO, seed=7)
    assert streamed(client, "auto")[0] == plain.choices[0].message.content


def test_a_stream_shows_usage_and_cost_only_when_asked(client: openai.OpenAI) -> None:
    _, last = streamed(client, "auto")
    assert last.choices and last.usage is None
    _, last = streamed(client, "auto", stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.cost == pytest.approx((last.usage.prompt_tokens + 2 * last.usage.completion_tokens) / 1e6)


def test_a_required_tool_is_called_with_json(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=HELLO, tools=[WEATHER], tool_choice="required")
    call = (answer.choices[0].message.tool_calls or [])[0]
    assert call.type == "function" and call.function.name == "weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


def test_a_named_tool_is_called_in_a_stream(client: openai.OpenAI) -> None:
    arguments = ""
    for chunk in client.chat.completions.create(
        model="auto",
        messages=HELLO,
        tools=[WEATHER],
        stream=True,
        tool_choice={"type": "function", "function": {"name": "weather"}},
    ):
        for call in chunk.choices[0].delta.tool_calls or [] if chunk.choices else []:
            if call.index == 0 and call.function is not None:
                arguments += call.function.arguments or ""
    assert "city" in json.loads(arguments)


def test_a_json_schema_is_kept(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="auto",
        messages=HELLO,
        max_tokens=200,
        response_format={"type": "json_schema", "json_schema": {"name": "city", "schema": CITY}},
    )
    assert set(json.loads(answer.choices[0].message.content or "")) == {"city"}


def test_logprobs_come_through(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=HELLO, logprobs=True, top_logprobs=2, max_tokens=3)
    logprobs = answer.choices[0].logprobs
    assert logprobs is not None and logprobs.content and len(logprobs.content[0].top_logprobs) == 2


def test_unknown_fields_reach_the_backend(client: openai.OpenAI) -> None:
    # llama.cpp's own `grammar`: it decides what can be said at all, so it must have arrived.
    answer = client.chat.completions.create(
        model="auto", messages=HELLO, max_tokens=8, extra_body={"grammar": 'root ::= "llama"'}
    )
    assert answer.choices[0].message.content == "llama"


def test_a_model_by_its_own_name_needs_no_route(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="llama-3.3-70b-instruct", messages=HELLO)
    assert (raw.headers["x-gateway-route"], raw.headers["x-gateway-backend"]) == ("default", "large")


def test_any_spelling_of_a_model_will_do(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model="meta-llama/Llama-3.3-70B-Instruct", messages=HELLO)
    assert raw.headers["x-gateway-model"] == "llama-3.3-70b-instruct"


def test_the_models_are_listed_and_found_one_by_one(client: openai.OpenAI) -> None:
    names = {model.id for model in client.models.list()}
    assert {"auto", "failover", SMALL, "llama-3.3-70b-instruct"} <= names
    assert client.models.retrieve(SMALL).owned_by == "llama-gateway"
    assert client.models.retrieve("meta-llama/Llama-3.3-70B-Instruct").id == "llama-3.3-70b-instruct"
    with pytest.raises(openai.NotFoundError, match=r"Did you mean 'llama-3\.3-70b-instruct'"):
        client.models.retrieve("llama-3.3-70b-instrukt")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("no/such/model")


def test_a_listed_model_has_facts_beside_what_the_sdk_knows(client: openai.OpenAI) -> None:
    facts: Any = client.models.retrieve(SMALL).model_extra
    assert (facts["family"], facts["size_billions"], facts["active_billions"]) == ("llama", 8, 8)
    assert [(one["id"], one["built_with"]) for one in facts["licences"]] == [("llama3.1", "Built with Llama")]
    assert any("Built with Llama" in sentence for sentence in facts["licences"][0]["asks"])
    assert facts["languages"] == ["de", "en", "es", "fr", "hi", "it", "pt", "th"]
    assert facts["prices"]["small"] == {"input": 1, "output": 2}
    assert (facts["base"], facts["successor"], facts["retires"]) == (None, None, {})


def test_an_answer_names_its_licence_where_the_policy_wants_it(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(model=SMALL, messages=HELLO)
    assert raw.headers["x-gateway-licence"] == 'llama3.1; built-with="Built with Llama"'


@pytest.mark.parametrize("stream", [False, True])
def test_a_dead_and_a_failing_backend_are_passed_over(client: openai.OpenAI, whole: World, stream: bool) -> None:
    whole.script.add(Refuse(500))
    raw = client.chat.completions.with_raw_response.create(model="failover", messages=HELLO, stream=stream)
    raw.http_response.read()
    assert raw.headers["x-gateway-backend"] == "small"
    assert raw.headers["x-gateway-attempts"] == "3"
    assert "closed/" in raw.headers["x-gateway-reason"] and "shaky/" in raw.headers["x-gateway-reason"]


def test_a_silent_backend_is_left_before_its_first_word(client: openai.OpenAI, whole: World) -> None:
    whole.script.add(Silent(after_chunks=0))
    raw = client.chat.completions.with_raw_response.create(model="shaky-first", messages=HELLO, stream=True)
    assert raw.headers["x-gateway-backend"] == "small"


def test_a_stream_that_breaks_ends_with_an_error_and_is_never_taken_for_whole(
    client: openai.OpenAI, whole: World
) -> None:
    whole.script.add(Cut(after_bytes=600))
    got = ""
    with pytest.raises(openai.APIError) as caught:
        for chunk in client.chat.completions.create(model="shaky-first", messages=HELLO, stream=True):
            got += chunk.choices[0].delta.content or ""
    assert got
    assert "shaky" in str(caught.value) or "upstream" in str(caught.value)


def test_one_malformed_event_does_not_end_the_stream(client: openai.OpenAI, whole: World) -> None:
    plain, _ = streamed(client, SMALL)
    whole.script.add(Malformed(after_chunks=3))
    text, last = streamed(client, "trouble-0")
    assert text.split()[:2] == plain.split()[:2] and text.endswith(plain[-5:])
    assert last.choices[0].finish_reason == "stop"


def test_an_error_event_before_content_moves_on(client: openai.OpenAI, whole: World) -> None:
    whole.script.add(ErrorEvent(after_chunks=0))
    raw = client.chat.completions.with_raw_response.create(model="shaky-first", messages=HELLO, stream=True)
    assert raw.headers["x-gateway-backend"] == "small"


@pytest.mark.parametrize(
    ("place", "fault", "error", "status"),
    [
        (1, Refuse(429, {"retry-after": "30"}), openai.RateLimitError, 429),
        (2, Refuse(503), openai.InternalServerError, 503),
        (3, html_502(), openai.InternalServerError, 502),
        (4, Refuse(401), openai.InternalServerError, 502),
        (5, Refuse(422), openai.UnprocessableEntityError, 422),
    ],
)
def test_what_no_backend_can_answer_is_an_error_of_its_own_kind(
    client: openai.OpenAI, whole: World, place: int, fault: Refuse, error: type[openai.APIStatusError], status: int
) -> None:
    whole.script.add(fault)
    with pytest.raises(error) as caught:
        client.chat.completions.create(model=f"trouble-{place}", messages=HELLO)
    assert caught.value.status_code == status
    assert SECRET not in str(caught.value)
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_wrong_key_is_refused_in_one_uniform_way(whole: World) -> None:
    for key in ("wrong", KEY[:-1], KEY + "x", "\u00fc"):
        headers = {b"authorization": f"Bearer {key}".encode()}
        answer = httpx.post(f"{whole.gateway.data}/v1/chat/completions", headers=headers, content=b"not even json")
        assert answer.status_code == 401
        assert answer.json()["error"]["code"] == "invalid_api_key"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{whole.gateway.data}/v1", api_key="wrong", max_retries=0).models.list()


def test_a_caller_may_use_its_own_routes_only(whole: World) -> None:
    client = openai.OpenAI(base_url=f"{whole.gateway.data}/v1", api_key=LIMITED, max_retries=0)
    assert client.chat.completions.create(model="auto", messages=HELLO).choices
    assert {model.id for model in client.models.list()} == {"auto"}
    with pytest.raises(openai.PermissionDeniedError):
        client.chat.completions.create(model="failover", messages=HELLO)


def test_an_unknown_model_is_told_with_the_nearest_names(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="llama-3.1-8b-instrcut", messages=HELLO)
    body: Any = caught.value.body
    assert caught.value.code == "model_not_found"
    assert SMALL in body["message"]
    assert {row["route"] for row in body["gateway"]["routes"]} >= {"auto", "failover"}


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"n": 5}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "no role"}]}, "messages[0]"),
    ],
)
def test_a_wrong_field_is_named(client: openai.OpenAI, change: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "auto", "messages": HELLO, **change})
    assert caught.value.param == param


def test_a_prompt_that_fits_nowhere_is_refused_before_it_is_sent(client: openai.OpenAI) -> None:
    long: list[ChatCompletionMessageParam] = [{"role": "user", "content": "llama " * 200_000}]
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="llama-3.3-70b-instruct", messages=long)
    assert caught.value.code == "context_length_exceeded"


def test_a_repeated_request_is_answered_from_the_cache(client: openai.OpenAI) -> None:
    ask = client.chat.completions.with_raw_response.create
    messages: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Say it once."}]
    first = ask(model="cached", messages=messages)
    second = ask(model="cached", messages=messages)
    assert (first.headers["x-gateway-cache"], second.headers["x-gateway-cache"]) == ("miss", "hit")
    assert second.headers["x-gateway-cost-usd"] == "0"
    assert first.parse().choices[0].message == second.parse().choices[0].message
    fresh = ask(model="cached", messages=messages, extra_headers={"cache-control": "no-cache"})
    assert fresh.headers["x-gateway-cache"] == "bypass"


def test_a_cached_stream_is_replayed_as_a_stream(client: openai.OpenAI) -> None:
    first, _ = streamed(client, "cached")
    raw = client.chat.completions.with_raw_response.create(model="cached", messages=HELLO, stream=True, seed=7)
    assert raw.headers["x-gateway-cache"] == "hit"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices) == first


def test_only_if_cached_asks_nobody(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(
            model="cached",
            messages=[{"role": "user", "content": "never asked before"}],
            extra_headers={"cache-control": "only-if-cached"},
        )
    assert caught.value.status_code == 504 and caught.value.code == "not_cached"
