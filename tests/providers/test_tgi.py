"""What only TGI's provider must get right: its errors, its words, a tool's arguments."""

from types import NoneType

import orjson
import pytest

from gateway.demo.standins.faults import ErrorEvent, Refuse
from gateway.errors import ContextExceeded, RateLimited, Rejected, ServerFault
from gateway.providers.tgi import Tgi, TgiDecoder
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, Deployment

from .asking import LONG, asked, ends, error_of, question

TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
TOO_MANY = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 8192. Given: 9000 `inputs` tokens"
DEPLOYMENT = Deployment("main/llama", "main", "llama", "tgi", "tgi", "self_hosted")


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_does_not_fit_may_fit_elsewhere(llama_url: str, stream: bool) -> None:
    assert type(await error_of("tgi", llama_url, question(stream, messages=LONG))) is ContextExceeded


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("status", "meaning"), [(422, Rejected), (424, ServerFault), (429, RateLimited), (500, ServerFault)]
)
async def test_an_error_means_the_same_under_its_status_and_inside_of_a_stream(
    llama_url: str, status: int, meaning: type[Exception]
) -> None:
    assert type(await error_of("tgi", llama_url, question(), Refuse(status))) is meaning
    fault = ErrorEvent(after_chunks=0, status=status)
    assert type(await error_of("tgi", llama_url, question(stream=True), fault)) is meaning


@pytest.mark.asyncio
async def test_too_many_tokens_inside_of_a_stream_may_fit_elsewhere(llama_url: str) -> None:
    fault = ErrorEvent(after_chunks=0, status=422, message=TOO_MANY)
    assert type(await error_of("tgi", llama_url, question(stream=True), fault)) is ContextExceeded


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_ended_at_a_stop_string_says_stop(llama_url: str, stream: bool) -> None:
    found, _ = await asked("tgi", llama_url, question(stream, stop=["a"]))
    assert ends(found) == ["stop"]


@pytest.mark.asyncio
async def test_a_tools_arguments_are_text(llama_url: str) -> None:
    (chunk,), _ = await asked("tgi", llama_url, question(tools=[TOOL], tool_choice="required", max_tokens=200))
    calls = chunk.body["choices"][0]["message"]["tool_calls"]
    assert all(isinstance(orjson.loads(call["function"]["arguments"]), dict) for call in calls)


@pytest.mark.asyncio
async def test_any_object_is_a_schema_of_its_own_words(llama_url: str) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    for form, value in (
        ({"type": "json_object"}, {"type": "object"}),
        ({"type": "json_schema", "json_schema": {"name": "place", "schema": schema}}, schema),
    ):
        _, body = await asked("tgi", llama_url, question(response_format=form))
        assert body["response_format"] == {"type": "json_object", "value": value}
    _, body = await asked("tgi", llama_url, question())
    assert "response_format" not in body


def decoder() -> TgiDecoder:
    """A decoder of a stream."""
    return TgiDecoder(Tgi(Backend("main", "tgi", "http://t"), PooledTransport(keepalive=3)), DEPLOYMENT)


@pytest.mark.parametrize(
    ("event", "meaning"),
    [
        ({"error": {"message": TOO_MANY, "http_status_code": 422}}, ContextExceeded),
        ({"error": {"message": "`top_p` must be > 0.0", "http_status_code": 422}}, Rejected),
        ({"error": "Template error: roles must alternate", "error_type": "template_error"}, Rejected),
        ({"error": "Something new", "error_type": "something_new"}, ServerFault),
        ({"error": {"message": ""}}, ServerFault),
        ("error", NoneType),  # no error, but nonsense, of which one piece is passed over
    ],
)
def test_an_error_event_of_any_version_has_its_meaning(event: object, meaning: type[Exception]) -> None:
    reader = decoder()
    assert reader.feed(b"data: " + orjson.dumps(event) + b"\n\n") == []
    assert type(reader.failure) is meaning


@pytest.mark.parametrize(
    "choice", [{"message": None}, {"delta": {"tool_calls": "x"}}, {"delta": {"tool_calls": [None, {"function": 1}]}}]
)
def test_a_choice_of_an_odd_shape_is_left_alone(choice: dict[str, object]) -> None:
    body = {"choices": [choice]}
    (chunk,) = decoder().feed(b"data: " + orjson.dumps(body) + b"\n\n")
    assert chunk.body == body
