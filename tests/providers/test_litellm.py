"""What the provider over litellm must get right: what reaches the library, what it makes up, what it raises."""

import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.demo.standins import vllm
from gateway.demo.standins.faults import ErrorEvent, Refuse
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from gateway.errors import (
    BadCredentials,
    ContextExceeded,
    InvalidResponse,
    ModelGone,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Refused,
    Rejected,
    ServerFault,
    Unreachable,
    UpstreamError,
)
from gateway.providers.finish import Endings
from gateway.providers.litellm_sdk import FIELDS, LiteLlm, allowed, load
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, Deployment

from .asking import LONG, asked, chunks_of, error_of, question
from .upstreams import Link

ROOT = Path(__file__).parents[2]
MODEL = f"hosted_vllm/{vllm.MODELS[0]}"
WISHES = frozenset({"seed", "user"})
SETTINGS = {"model", "timeout", "num_retries", "max_retries", "no-log", "caching", "api_base", "api_key"}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}

# Fields that the library takes as settings of its transport, or acts upon.
TAKEN = (
    *("api_base", "base_url", "api_key", "api_version", "extra_headers", "headers", "custom_llm_provider", "client"),
    *("organization", "user_config", "model_list", "fallbacks", "context_window_fallbacks", "mock_response", "proxy"),
    *("aws_bedrock_runtime_endpoint", "aws_role_name", "vertex_credentials", "azure_ad_token", "ssl_verify"),
    *("metadata", "litellm_params", "callbacks", "success_callback", "prompt_id", "mcp_servers", "extra_body"),
)


def deployment(model: str = MODEL) -> Deployment:
    return Deployment("main/llama", "main", "llama", model, "litellm", "hosted")


def provider(**backend: Any) -> LiteLlm:
    made = {"name": "main", "kind": "litellm", "url": "http://host/v1", "api_key": KEY, **backend}
    found = LiteLlm(Backend(**made), PooledTransport(keepalive=3))
    found.library = load()
    return found


def arguments(made: LiteLlm | None = None, model: str = MODEL, stream: bool = False, **body: Any) -> dict[str, Any]:
    return (made or provider()).arguments(question(stream, **body), deployment(model))


def keys(value: object) -> set[str]:
    """All keys at any depth."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return set().union(value if isinstance(value, dict) else (), *(keys(one) for one in inner))


def printed(program: str) -> list[str]:
    """What a program prints in a Python of its own."""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_library_is_not_imported_with_its_provider_or_any_other() -> None:
    program = (
        "import sys, gateway.app, gateway.cli.main\n"
        "from gateway.providers.pool import ProviderPool\n"
        "from gateway.providers.registry import KINDS, provider_class\n"
        "from gateway.types import Backend\n"
        "for kind in KINDS: provider_class(kind)\n"
        "ProviderPool().of(Backend('main', 'litellm', ''))\n"
        "print('litellm' in sys.modules, 'openai' in sys.modules)"
    )
    assert printed(program) == ["False", "False"]


def test_loading_the_library_opens_no_connection_and_leaves_nothing_that_reports() -> None:
    program = (
        "import socket, sys\n"
        "def closed(*_, **__): print('network'); raise OSError('closed')\n"
        "socket.getaddrinfo = socket.socket.connect = socket.socket.connect_ex = closed\n"
        "from gateway.providers.litellm_sdk import CALLBACKS, load\n"
        "library = load()\n"
        "print(library.telemetry, [one for name in CALLBACKS for one in getattr(library, name, [])])"
    )
    assert printed(program) == ["False", "[]"]


def test_only_fields_that_are_allowed_become_arguments() -> None:
    evil: dict[str, Any] = dict.fromkeys(TAKEN, "http://evil")
    found = arguments(**evil)
    assert found.keys() == {"messages", "seed", "max_tokens"} | SETTINGS
    assert (found["api_base"], found["api_key"]) == ("http://host/v1", KEY)
    assert (found["num_retries"], found["max_retries"]) == (0, 0)


def test_a_field_that_is_allowed_holds_nothing_else() -> None:
    evil = dict.fromkeys(TAKEN, "http://evil")
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", **evil}, **evil}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}", **evil}, **evil}
    found = arguments(
        messages=[
            {"role": "user", "content": [{"type": "text", "text": "hello", **evil}, picture], **evil},
            {"role": "assistant", "content": None, "tool_calls": [call], **evil},
        ],
        tools=[{**TOOL, **evil}],
        tool_choice={"type": "function", "function": {"name": "weather", **evil}, **evil},
        response_format={"type": "json_schema", "json_schema": {"name": "a", "schema": {}, **evil}, **evil},
        stop=["a", evil],
        user=evil,
        temperature=evil,
    )
    assert not keys({name: value for name, value in found.items() if name in FIELDS}) & set(TAKEN)
    assert found["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,AAAA"},
    }
    assert found["messages"][1] == {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
    }
    assert found["stop"] == ["a"]
    assert "user" not in found and "temperature" not in found


@pytest.mark.parametrize("image", ["http://evil/a.png", {"url": "http://evil/a.png"}, {"url": "file:///etc/passwd"}])
def test_the_library_is_not_sent_out_for_images(image: object) -> None:
    found = arguments(messages=[{"role": "user", "content": [{"type": "image_url", "image_url": image}]}])
    assert "evil" not in str(found) and "passwd" not in str(found)


@pytest.mark.parametrize("tool", [{"type": "mcp", "server_url": "litellm_proxy"}, {"type": "web_search"}, {}])
def test_the_library_acts_upon_no_tool(tool: dict[str, str]) -> None:
    with pytest.raises(Rejected, match="takes tools of type `function` only"):
        arguments(tools=[tool])


names = st.sampled_from([*TAKEN, *FIELDS, "role", "content", "url", "function", "type", "image_url", "tool_calls"])
junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.just("http://evil")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(names, inner, max_size=4)),
    max_leaves=12,
)


@given(st.dictionaries(names, junk, max_size=6))
@settings(max_examples=300)
def test_no_body_brings_a_setting_of_the_transport(body: dict[str, Any]) -> None:
    found = allowed(body, WISHES)
    assert found.keys() <= FIELDS.keys()
    assert not keys(found) & set(TAKEN)


@pytest.mark.asyncio
async def test_nobody_but_the_backend_is_connected_to(llama_url: str) -> None:
    elsewhere, script = Script(), Script()
    async with (
        Served(vllm.app(llama_url, script=elsewhere)) as trap,
        Served(vllm.app(llama_url, key=KEY, script=script)) as served,
    ):
        evil: dict[str, Any] = {**dict.fromkeys(TAKEN, trap.url), "api_key": "stolen", "extra_headers": {"x-evil": "1"}}
        content = [{"type": "text", "text": "hello", **evil}]
        request = question(messages=[{"role": "user", "content": content, **evil}], tools=[{**TOOL, **evil}], **evil)
        made = provider(url=f"{served.url}/v1")
        assert await chunks_of(Link(made, deployment(), script), request)
    assert elsewhere.requests == []
    (seen,) = script.requests
    assert seen.headers["authorization"] == f"Bearer {KEY}" and "x-evil" not in seen.headers
    assert seen.json.keys() <= {"model", "messages", "tools", "seed", "max_tokens", "stream"}
    assert trap.url not in seen.body.decode()


def test_a_stream_asks_for_usage_and_the_newer_name_of_max_tokens_is_known() -> None:
    found = arguments(stream=True, max_completion_tokens=7)
    assert found["stream"] is True and found["stream_options"] == {"include_usage": True}
    assert found["max_tokens"] == 7 and "max_completion_tokens" not in found


def test_a_wish_that_the_host_does_not_know_is_left_out_and_anything_else_is_not() -> None:
    found = arguments(model="replicate/meta/meta-llama-3-8b", user="u", presence_penalty=1, logprobs=True)
    assert "user" not in found and "presence_penalty" not in found
    assert found["seed"] == 3 and found["logprobs"] is True


def test_without_address_and_key_the_library_finds_its_own() -> None:
    assert not arguments(provider(url="", api_key=None)).keys() & {"api_base", "api_key", "extra_headers"}
    assert arguments(provider(headers={"x-team": "search"}))["extra_headers"] == {"x-team": "search"}


def test_an_end_that_the_library_makes_up_is_none() -> None:
    body = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    cut = SimpleNamespace(received_finish_reason=None, chunks=[])
    whole = SimpleNamespace(received_finish_reason="stop", chunks=[])
    assert (
        provider().piece(orjson.loads(orjson.dumps(body)), cut, Endings("main")).body["choices"][0]["finish_reason"]
        is None
    )
    assert provider().piece(body, whole, Endings("main")).body["choices"][0]["finish_reason"] == "stop"


@pytest.mark.asyncio
async def test_what_the_library_adds_is_not_passed_on(llama_url: str) -> None:
    (whole,), _ = await asked("litellm", llama_url, question())
    streamed, _ = await asked("litellm", llama_url, question(stream=True))
    for chunk in (whole, *streamed):
        assert chunk.body.keys() <= {"id", "object", "created", "model", "choices", "usage"}
        assert all(choice.keys() <= {"index", "finish_reason", "message", "delta"} for choice in chunk.body["choices"])


@pytest.mark.parametrize("body", [{}, {"choices": []}])
def test_an_answer_without_choices_is_invalid(body: dict[str, Any]) -> None:
    with pytest.raises(InvalidResponse):
        provider().whole(body)


def raised(name: str, message: str = "no", **more: Any) -> Exception:
    """An exception of the library."""
    made: Exception = getattr(load(), name)(message=message, llm_provider="azure", model="azure/x", **more)
    return made


@pytest.mark.parametrize(
    ("name", "more", "meaning"),
    [
        ("AuthenticationError", {}, BadCredentials),
        ("NotFoundError", {}, ModelGone),
        ("BadRequestError", {}, Rejected),
        ("Timeout", {}, ServerFault),
        ("RateLimitError", {}, RateLimited),
        ("ContextWindowExceededError", {}, ContextExceeded),
        ("ContentPolicyViolationError", {}, Refused),
        ("ServiceUnavailableError", {}, Overloaded),
        ("InternalServerError", {}, ServerFault),
        ("APIConnectionError", {}, ServerFault),
        ("UnsupportedParamsError", {}, Rejected),
        ("APIError", {"status_code": 402}, QuotaExhausted),
        ("APIError", {"status_code": 502}, ServerFault),
    ],
)
def test_an_exception_of_the_library_has_its_meaning(
    name: str, more: dict[str, Any], meaning: type[UpstreamError]
) -> None:
    found = provider().meaning(raised(name, f"{KEY} at https://host.example/v1?key=abc", **more), MODEL)
    assert type(found) is meaning
    assert KEY not in found.message and "host.example" not in found.message


def test_what_a_host_cannot_do_another_may() -> None:
    assert provider().meaning(raised("UnsupportedParamsError"), MODEL).elsewhere
    assert not provider().meaning(raised("BadRequestError"), MODEL).elsewhere


def test_what_the_library_itself_gets_wrong_counts_as_the_hosts_fault() -> None:
    assert type(provider().meaning(KeyError("usage"), MODEL)) is ServerFault


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_does_not_fit_may_fit_elsewhere(llama_url: str, stream: bool) -> None:
    assert type(await error_of("litellm", llama_url, question(stream, messages=LONG))) is ContextExceeded


@pytest.mark.asyncio
async def test_an_error_inside_of_a_stream_keeps_its_meaning(llama_url: str) -> None:
    fault = ErrorEvent(after_chunks=0, status=503)
    error = await error_of("litellm", llama_url, question(stream=True), fault)
    assert isinstance(error, Overloaded | ServerFault)


@pytest.mark.asyncio
async def test_a_failure_is_not_tried_again_by_the_library(llama_url: str) -> None:
    script = Script(otherwise=Refuse(500))
    async with Served(vllm.app(llama_url, script=script)) as served:
        for stream in (False, True):
            with pytest.raises(ServerFault):
                await chunks_of(Link(provider(url=f"{served.url}/v1"), deployment(), script), question(stream))
    assert len(script.requests) == 2


@pytest.mark.asyncio
async def test_where_nobody_listens_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    link = Link(provider(url=f"http://127.0.0.1:{port}/v1"), deployment(), Script())
    with pytest.raises(Unreachable, match=r"^Backend 'main' cannot be reached\.$"):
        await chunks_of(link, question())


@pytest.mark.asyncio
async def test_openais_own_client_in_the_library_serves_too(llama_url: str) -> None:
    script = Script()
    async with Served(vllm.app(llama_url, key=KEY, script=script)) as served:
        link = Link(provider(url=f"{served.url}/v1"), deployment(f"openai/{vllm.MODELS[0]}"), script)
        (whole,) = await chunks_of(link, question())
        streamed = await chunks_of(link, question(stream=True))
    text = "".join(choice["delta"].get("content") or "" for chunk in streamed for choice in chunk.body["choices"])
    assert whole.body["choices"][0]["message"]["content"] == text != ""


@pytest.mark.asyncio
async def test_it_lists_no_models() -> None:
    assert await provider().models() == []


@pytest.mark.asyncio
async def test_a_model_string_without_a_host_is_a_model_that_is_not_there(llama_url: str) -> None:
    error = await error_of("litellm", llama_url, question(), model="nope")
    assert type(error) is ModelGone
    assert error.message == "Backend 'main' does not serve the model 'nope': it names no provider that litellm knows."
