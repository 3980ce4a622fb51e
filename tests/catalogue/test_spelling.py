"""How names are reduced to what they have in common."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalogue import spelling


@pytest.mark.parametrize(
    "text",
    [
        "llama3.1:8b",
        "Llama-3.1-8B-Instruct",
        "llama-3-1-8b-instruct",
        "Meta-Llama-3_1-8B-Instruct",
        "meta.llama3-1-8b-instruct-v1:0",
        "accounts/fireworks/models/llama-v3p1-8b-instruct",
        "meta/llama-3.1-8b-instruct-maas",
        "databricks-meta-llama-3-1-8b-instruct",
        "@cf/meta/llama-3.1-8b-instruct-fp8",
    ],
)
def test_all_ways_to_write_a_name_have_one_key(text: str) -> None:
    assert spelling.key(text) == "llama 3.1 8b"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("llama3-8b", "llama 3 8b"),
        ("llama-2-13b-chat-hf", "llama 2 13b"),
        ("llama-3-1b", "llama 3 1b"),
        ("llama3.2-vision:11b", "llama 3.2 11b vision"),
        ("LlamaGuard-7b", "llama guard 7b"),
        ("llama-guard3:1b", "llama guard 3 1b"),
        ("code-llama-34b-instruct", "codellama 34b"),
        ("mistralai/Mistral-7B-Instruct-v0.3", "mistral 7b v0.3"),
    ],
)
def test_sizes_and_minor_versions_are_told_apart(text: str, key: str) -> None:
    assert spelling.key(text) == key


def test_words_for_other_weights_stay_in_the_key() -> None:
    assert spelling.key("llama3.1:8b-text-q4_0") == "llama 3.1 8b text"
    assert spelling.key("codellama:7b-code") == "codellama 7b code"


def test_a_text_longer_than_any_name_has_no_key_and_no_precision() -> None:
    long = "llama-3.1-8b-q4_0" + "-x" * spelling.LONGEST
    assert spelling.key(long) == ""
    assert spelling.precision(long) is None


@given(st.text())
def test_a_key_is_its_own_key_or_empty_in_any_case(text: str) -> None:
    key = spelling.key(text)
    assert key == key.lower().strip()
    assert spelling.bare(text) == spelling.bare(text).lower()


@pytest.mark.parametrize(
    ("text", "precision"),
    [
        ("x-Q4_K_M", "q4_k_m"),
        ("x.Q6_K.gguf", "q6_k"),
        ("x:q8_0", "q8_0"),
        ("x-w8a8", "int8"),
        ("x-AWQ", "awq"),
        ("qwq", None),
    ],
)
def test_precision_is_read_off_tags_files_and_repositories(text: str, precision: str | None) -> None:
    assert spelling.precision(text) == precision
