"""A kind's name leads to its class, and so does a class of one's own."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.providers.kind import Kind
from gateway.providers.registry import KINDS, provider_class
from gateway.types import ChatRequest, Deployment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_has_a_class_that_calls_itself_so(name: str) -> None:
    found = provider_class(name)
    assert isinstance(found.kind, Kind)
    assert found.kind.name == name
    assert callable(found.answer) and callable(found.models)


@pytest.mark.parametrize("name", KINDS)
def test_the_limits_of_every_kind_are_in_order(name: str) -> None:
    limits = provider_class(name).kind.timeouts
    assert 0 < limits.connect <= limits.first_token <= limits.first_token_last <= limits.total
    assert 0 < limits.idle < limits.total


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_that_needs_a_key_says_where_it_comes_from_and_has_an_address(name: str) -> None:
    kind = provider_class(name).kind
    assert (kind.credential is not None, kind.url is not None) == (kind.needs_key, kind.needs_key)


@pytest.mark.parametrize(
    ("name", "offers"),
    [
        ("vllm", {"n", "json_object", "tool_choice"}),
        ("llama_cpp", {"n", "json_object", "tool_choice"}),
        ("ollama", {"json_object"}),
        ("lmstudio", {"json_object", "tool_choice"}),
        ("tgi", {"json_object", "tool_choice"}),
        ("groq", {"json_object", "tool_choice"}),
        ("bedrock", set()),
        ("replicate", set()),
    ],
)
def test_a_kind_says_what_it_can_do_whatever_the_model(name: str, offers: set[str]) -> None:
    assert provider_class(name).kind.offers == offers


@pytest.mark.parametrize("name", KINDS)
def test_only_bedrock_replays_a_whole_answer_as_a_stream_and_only_where_tools_may_be_called(name: str) -> None:
    whole = provider_class(name).kind.whole
    deployment = Deployment("main/llama", "main", "llama", "meta.llama3-3-70b-instruct-v1:0", name, "hosted")
    other = replace(deployment, id="mistral.mistral-large-2407-v1:0")
    asked = ChatRequest("r1", "llama", {"messages": [], "tools": [{}]}, stream=True)
    assert whole(asked, deployment) is (name == "bedrock")
    assert not whole(asked, other)
    assert not whole(replace(asked, stream=False), deployment)
    assert not whole(replace(asked, body={"messages": []}), deployment)
    assert not whole(replace(asked, body={**asked.body, "tool_choice": "none"}), deployment)


def test_a_class_of_ones_own_is_found_by_its_place() -> None:
    found = provider_class("gateway.providers.vllm:Vllm")
    assert found is provider_class("vllm")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nope", "no provider kind 'nope'"),
        ("no_such_module:Class", "no class 'Class' in module 'no_such_module' (No module named 'no_such_module')"),
        (
            "gateway.providers.vllm:Nope",
            "no class 'Nope' in module 'gateway.providers.vllm'"
            " (module 'gateway.providers.vllm' has no attribute 'Nope')",
        ),
    ],
)
def test_what_is_not_there_is_a_lookup_error_that_says_so(name: str, sentence: str) -> None:
    with pytest.raises(LookupError) as caught:
        provider_class(name)
    assert str(caught.value) == sentence


def test_a_module_that_fails_when_it_is_imported_is_a_lookup_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_outsider.py").write_text("raise RuntimeError('not today')\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(LookupError, match=r"^no class 'Class' in module 'broken_outsider' \(not today\)$"):
        provider_class("broken_outsider:Class")


def test_a_kind_is_imported_when_it_is_asked_for_and_not_before() -> None:
    command = "import sys, gateway.providers.registry; print([m for m in sys.modules if m.endswith('.vllm')])"
    shown = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, check=True)
    assert shown.stdout.strip() == b"[]"
