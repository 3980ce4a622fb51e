"""Each server is known by what only it says, from its answers alone."""

from typing import Any

import httpx
import orjson
import pytest

from gateway.fleet.answers import Answers
from gateway.fleet.httpx_transport import Answer
from gateway.fleet.naming import Listed
from gateway.fleet.servers import PROBES, Seen, billions, llama_cpp, ogx, ollama, vllm
from tests.fleet.pages import models


def said(**bodies: Any) -> Answers:
    """Answers by path: `v1_models` is /v1/models."""
    return {
        "/" + name.replace("_", "/"): Answer(
            200, httpx.Headers(), body.encode() if isinstance(body, str) else orjson.dumps(body)
        )
        for name, body in bodies.items()
    }


def of(seen: Seen | None) -> list[Listed]:
    assert seen is not None
    return seen.models


def test_nobody_is_known_by_no_answers() -> None:
    assert [probe.recognise({}) for probe in PROBES] == [None] * len(PROBES)


@pytest.mark.parametrize("owner", ["openai", "llamacpp", "sglang", "library", "llama-swap"])
def test_a_vllm_owns_all_its_models(owner: str) -> None:
    rows = {"data": [*models("a", owner="vllm")["data"], *models("b", owner=owner)["data"]]}
    assert vllm(said(version={"version": "1"}, v1_models=rows)) is None


def test_an_adapter_of_vllm_is_not_its_parent() -> None:
    root = "meta-llama/Llama-3.1-8B-Instruct"
    rows = (
        models("served", owner="vllm", root=root)["data"]
        + models("sql", owner="vllm", root=root, parent="served")["data"]
    )
    seen = vllm(said(version={"version": "0.32.0"}, v1_models={"data": rows}))
    assert [model.also for model in of(seen)] == [(root,), ()]


def test_an_ollama_says_that_it_is_running() -> None:
    answers = said(api_version={"version": "0.33.0"}, api_tags={"models": [{"name": "llama3.2:1b"}]})
    assert ollama(answers) is None
    assert ollama({**answers, **said(**{"": "Ollama is running"})}) is not None


def test_models_of_ollama_that_only_embed_are_left_out() -> None:
    tags = {
        "models": [
            {"name": "a", "capabilities": ["embedding"]},
            {"name": "b", "details": {"family": "nomic-bert"}},
            {"name": "c", "capabilities": ["completion", "tools", "thinking"], "details": {"parameter_size": "137M"}},
        ]
    }
    (model,) = of(ollama(said(**{"": "Ollama is running"}, api_version={"version": "1"}, api_tags=tags)))
    assert (model.id, model.size, model.capabilities) == ("c", 0.137, ("json_schema", "tools"))


def test_a_llama_cpp_that_hides_its_properties_is_still_one() -> None:
    seen = llama_cpp(said(v1_models=models("x", owner="llamacpp", meta={"n_params": 8030261248})))
    assert [(model.id, model.context, round(model.size or 0)) for model in of(seen)] == [("x", None, 8)]
    assert seen is not None and seen.slots is None


def test_the_file_names_the_model_only_when_there_is_one() -> None:
    props = {"model_path": "/m/Llama-3.2-1B-Instruct-Q8_0.gguf", "total_slots": 2}
    one = llama_cpp(said(props=props, v1_models=models("x", owner="llamacpp")))
    two = llama_cpp(said(props=props, v1_models=models("x", "y", owner="llamacpp")))
    assert [model.also for model in of(one)] == [(props["model_path"],)]
    assert [model.also for model in of(two)] == [(), ()]


def test_an_older_ogx_is_known_by_its_own_shape() -> None:
    rows = [
        {
            "identifier": "llama3.2:3b",
            "provider_id": "ollama",
            "provider_resource_id": "llama3.2:3b",
            "model_type": "llm",
        },
        {"identifier": "gpt-4o", "provider_id": "openai", "model_type": "llm"},
    ]
    seen = ogx(said(v1_version={"version": "0.2.0"}, v1_models={"data": rows}))
    assert [model.id for model in of(seen)] == ["llama3.2:3b"]


def test_an_ogx_that_names_no_provider_has_it_in_the_id() -> None:
    rows = models("vllm/llama-3.1-8b-instruct", "groq/llama-3.1-8b-instant", owner="llama_stack")
    seen = ogx(said(v1_version={"version": "0.3.0"}, v1_models=rows))
    assert [model.id for model in of(seen)] == ["vllm/llama-3.1-8b-instruct"]


@pytest.mark.parametrize(
    ("text", "size"),
    [("8.0B", 8), ("137M", 0.137), ("", None), ("big", None), ("nanB", None), ("-1B", None), ("1e99B", None)],
)
def test_a_size_is_read_in_billions(text: str, size: float | None) -> None:
    assert billions(text) == size
