"""OLLAMA_HOST is read as Ollama reads it, but never becomes an address that a policy must not hold."""

import pytest

from gateway.fleet.ollama_host import addressed, ollama_url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("box", "http://box:11434"),
        ("box:5", "http://box:5"),
        (":5", "http://127.0.0.1:5"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("[::]:5", "http://127.0.0.1:5"),
        ("::1", "http://[::1]:11434"),
        ("http://box", "http://box:80"),
        ("https://box/ollama/", "https://box:443/ollama"),
        (" box ", "http://box:11434"),
    ],
)
def test_a_host_becomes_an_address(host: str, url: str) -> None:
    assert ollama_url(host) == url


@pytest.mark.parametrize(
    "host",
    [
        "http://u:p@box",
        "u@box",
        "ftp://box",
        "box:99999",
        "a b",
        "${HOME}",
        "169.254.169.254",
        "metadata.google.internal",
    ],
)
def test_what_a_policy_must_not_hold_is_no_address(host: str) -> None:
    assert ollama_url(host) is None


def test_without_the_variable_the_usual_address_stays() -> None:
    assert addressed({"ollama": "http://a", "vllm": "http://b"}, "  ") == (
        {"ollama": "http://a", "vllm": "http://b"},
        [],
    )


def test_a_variable_that_cannot_be_used_leaves_ollama_out_and_says_so() -> None:
    places, notes = addressed({"ollama": "http://a", "vllm": "http://b"}, "http://u:p@box")
    assert places == {"vllm": "http://b"}
    assert len(notes) == 1
