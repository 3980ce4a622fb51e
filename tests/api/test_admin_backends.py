"""An operator's drain: what it does, how it is seen, and that nothing but the operator ends it."""

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from tests.api.operators import Admin
from tests.config.reloading import OPEN

TWO = OPEN + '  b: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: y}}}\n'
MORE = TWO.replace("{id: x}", "{id: x}, llama-3.3-70b-instruct: {id: z}")
ASKED = {"model": "llama-3.1-8b-instruct", "messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    """A gateway with two backends."""
    yield Admin(tmp_path / "policy.yaml", TWO)


def out(admin: Admin) -> dict[str, str]:
    """Who is out for a request now, and why."""
    status, plan = admin.post("/admin/policy/explain", {"request": ASKED})
    assert status == 200
    return {row["deployment"]: row["reason"] for row in plan["rejected"]}


def test_drained_backend_is_told_in_plans_rows_metrics_and_readiness(admin: Admin) -> None:
    assert admin.post("/admin/backends/a/drain") == (200, {"backend": "a", "drained": True, "in_flight": 0})
    assert out(admin) == {"a/llama-3.1-8b-instruct": "drained by the operator"}
    rows = {row["backend"]: row for row in admin.get("/admin/backends")}
    assert (rows["a"]["drained"], rows["a"]["up"], rows["a"]["resting_for"]) == (True, False, None)
    assert (rows["b"]["drained"], rows["b"]["up"]) == (False, True)
    assert admin.metric("gateway_backend_drained") == [({"backend": "a"}, 1.0), ({"backend": "b"}, 0.0)]
    assert orjson.loads(admin.gateway.readiness.response(verbose=True).body)["drained"] == ["a"]


def test_enabled_backend_is_asked_again(admin: Admin) -> None:
    admin.post("/admin/backends/a/drain")
    assert admin.post("/admin/backends/a/enable") == (200, {"backend": "a", "drained": False, "in_flight": 0})
    assert out(admin) == {}


def test_reload_leaves_it_drained_with_all_that_the_file_adds_to_it(admin: Admin) -> None:
    admin.post("/admin/backends/a/drain")
    assert admin.reload(MORE)[0] == 200
    drained = {row["deployment"] for row in admin.get("/admin/backends") if row["drained"] and not row["up"]}
    assert drained == {"a/llama-3.1-8b-instruct", "a/llama-3.3-70b-instruct"}


def test_drain_outlives_a_file_without_the_backend(admin: Admin) -> None:
    admin.post("/admin/backends/b/drain")
    admin.reload(OPEN)
    admin.reload(TWO)
    assert out(admin) == {"b/llama-3.1-8b-instruct": "drained by the operator"}


def test_with_all_of_them_drained_nobody_is_ready(admin: Admin) -> None:
    for name in "ab":
        admin.post(f"/admin/backends/{name}/drain")
    assert admin.gateway.readiness.response(verbose=False).status_code == 503


@pytest.mark.parametrize("verb", ["drain", "enable"])
def test_unknown_backend_is_named_in_a_sentence(admin: Admin, verb: str) -> None:
    status, body = admin.post(f"/admin/backends/nope/{verb}")
    assert (status, body["status"], body["type"]) == (404, 404, "about:blank")
    assert "nope" in body["detail"]


def test_drain_needs_the_key(admin: Admin) -> None:
    assert admin.post("/admin/backends/a/drain", key="wrong")[0] == 401
    assert out(admin) == {}
