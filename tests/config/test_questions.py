"""Expressions and languages of a match, and what is said when they cannot be used."""

import sys
from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.routing.book import StatsBook
from gateway.types import ChatRequest

CATALOGUE = Catalogue.load()
TEXT = """\
version: 1
backends: {gpu: {provider: vllm, url: "http://10.0.0.5:8000", models: {llama-3.1-8b-instruct: {}}}}
routes:
  - name: chat
    models: [llama-3.1-8b-instruct]
"""
GERMAN = {
    "messages": [{"role": "user", "content": "Wie ist heute das Wetter in der Stadt, und wird es morgen besser?"}]
}


def loaded(rest: str, draft: bool = False) -> Loaded:
    """The policy with more of its route."""
    return read(f"{TEXT}    {rest}\n".encode(), "p.yaml", {}, CATALOGUE, date(2026, 11, 24), not draft)


def codes(found: Loaded) -> list[str]:
    """What is said."""
    return [problem.code for problem in found.problems]


def test_without_a_detector_a_language_is_an_error_since_the_route_would_take_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)  # as if it were not installed
    found = loaded("match: {language: [de]}")
    assert (codes(found), found.policy) == (["LG065"], None)
    assert "llama-gateway[language]" in found.problems[0].message


def test_without_a_detector_the_smallest_adequate_is_told_that_languages_do_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    found = loaded("size: smallest_adequate")
    assert codes(found) == ["LG079"]
    assert found.policy is not None
    assert found.policy.routes[0].detect is None


def test_a_language_is_asked_of_the_detector() -> None:
    pytest.importorskip("lingua")
    policy = loaded("match: {language: [de]}").policy
    assert policy is not None
    route = policy.routes[0]
    assert route.mismatch(ChatRequest("1", "a", GERMAN), StatsBook()) is None
    assert route.mismatch(ChatRequest("1", "a", {}), StatsBook()) == "the language is not clear"


def test_an_expression_from_a_variable_is_not_judged_in_a_draft() -> None:
    assert codes(loaded('match: {when: "${EXPRESSION}"}', draft=True)) == []
