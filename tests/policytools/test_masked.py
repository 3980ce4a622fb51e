"""A policy's text as it may be shown."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from gateway.catalogue import Catalogue
from gateway.config.loading import read
from gateway.policytools.masked import masked
from tests.config.reloading import KEYED, OPEN

TWO = KEYED + "  other: {key: another-key-of-many}\n"
LETTERS = st.text("abcdefghijklmnopqrstuvwxyzABCDEF0123456789", min_size=20, max_size=40)


def test_text_without_credentials_is_shown_as_it_is() -> None:
    assert masked(OPEN.encode()) == OPEN


def test_references_to_credentials_are_shown() -> None:
    text = KEYED.replace("a-key-of-sixteen-c", '"${TEAM_KEY}"')
    assert masked(text.encode()) == text


def test_what_is_shown_is_a_policy_still_and_the_same_each_time() -> None:
    shown = masked(TWO.encode())
    assert "a-key-of-sixteen-c" not in shown
    loaded = read(shown.encode(), "shown", {}, Catalogue.load(), date(2026, 1, 1), expand=False)
    assert [problem.code for problem in loaded.problems if problem.severity == "error"] == []
    assert masked(shown.encode()) == masked(masked(shown.encode()).encode())


def test_user_and_password_of_an_address_are_covered() -> None:
    shown = masked(OPEN.replace("http://127", "http://root:hunter2@127").encode())
    assert "hunter2" not in shown
    assert "@127.0.0.1" in shown


def test_old_key_in_a_comment_is_covered() -> None:
    for comment in ("# api_key: gsk_old", "# gsk_0123456789abcdefghijkl was the old one"):
        assert "gsk_" not in masked(f"{OPEN}{comment}\n".encode())


def test_what_stands_behind_a_name_the_second_time_is_covered() -> None:
    for twice in ("api_key: sk-other, api_key: hunter2", "api_key: sk-other, ? [a, b] : hunter2"):
        assert "hunter2" not in masked(OPEN.replace("provider: vllm", f"provider: vllm, {twice}").encode())


def test_credentials_anywhere_in_an_address_are_covered() -> None:
    for address in ("http://root:a@hunter2@h/v1", "http://root:a/hunter2@h/v1", "http://h:80/v1?key=hunter2"):
        assert "hunter2" not in masked(OPEN.replace("http://127.0.0.1:9", address).encode())


def test_address_without_credentials_is_shown() -> None:
    for address in ("https://h/v4/accounts/1/ai/run/@cf/meta", "http://h:8000/v1/@x", "http://[::1]:8000"):
        assert address in masked(OPEN.replace("http://127.0.0.1:9", address).encode())


@given(LETTERS)
def test_broken_text_shows_no_credential_either(secret: str) -> None:
    broken = (
        OPEN.replace("provider: vllm", f"provider: [vllm, api_key: {secret}") + f"callers:\n  x:\n    key: {secret}\n"
    )
    assert secret not in masked(broken.encode())


@given(st.binary(max_size=200))
def test_no_text_is_too_odd(text: bytes) -> None:
    assert isinstance(masked(text), str)
