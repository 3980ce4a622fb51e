"""The door for outsiders: a class of one's own, by `package.module:Class`, serves like any other kind."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import date
from pathlib import Path
from typing import cast

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import read
from gateway.providers.pool import ProviderPool
from gateway.types import ChatRequest, Chunk

MODULE = """
import orjson

from gateway.providers.kind import Kind
from gateway.providers.port import ServedModel
from gateway.types import Chunk


class Echo:
    kind = Kind("echo", telemetry="echo", location="self_hosted")

    def __init__(self, backend, transport):
        self.backend = backend

    async def answer(self, request, deployment):
        said = request.body["messages"][-1]["content"]
        message = {"role": "assistant", "content": f"{self.backend.api_key} {deployment.id}: {said}"}
        body = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        yield [Chunk(orjson.dumps(body), body)]

    async def models(self):
        return [ServedModel("echo-1")]
"""
POLICY = b"""
version: 1
backends:
  mine:
    provider: "outsider.echo:Echo"
    url: http://127.0.0.1:9
    api_key: key-0123456789abcdef
    models: {llama-3.1-8b-instruct: {id: echo-1}}
routes:
  - {name: auto, match: {model: [auto]}, models: [llama-3.1-8b-instruct]}
"""


@pytest.mark.asyncio
async def test_a_class_of_ones_own_answers_for_a_backend_of_a_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "outsider"
    package.mkdir()
    (package / "echo.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    loaded = read(POLICY, "policy.yaml", {}, Catalogue.load(), date(2026, 1, 1))
    assert loaded.policy is not None, loaded.problems
    backend, (deployment,) = loaded.policy.backends["mine"], loaded.policy.deployments
    assert (backend.kind, backend.location) == ("outsider.echo:Echo", "self_hosted")
    provider = ProviderPool().of(backend)
    request = ChatRequest("r1", "auto", {"messages": [{"role": "user", "content": "hello"}]})
    source = cast("AsyncGenerator[list[Chunk], None]", provider.answer(request, deployment))
    async with aclosing(source) as batches:
        [(chunk,)] = [batch async for batch in batches]
    assert chunk.body["choices"][0]["message"]["content"] == "key-0123456789abcdef echo-1: hello"
    assert [model.id for model in await provider.models()] == ["echo-1"]
