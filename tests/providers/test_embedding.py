"""Vectors of texts: from a real llama.cpp, over the stand-ins that speak to it, and from whoever makes none."""

import asyncio
from collections.abc import Callable, Iterator

import pytest

from gateway.demo.fleet import DemoFleet, ServerSpec
from gateway.demo.standins import ollama
from gateway.demo.standins.ollama_models import MODELS
from gateway.demo.standins.serve import Served
from gateway.errors import InvalidResponse, UpstreamError
from gateway.providers.embedding import vector_in
from gateway.providers.ollama import Ollama
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.providers.port import Embedder
from gateway.providers.transport import PooledTransport
from gateway.types import Backend
from tests.routing.samples import deployment

MODEL = deployment(id="own-embedder", model="own-embedder")


@pytest.fixture(scope="module")
def embedder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a llama.cpp that makes vectors."""
    fleet = DemoFleet()
    with asyncio.Runner() as runner:
        spec = ServerSpec("vectors", ("own-embedder",), embeddings=True)
        (server,) = runner.run(fleet.start([spec], tmp_path_factory.mktemp("toy")))
        yield server.url
        runner.run(fleet.stop())


def ask(maker: Callable[[PooledTransport], Embedder], text: str = "Hello") -> list[float]:
    """The vector that a provider gives."""

    async def asked() -> list[float]:
        transport = PooledTransport(50.0, None)
        try:
            return list(await maker(transport).embed(text, MODEL))
        finally:
            await transport.close()

    return asyncio.run(asked())


def openai(url: str) -> Callable[[PooledTransport], Embedder]:
    return lambda transport: OpenAICompatible(Backend("v", "openai_compatible", url), transport)


def test_llama_cpp_gives_a_vector_that_depends_on_the_text(embedder: str) -> None:
    one, again, other = (ask(openai(embedder), text) for text in ("Hello", "Hello", "Good bye"))
    assert len(one) > 10
    assert one == again != other


def test_ollama_gives_the_same_vector_by_its_own_api(embedder: str) -> None:
    async def asked() -> list[float]:
        async with Served(ollama.app(embedder)) as served:
            transport = PooledTransport(50.0, None)
            try:
                maker = Ollama(Backend("o", "ollama", served.url), transport)
                model = deployment(id=MODELS[0].name, model="own-embedder")
                return list(await maker.embed("Hello", model))
            finally:
                await transport.close()

    assert asyncio.run(asked()) == pytest.approx(ask(openai(embedder)))


def test_server_that_makes_no_vectors_is_an_upstreams_error(llama_url: str) -> None:
    with pytest.raises(UpstreamError):
        ask(openai(llama_url))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data":[]}',
        b'{"data":[{"embedding":"AAAA"}]}',
        b'{"embeddings":[[]]}',
        b'{"data":[[null]]}',
    ],
)
def test_answer_without_a_vector_is_not_what_was_promised(body: bytes) -> None:
    with pytest.raises(InvalidResponse):
        vector_in(body, "v")


def test_vector_is_found_in_both_shapes() -> None:
    for body in (b'{"data":[{"embedding":[1,2.5]}]}', b'{"embeddings":[[1,2.5]]}'):
        assert vector_in(body, "v") == [1, 2.5]
