"""What a route says of its cache, and who may make vectors of what it is asked."""

from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.routing.policy import CachePolicy, Semantic

CATALOGUE = Catalogue.load()
HEAD = """\
version: 1
backends:
  gpu: {provider: vllm, url: "http://10.0.0.5:8000", models: {llama-3.3-70b-instruct: {id: x}}}
  vectors: {provider: ollama, url: "http://10.0.0.6:11434", region: eu, models: {own-embedder: {id: own}}}
  far: {provider: openai_compatible, url: "https://h.example", location: hosted, models: {own-embedder: {id: own}}}
  bedrock:
    {provider: bedrock, region: us-east-1, api_key: abcdefgh, models: {llama-3.3-70b-instruct: {}}}
models: {own-embedder: {}}
routes:
  - name: chat
    models: [llama-3.3-70b-instruct]
"""


def loaded(cache: str, more: str = "") -> Loaded:
    text = f"{HEAD}    cache: {cache}\n{more}"
    return read(text.encode(), "p.yaml", {}, CATALOGUE, date(2026, 11, 24))


def policy(cache: str, more: str = "") -> CachePolicy | None:
    found = loaded(cache, more)
    assert found.policy is not None, found.problems
    return found.policy.routes[0].cache


def names(found: CachePolicy | None) -> list[str]:
    assert found is not None
    assert found.semantic is not None
    return [one.name for one in found.semantic.embedders]


def test_cache_is_the_callers_own_exact_and_coalesces_unless_told_otherwise() -> None:
    assert policy("{ttl: 1h}") == CachePolicy(3600, "caller", 1, True, None)


def test_everything_that_is_written_holds() -> None:
    assert policy("{ttl: 5m, share: team, answers: 3, coalesce: false}") == CachePolicy(300, "team", 3, False, None)


def test_semantic_cache_asks_every_backend_that_makes_vectors() -> None:
    found = policy("{ttl: 1h, mode: semantic, embeddings: own-embedder}")
    assert names(found) == ["vectors/own-embedder", "far/own-embedder"]
    assert found is not None
    assert isinstance(found.semantic, Semantic)
    assert found.semantic.threshold == 0.95


@pytest.mark.parametrize(
    ("require", "left"),
    [
        ("require: {location: self_hosted}", ["vectors/own-embedder"]),
        ("size: {at_least: 8b}", ["vectors/own-embedder", "far/own-embedder"]),
    ],
)
def test_whoever_may_not_read_what_the_route_is_asked_makes_no_vectors(require: str, left: list[str]) -> None:
    text = "{ttl: 1h, mode: semantic, embeddings: own-embedder}"
    assert names(policy(text, f"    {require}\n")) == left


def test_route_whose_vectors_nobody_makes_is_told_and_keeps_exact_answers() -> None:
    text = "{ttl: 1h, mode: semantic, embeddings: own-embedder}"
    found = loaded(text, "    require: {location: self_hosted, regions: [us]}\n")
    assert "LG082" in [one.code for one in found.problems]
