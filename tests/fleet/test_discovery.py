"""A look around finds each kind of server by what only it says, in bounded time, and says what it left out."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import httpx
import pytest

from gateway.catalogue import Catalogue
from gateway.demo.fleet import RunningServer
from gateway.demo.standins import groq, ollama, vllm
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.serve import Served
from gateway.fleet.discovery import ADDRESSES, Discovery, Patience, discover
from gateway.fleet.found import FoundModel
from gateway.fleet.httpx_transport import MOST
from tests.fleet.pages import models, page, pages

pytestmark = pytest.mark.asyncio

TODAY = date(2026, 11, 24)
PATIENT = Patience(20, 20)  # a busy machine may be slow, and no test waits this long when all is well
HASTY = Patience(0.05, 0.05)


def nowhere() -> str:
    """An address where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def silent() -> AsyncIterator[str]:
    """A server that accepts and never answers."""
    over = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    over.set()
    server.close()


@asynccontextmanager
async def raw(answer: bytes) -> AsyncIterator[str]:
    """A server that sends the same bytes to whoever asks, then hangs up."""

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(send, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def look(
    catalogue: Catalogue, addresses: dict[str, str], env: dict[str, str] | None = None, patience: Patience = PATIENT
) -> Discovery:
    return await discover(env or {}, catalogue, TODAY, addresses=addresses, patience=patience)


async def test_an_ollama_is_found_with_the_models_on_its_disk(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(ollama.app(llama.url)) as served:
        (found,) = (await look(catalogue, {"ollama": served.url})).found
    assert (found.name, found.kind, found.url, found.location) == ("ollama", "ollama", served.url, "self_hosted")
    assert [(model.canonical, model.id, model.precision) for model in found.models] == [
        ("llama-3.1-8b-instruct", "llama3.1:8b", "q4_k_m"),
        ("llama-3.2-1b-instruct", "llama3.2:1b", "q8_0"),
        ("llama-3-8b-instruct", "llama3:8b", "q4_0"),
    ]
    assert [model.context for model in found.models] == [32768, 32768, 8192]  # never above what a model holds


async def test_ollama_host_wins_over_the_usual_address(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(ollama.app(llama.url)) as served:
        env = {"OLLAMA_HOST": served.url.removeprefix("http://")}
        (found,) = (await look(catalogue, {"ollama": nowhere()}, env)).found
    assert found.url == served.url


async def test_an_ollama_host_with_a_password_is_not_used_and_not_shown(catalogue: Catalogue) -> None:
    discovery = await look(catalogue, {}, {"OLLAMA_HOST": "http://me:hunter2@box"})
    assert discovery.found == ()
    assert "OLLAMA_HOST" in discovery.notes[0]
    assert "hunter2" not in repr(discovery)


async def test_a_vllm_is_found_with_its_context(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(vllm.app(llama.url, models=["meta-llama/Llama-3.1-8B-Instruct"])) as served:
        (found,) = (await look(catalogue, {"vllm": served.url})).found
    assert (found.name, found.kind) == ("vllm", "vllm")
    (model,) = found.models
    assert (model.canonical, model.context, model.known) == ("llama-3.1-8b-instruct", 8192, True)


async def test_a_real_llama_cpp_is_found_with_its_slots_and_the_context_of_each(
    llama: RunningServer, catalogue: Catalogue
) -> None:
    (found,) = (await look(catalogue, {"llama-cpp": llama.url})).found
    assert (found.name, found.kind, found.slots) == ("llama-cpp", "llama_cpp", 3)
    (model,) = found.models
    assert (model.canonical, model.id, model.context) == ("llama-3.1-8b-instruct", "llama-3.1-8b-instruct", 2048)


async def test_an_lm_studio_is_found(catalogue: Catalogue) -> None:
    rows = [
        {
            "id": "llama-3.2-1b-instruct",
            "type": "llm",
            "compatibility_type": "gguf",
            "quantization": "Q4_K_M",
            "state": "not-loaded",
            "max_context_length": 131072,
        },
        {"id": "nomic-embed", "type": "embeddings", "compatibility_type": "gguf", "state": "not-loaded"},
    ]
    async with pages({"/api/v0/models": {"object": "list", "data": rows}}) as served:
        (found,) = (await look(catalogue, {"lmstudio": served.url})).found
    assert (found.name, found.kind, found.location) == ("lmstudio", "lmstudio", "self_hosted")
    assert [(one.canonical, one.precision, one.context) for one in found.models] == [
        ("llama-3.2-1b-instruct", "q4_k_m", 4096)
    ]


async def test_an_ogx_is_found_without_what_it_passes_on(catalogue: Catalogue) -> None:
    rows = [
        {
            "id": f"{provider}/{model}",
            "owned_by": "ogx",
            "custom_metadata": {"model_type": kind, "provider_id": provider},
        }
        for provider, model, kind in (
            ("ollama", "llama3.2:3b", "llm"),
            ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "llm"),
            ("ollama", "all-minilm:l6-v2", "embedding"),
        )
    ]
    async with pages({"/v1/version": {"version": "1.0.0"}, "/v1/models": {"data": rows}}) as served:
        discovery = await look(catalogue, {"ogx": served.url})
    assert [model.canonical for found in discovery.found for model in found.models] == ["llama-3.2-3b-instruct"]
    assert [found.kind for found in discovery.found] == ["ogx"]
    assert "Models of OGX left out: 1" in discovery.notes[0]


async def test_closed_ports_are_nothing_and_no_error(catalogue: Catalogue) -> None:
    assert await look(catalogue, {name: nowhere() for name in ADDRESSES}) == Discovery()


async def test_a_silent_server_holds_nobody_up(catalogue: Catalogue) -> None:
    async with silent() as url, asyncio.timeout(30):
        discovery = await look(catalogue, dict.fromkeys(ADDRESSES, url), patience=HASTY)
    assert discovery == Discovery()


async def test_a_silent_server_does_not_hide_the_others(llama: RunningServer, catalogue: Catalogue) -> None:
    async with silent() as url:
        discovery = await look(catalogue, {"vllm": url, "llama-cpp": llama.url}, patience=Patience(2, 2))
    assert [found.name for found in discovery.found] == ["llama-cpp"]


HTML = b"<html><body>Welcome to nginx!</body></html>"
ODD: list[Any] = [
    HTML,
    b"",
    b"\x00\xff" * 50,
    b"[" * 5000,
    b'{"data": 7, "models": {}, "version": 3}',
    b'{"data": [1, null, {"id": 5, "owned_by": ["vllm"]}], "version": ["x"]}',
]


@pytest.mark.parametrize("body", ODD)
async def test_nonsense_is_nothing(catalogue: Catalogue, body: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body)
    async with raw(head + body) as url:
        discovery = await look(catalogue, dict.fromkeys(ADDRESSES, url))
    assert discovery.found == ()


async def test_what_is_not_http_is_nothing(catalogue: Catalogue) -> None:
    async with raw(b"SSH-2.0-OpenSSH_9.2\r\n") as url:
        assert await look(catalogue, dict.fromkeys(ADDRESSES, url)) == Discovery()


async def test_an_endless_answer_is_cut_off(catalogue: Catalogue) -> None:
    huge = models("meta-llama/Llama-3.1-8B-Instruct", owner="vllm") | {"more": "x" * MOST}
    async with pages({"/version": {"version": "0.32.0"}, "/v1/models": huge}) as served:
        assert await look(catalogue, {"vllm": served.url}) == Discovery()


async def test_a_compressed_answer_is_not_unpacked(catalogue: Catalogue) -> None:
    packed = page(gzip.compress(b"x" * MOST), 200, {"content-encoding": "gzip"})
    async with pages({"/openai/v1/models": packed, "/v1/models": packed}) as served:
        discovery = await look(catalogue, {"vllm": served.url, "groq": served.url}, {"GROQ_API_KEY": "gsk-1"})
    assert discovery.found == ()
    assert "invalid response" in discovery.notes[0]


async def test_a_redirect_is_not_followed(llama: RunningServer, catalogue: Catalogue) -> None:
    away = {path: page("", 307, {"location": f"{llama.url}{path}"}) for path in ("/health", "/props", "/v1/models")}
    async with pages(away) as served:
        assert (await look(catalogue, {"llama-cpp": served.url})).found == ()


async def test_a_gateway_in_the_shape_of_a_server_is_not_adopted(catalogue: Catalogue) -> None:
    version, rows = {"version": "0.32.0"}, models("llama-3.1-8b", owner="vllm")
    for header, name in (
        ("x-gateway-policy", "A gateway"),
        ("x-litellm-version", "LiteLLM"),
        ("x-portkey-trace-id", "Portkey"),
        ("x-olla-endpoint", "Olla"),
    ):
        async with pages({"/version": version, "/v1/models": page(rows, 200, {header: "1"})}) as served:
            discovery = await look(catalogue, {"vllm": served.url})
        assert discovery.found == ()
        assert discovery.notes[0].startswith(f"{name} answers at {served.url}")


async def test_our_own_gateway_is_not_taken_for_the_ollama_it_imitates(catalogue: Catalogue) -> None:
    own = {
        "/": "Ollama is running",
        "/api/version": {"version": "0.33.0"},
        "/api/tags": {"models": [{"name": "llama3.1:8b"}]},
        "/v1/models": models("llama-3.1-8b-instruct", owner="llama-gateway"),
    }
    async with pages(own) as served:
        discovery = await look(catalogue, {"ollama": served.url})
    assert discovery.found == ()
    assert "A Llama Gateway answers" in discovery.notes[0]


async def test_a_server_that_only_speaks_openais_api_is_left_alone_with_a_hint(catalogue: Catalogue) -> None:
    async with pages({"/v1/models": models("llama-3.1-8b-instruct")}) as served:
        discovery = await look(catalogue, {"vllm": served.url})
    assert discovery.found == ()
    assert "not known to be vLLM" in discovery.notes[0]


async def test_a_vllm_that_wants_a_key_is_noted(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(vllm.app(llama.url, key="local-secret")) as served:
        discovery = await look(catalogue, {"vllm": served.url})
    assert discovery.found == ()
    assert "wants a key" in discovery.notes[0]


async def test_an_ollama_without_models_is_noted(catalogue: Catalogue) -> None:
    bare = {"/": "Ollama is running", "/api/version": {"version": "0.33.0"}, "/api/tags": {"models": []}}
    async with pages(bare) as served:
        discovery = await look(catalogue, {"ollama": served.url})
    assert discovery.found == ()
    assert "has no model that chats" in discovery.notes[0]


async def test_models_in_ollamas_cloud_do_not_count_as_own(catalogue: Catalogue) -> None:
    tags = {
        "models": [{"name": "llama3.1:8b"}, {"name": "gpt-oss:120b-cloud", "remote_host": "https://ollama.com:443"}]
    }
    here = {"/": "Ollama is running", "/api/version": {"version": "0.33.0"}, "/api/tags": tags}
    async with pages(here) as served:
        discovery = await look(catalogue, {"ollama": served.url})
    assert [model.id for model in discovery.found[0].models] == ["llama3.1:8b"]
    assert "cloud" in discovery.notes[0]


async def test_a_hosted_account_is_found_by_its_key_with_the_llamas_it_opens(
    llama: RunningServer, catalogue: Catalogue
) -> None:
    async with Served(groq.app(llama.url)) as served:
        (found,) = (await look(catalogue, {"groq": served.url}, {"GROQ_API_KEY": KEY})).found
    assert (found.name, found.kind, found.credential, found.location) == ("groq", "groq", "GROQ_API_KEY", "hosted")
    assert [model.canonical for model in found.models] == ["llama-3.1-8b-instruct", "llama-3.3-70b-instruct"]
    assert found.models[0].retires == date(2026, 8, 16)  # the list says it is still there


async def test_a_hosted_provider_is_asked_at_its_own_address(catalogue: Catalogue) -> None:
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url} {request.headers['authorization']}")
        return httpx.Response(200, json=[{"id": "meta-llama/Llama-3.3-70B-Instruct-Turbo"}])

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        discovery = await discover({"TOGETHER_API_KEY": "tgp-1"}, catalogue, TODAY, client, {})
    assert asked == ["GET https://api.together.ai/v1/models Bearer tgp-1"]
    assert discovery.found[0].url is None


async def test_a_wrong_key_is_noted_without_the_key(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(groq.app(llama.url)) as served:
        discovery = await look(catalogue, {"groq": served.url}, {"GROQ_API_KEY": "gsk-wrong-key"})
    assert discovery.found == ()
    assert discovery.notes == ("GROQ_API_KEY is set, but groq refuses the key. Set a valid one.",)


async def test_a_key_that_no_header_can_carry_is_noted_without_it(catalogue: Catalogue) -> None:
    discovery = await look(catalogue, {"groq": nowhere()}, {"GROQ_API_KEY": "gsk-zürich\n"})
    assert discovery.found == ()
    assert "gsk" not in discovery.notes[0]


async def test_a_list_that_does_not_come_in_time_is_taken_from_the_catalogue(catalogue: Catalogue) -> None:
    async with silent() as url:
        discovery = await look(catalogue, {"fireworks": url}, {"FIREWORKS_API_KEY": "fw-1"}, HASTY)
    (found,) = discovery.found
    assert "llama-3.3-70b-instruct" in {model.canonical for model in found.models}
    assert all(model.retires is None or model.retires > TODAY for model in found.models)
    assert "did not list its models within" in discovery.notes[0]


async def test_nothing_is_assumed_of_a_provider_whose_llamas_are_all_retired(catalogue: Catalogue) -> None:
    async with silent() as url:
        discovery = await look(catalogue, {"groq": url}, {"GROQ_API_KEY": "gsk-1"}, HASTY)
    assert discovery.found == ()
    assert "knows none there any more" in discovery.notes[0]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
async def test_a_failing_list_is_noted_and_nothing_assumed(catalogue: Catalogue, status: int) -> None:
    said = {"error": {"message": "no, fw-secret-key, never", "code": "x"}}
    async with pages({"/inference/v1/models": page(said, status)}) as served:
        discovery = await look(catalogue, {"fireworks": served.url}, {"FIREWORKS_API_KEY": "fw-secret-key"})
    assert discovery.found == ()
    assert "could not list its models" in discovery.notes[0]
    assert "fw-secret-key" not in repr(discovery)


async def test_an_unreachable_provider_is_noted(catalogue: Catalogue) -> None:
    discovery = await look(catalogue, {"groq": nowhere()}, {"GROQ_API_KEY": "gsk-1"})
    assert discovery.found == ()
    assert "could not list its models" in discovery.notes[0]


async def test_without_a_llama_in_its_list_all_models_that_chat_are_taken(catalogue: Catalogue) -> None:
    rows = models("openai/gpt-oss-120b", "acme/Assistant-1", "whisper-large-v3", "meta-llama/llama-prompt-guard-2-22m")
    async with pages({"/openai/v1/models": rows}) as served:
        discovery = await look(catalogue, {"groq": served.url}, {"GROQ_API_KEY": "gsk-1"})
    (found,) = discovery.found
    assert [(one.canonical, one.known) for one in found.models] == [("gpt-oss-120b", True), ("acme/assistant-1", False)]
    assert "lists no Llama model" in discovery.notes[0]


async def test_a_variable_that_is_set_to_nothing_is_not_set(catalogue: Catalogue) -> None:
    assert await look(catalogue, {"groq": nowhere()}, {"GROQ_API_KEY": ""}) == Discovery()


async def test_an_id_that_a_policy_would_fill_in_is_left_out(catalogue: Catalogue) -> None:
    rows = models("${AWS_SECRET_ACCESS_KEY}", "file:/etc/passwd", "env.HOME", "a\nb", "my-llama", owner="vllm")
    async with pages({"/version": {"version": "0.32.0"}, "/v1/models": rows}) as served:
        discovery = await look(catalogue, {"vllm": served.url})
    assert discovery.found[0].models == (
        FoundModel("my-llama", "my-llama", known=False, capabilities=("json_schema", "logprobs")),
    )
    assert discovery.notes[0].startswith("Models of vLLM left out: 4")
