"""Who may use the admin plane."""

import asyncio
from collections.abc import Iterable
from itertools import product
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.guard import Guard
from gateway.api.hosts import host_of
from gateway.api.reply import Message, Receive, Scope, Send

KEY = "admin-key-that-is-long-enough"
BEARER = f"Bearer {KEY}"
LOCAL, REMOTE = ("127.0.0.1", 5000), ("203.0.113.9", 5000)


class Recorder:
    """An app that keeps what reached it."""

    def __init__(self) -> None:
        self.reached: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.append(scope["path"])
        await send({"type": "http.response.start", "status": 204, "headers": []})


def ask(
    method: str = "GET",
    path: str = "/admin/policy",
    host: str | None = "localhost:4081",
    key: str | None = None,
    origin: str | None = None,
    client: Any = LOCAL,
    hosts: Iterable[str] = (),
    ours: str = KEY,
    fetch: tuple[str | None, str | None] = (None, None),
) -> tuple[int, Any]:
    """The status, and the body as far as there is one."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    pairs = {"host": host, "authorization": key, "origin": origin}
    pairs |= {"sec-fetch-site": fetch[0], "sec-fetch-mode": fetch[1]}
    headers = [
        (name.encode(), value.encode("latin-1", "replace")) for name, value in pairs.items() if value is not None
    ]
    scope = {"type": "http", "method": method, "path": path, "headers": headers, "client": client}
    app = Recorder()
    asyncio.run(Guard(app, ours, frozenset(hosts))(scope, receive, send))
    status: int = sent[0]["status"]
    assert bool(app.reached) == (status == 204)
    return status, orjson.loads(sent[1]["body"]) if len(sent) > 1 else None


PATHS = ("/metrics", "/admin/policy", "/metrics/../admin/policy", "/", "/console/main.js", "/console")
PEERS = (LOCAL, ("::1", 1), None, REMOTE, ("testclient", 1), ("::ffff:203.0.113.9", 1))
KEYS = (None, "", KEY, f"Basic {KEY}", "Bearer wrong", f"{BEARER}x", f"Bearer  {KEY}", BEARER)


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "get"])
@pytest.mark.parametrize(
    "host", ["localhost:4081", "127.0.0.1", "[::1]:4081", "evil.example", "203.0.113.9:4081", None]
)
def test_every_combination_is_let_through_only_when_the_contract_says_so(method: str, host: str | None) -> None:
    for path, client, key, origin in product(
        PATHS, PEERS, KEYS, (None, f"http://{host}", "http://evil.example", "null")
    ):
        free = method in ("GET", "HEAD") and client in PEERS[:3]
        if method in ("GET", "HEAD") and path == "/metrics":
            expected = 204
        elif host not in ("localhost:4081", "127.0.0.1", "[::1]:4081"):
            expected = 421
        elif free or (method in ("GET", "HEAD") and path in ("/", "/console/main.js")):
            expected = 204
        elif key != BEARER:
            expected = 401
        else:
            expected = 204 if origin in (None, f"http://{host}") else 403
        assert ask(method, path, host, key, origin, client)[0] == expected, (path, client, key, origin)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_page_of_another_origin_reads_nothing_through_a_browser_of_this_machine(site: str) -> None:
    for mode in ("cors", "no-cors"):
        assert ask(path="/admin/events", fetch=(site, mode))[0] == 403
    assert ask(path="/", fetch=(site, "navigate"))[0] == 204
    assert ask(path="/admin/events", fetch=("same-origin", "cors"))[0] == 204
    assert ask(path="/admin/policy", fetch=("none", "navigate"))[0] == 204


def test_configured_admin_host_is_one_of_ours() -> None:
    assert ask(host="gw.internal:4081", hosts=["gw.internal"])[0] == 204
    assert ask(host="gw.internal:4081")[0] == 421


@pytest.mark.parametrize("host", ["LOCALHOST:4081", "LocalHost", "GW.internal"])
def test_host_is_compared_without_regard_to_case(host: str) -> None:
    assert ask(host=host, hosts=["gw.internal"])[0] == 204


def test_key_beyond_ascii_is_compared_as_the_bytes_that_clients_send() -> None:
    sent = "Bearer schlüssel".encode().decode("latin-1")
    assert ask("POST", key=sent, ours="schlüssel")[0] == 204
    assert ask("POST", key="Bearer schlussel", ours="schlüssel")[0] == 401


def test_refusal_says_what_to_do_and_names_no_key() -> None:
    for status, found in (ask("POST"), ask(host="evil.example"), ask("POST", key=BEARER, origin="http://evil.example")):
        assert (found["status"], found["type"]) == (status, "about:blank")
        assert KEY not in found["title"]


FUZZ = [
    f"{before}{mark}{after}"
    for mark in [
        "/",
        "?",
        "#",
        "@",
        "\\",
        "%2f",
        "%00",
        "\t",
        " ",
        ";",
        ",",
        "é",
        "\u217c",
        "\u3002",
        "\u200b",
        "::",
        ":80:",
        "]",
    ]
    for before, after in [
        ("localhost", "evil.example"),
        ("evil.example", "localhost"),
        ("localhost:4081", ""),
        ("localhost:4081", "evil.example"),
        ("localhost:", "evil.example"),
        ("[::1]", "evil.example"),
        ("[::1", "]"),
        ("", "localhost"),
        ("127.0.0.1", ":4081"),
    ]
]


def test_host_with_a_trick_in_it_lets_no_write_through() -> None:
    assert {ask("POST", "/admin/policy/reload", host)[0] for host in FUZZ} <= {401, 421}


def test_host_with_a_trick_in_it_is_not_ours_even_with_the_key() -> None:
    assert [host for host in FUZZ if ask("POST", "/admin/policy/reload", host, BEARER)[0] != 421] == []


@given(st.text(st.characters(codec="latin-1")), st.text(st.characters(codec="latin-1")))
def test_no_host_and_no_guessed_key_let_a_write_through(host: str, key: str) -> None:
    assert ask("POST", "/admin/policy/reload", host, key)[0] in (401, 421)
    assert ask("POST", "/admin/policy/reload", "localhost", f"Bearer {key}")[0] == 401


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("localhost", "localhost"),
        ("localhost:4081", "localhost"),
        ("[::1]:4081", "::1"),
        ("[::1]", "::1"),
        ("", ""),
        ("10.0.0.5:1", "10.0.0.5"),
    ],
)
def test_host_is_read_without_its_port(header: str, host: str) -> None:
    assert host_of(header) == host


@pytest.mark.parametrize("kind", ["websocket", "lifespan"])
def test_only_http_is_served(kind: str) -> None:
    async def nobody(*_: Any) -> Message:
        raise AssertionError("nothing is sent or received")

    app = Recorder()
    asyncio.run(Guard(app, KEY, frozenset())({"type": kind}, nobody, nobody))  # type: ignore[arg-type]  # never called
    assert app.reached == []


@pytest.mark.parametrize("host", ["gateway.monitoring.svc:4081", "10.0.0.5:4081", None])
@pytest.mark.parametrize("client", [LOCAL, REMOTE])
def test_metrics_are_scraped_by_whatever_name_the_scraper_uses(host: str | None, client: Any) -> None:
    assert ask("GET", "/metrics", host, client=client)[0] == 204
    assert ask("POST", "/metrics", host, BEARER, client=client)[0] == 421
