"""Every path of the admin plane against every kind of asker: by the contract, and nothing gets past it."""

import re
from collections.abc import Iterable, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.api.operators import KEY, Admin
from tests.config.reloading import KEYED

CALLER = "a-key-of-sixteen-c"
KEYS = {"no key": None, "wrong key": "Bearer wrong", "caller's key": f"Bearer {CALLER}", "admin key": f"Bearer {KEY}"}
PEERS = {"this machine": "127.0.0.1", "another": "203.0.113.9"}
HOSTS = {"ours": "testserver", "foreign": "evil.example"}
ORIGINS = {"none": None, "own": "http://testserver", "foreign": "http://evil.example"}
REFUSED = {401, 403, 421}


@pytest.fixture(scope="module")
def admin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Admin]:
    """A gateway with a caller; its streams of events are closed."""
    directory: Path = tmp_path_factory.mktemp("matrix")
    made = Admin(directory / "policy.yaml", KEYED)
    made.gateway.broadcast.close()
    yield made


def routed(routes: Iterable[object]) -> Iterator[tuple[str, str]]:
    """Every method and path of some routes and of the routers among them."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from routed(inner.routes)
        else:
            yield from ((method, getattr(route, "path", "")) for method in sorted(getattr(route, "methods", ())))


def paths(admin: Admin) -> list[tuple[str, str]]:
    """All of them, with something in place of each parameter."""
    app: Any = admin.gateway.admin.app
    return [(method, re.sub(r"\{[^}]+\}", "x", path)) for method, path in routed(app.routes)]


def expected(method: str, path: str, key: str, peer: str, host: str, origin: str) -> int | None:
    """The status of a refusal by the contract; None when the request is welcome."""
    read = method in ("GET", "HEAD")
    if read and path == "/metrics":
        return None
    if host == "foreign":
        return 421
    if read and (peer == "this machine" or path == "/" or path.startswith("/console/")):
        return None
    if key != "admin key":
        return 401
    return 403 if origin == "foreign" else None


def test_matrix_of_paths_keys_peers_hosts_and_origins_is_the_contracts(admin: Admin) -> None:
    wrong, count = [], 0
    clients = {name: TestClient(admin.gateway.admin, client=(peer, 5000)) for name, peer in PEERS.items()}
    for (method, path), key, peer, host, origin in product(paths(admin), KEYS, PEERS, HOSTS, ORIGINS):
        pairs = {"authorization": KEYS[key], "host": HOSTS[host], "origin": ORIGINS[origin]}
        headers = {name: value for name, value in pairs.items() if value is not None}
        status = clients[peer].request(method, path, headers=headers).status_code
        refused = status if status in REFUSED else None
        count += 1
        if refused != expected(method, path, key, peer, host, origin) or status >= 500:
            wrong.append((method, path, key, peer, host, origin, status))
    assert wrong == []
    assert count >= 20 * len(KEYS) * len(PEERS) * len(HOSTS) * len(ORIGINS)


@pytest.mark.parametrize("mark", ["/", "?", "#", "@", "\\", "%2f", ";", ",", "%00"])
def test_host_with_a_trick_in_it_opens_no_path(admin: Admin, mark: str) -> None:
    for (method, path), host in product(
        paths(admin), (f"testserver{mark}evil.example", f"evil.example{mark}testserver")
    ):
        status = admin.client.request(
            method, path, headers={"host": host, "authorization": f"Bearer {KEY}"}
        ).status_code
        assert status == 421 or path == "/metrics", (method, path, host)


def test_refusals_are_problem_documents_that_name_no_key(admin: Admin) -> None:
    answer = admin.client.post("/admin/policy/reload")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert {"type", "title", "status", "detail"} == set(answer.json())
    assert KEY not in answer.text


def test_document_describes_every_path_and_what_the_guard_says(admin: Admin) -> None:
    document = admin.get("/admin/openapi.json")
    app: Any = admin.gateway.admin.app
    there = {(method.lower(), path) for method, path in routed(app.routes) if path.startswith("/admin/")}
    described = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert {pair for pair in there - described if pair[1] != "/admin/openapi.json"} == set()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert {"401", "403", "421"} <= set(operation["responses"]), (method, path)
            assert operation["security"][0] == {"admin_key": []}
            assert ({} in operation["security"]) == (method == "get")
            assert operation.get("description"), (method, path)
