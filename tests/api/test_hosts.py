"""What a browser says of where a request comes from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.hosts import LOCAL, host_of, is_foreign, is_local


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost"},
        {"host": "127.0.0.1:4080"},
        {"host": "[::1]:4080"},
        {"host": "LocalHost:4080"},
        {"host": "localhost:4080", "origin": "http://localhost:3000"},
        {"host": "localhost:4080", "origin": "http://127.0.0.1:4080"},
        {"host": "localhost:4080", "origin": "https://[::1]"},
    ],
)
def test_this_machine_is_not_foreign(headers: dict[str, str]) -> None:
    assert not is_foreign(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:4080"},
        {"host": "localhost.evil.example"},
        {"host": "localhost:4080@evil.example"},
        {"host": ""},
        {"host": "localhost", "origin": "null"},
        {"host": "localhost", "origin": ""},
        {"host": "localhost", "origin": "http://evil.example"},
        {"host": "localhost", "origin": "http://localhost.evil.example"},
        {"host": "localhost", "origin": "http://evil.example:4080"},
        {"host": "localhost", "origin": "file://"},
        {"host": "localhost", "origin": "localhost"},
        {"host": "evil.example", "origin": "http://localhost"},
    ],
)
def test_another_host_or_origin_is_foreign(headers: dict[str, str]) -> None:
    assert is_foreign(headers)


@given(st.text(st.characters(codec="latin-1")))
def test_any_host_is_ours_or_foreign(header: str) -> None:
    assert is_foreign({"host": header}) == (host_of(header) not in LOCAL)


@pytest.mark.parametrize(
    ("client", "local"),
    [
        (None, True),
        (("127.0.0.1", 1), True),
        (("127.9.9.9", 1), True),
        (("::1", 1), True),
        (("203.0.113.9", 1), False),
        (("testclient", 1), False),
    ],
)
def test_peer_is_this_machine_when_it_comes_over_the_loopback(client: object, local: bool) -> None:
    assert is_local({"client": client}) == local
