"""A policy to compare: every backend counts as switched on, and its credentials are never shown."""

from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.policytools.versions import Unreadable, Version, flow, version

CATALOGUE = Catalogue.load()
TEXT = """\
version: 1
backends:
  gpu: {provider: vllm, url: "${URL:-http://10.0.0.5:8000}", models: {llama-3.3-70b-instruct: {}}, slots: "${SLOTS}"}
  together: {provider: together, api_key: literal-0123456789, models: {llama-3.3-70b-instruct: {}}}
routes:
  - {name: a, match: {headers: {x-team: red, x-api-key: literal-0123456789}}, models: [llama-3.3-70b-instruct]}
"""


def of(text: str, env: dict[str, str] | None) -> Version:
    return version(text.encode(), "test", env, CATALOGUE, date(2026, 11, 24))


def test_what_is_written_is_shown_with_variables_and_without_credentials() -> None:
    found = of(TEXT, {"SLOTS": "4"})
    assert found.written(("backends", "gpu", "url")) == "${URL:-http://10.0.0.5:8000}"
    assert found.written(("backends", "together", "api_key")) == "***"
    assert found.written(("backends", "gpu", "region")) == "nothing"
    assert found.written(("routes", 0, "match", "headers")) == "{x-team: red, x-api-key: ***}"
    assert "literal" not in found.written(("backends",))
    assert found.spec.backends["gpu"].slots == 4
    assert set(found.policy.backends) == {"gpu", "together"}


def test_a_draft_reads_no_variable() -> None:
    found = of(TEXT, None)
    assert found.spec.backends["gpu"].slots is None
    assert set(found.policy.backends) == {"gpu", "together"}


def test_a_policy_with_errors_cannot_be_compared() -> None:
    with pytest.raises(Unreadable) as caught:
        of("version: 2\n", {})
    assert {problem.code for problem in caught.value.problems} >= {"LG013"}


def test_values_are_shown_as_yaml_has_them() -> None:
    assert flow({"a": [True, None, 1.5, "x"], "b": {}}) == "{a: [true, null, 1.5, x], b: {}}"
    assert flow({"key": "k", "routes": ["r"]}, ("callers", "a")) == "{key: ***, routes: [r]}"
