"""The admin plane's view of the policy: what is in force, what was, reload and rollback."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from gateway.api.guard import Guard
from gateway.app import build
from gateway.config.live import LivePolicy
from gateway.config.watching import Watcher
from gateway.outcomes import Sketch
from gateway.policytools.logged import read_line
from tests.api.operators import KEY, Admin
from tests.config.reloading import BAD, OPEN
from tests.telemetry.records import record

BURSTING = """routes:
  - name: chat
    match: {model: [auto], when: "request.stream"}
    models: [llama-3.1-8b-instruct]
    prefer: self_hosted
    burst: {when: {ttft: 2s}, back_below: 1s}
"""
OUT = "  out: {provider: groq, api_key: k0123456789abcdef, models: {llama-3.1-8b-instruct: {}}}\n"


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    """The same, with a plain policy."""
    yield Admin(tmp_path / "policy.yaml", OPEN)


def test_policy_tells_its_files_and_the_problems_of_one_that_was_refused(admin: Admin) -> None:
    status, body = admin.reload(BAD)
    assert (status, len(body["problems"])) == (422, 1)
    found = admin.get("/admin/policy")
    assert (found["file"], found["files"]) == (str(admin.path), [str(admin.path)])
    assert (found["last_reload"], found["pinned"]) == ("refused", False)
    assert found["generation"] == body["generation"] == admin.live.current.generation
    (problem,) = found["problems"]
    assert (problem["code"], problem["line"]) == ("LG030", 3)
    assert "vlm" in problem["excerpt"]


def test_versions_are_told_newest_first_with_what_they_came_by(admin: Admin) -> None:
    first = admin.live.current.generation
    status, body = admin.reload(OPEN + "# 2\n")
    rows = admin.get("/admin/policy/versions")
    assert status == 200
    assert [(row["generation"], row["by"], row["current"]) for row in rows] == [
        (body["generation"], "admin", True),
        (first, "start", False),
    ]
    assert rows[0]["change"] == "of the last 0 requests none fares differently"


def test_only_the_last_twenty_versions_are_kept(admin: Admin) -> None:
    for index in range(22):
        admin.reload(OPEN + f"# {index}\n")
    assert len(admin.get("/admin/policy/versions")) == 20


def test_rollback_pins_the_version_before_and_a_reload_ends_that(admin: Admin) -> None:
    first = admin.live.current.generation
    _, body = admin.reload(OPEN + "# 2\n")
    status, back = admin.post("/admin/policy/rollback")
    assert (status, back["generation"], back["pinned"]) == (200, first, True)
    assert admin.get("/admin/policy")["pinned"] is admin.ready()["pinned"] is True
    assert admin.post("/admin/policy/reload")[1] == {**body, "pinned": False}


def test_rollback_goes_to_the_generation_that_is_named(admin: Admin) -> None:
    first = admin.live.current.generation
    for index in range(3):
        admin.reload(OPEN + f"# {index}\n")
    assert admin.post("/admin/policy/rollback", {"generation": first})[1]["generation"] == first


def test_rollback_to_what_is_not_kept_is_a_sentence(admin: Admin) -> None:
    assert admin.post("/admin/policy/rollback")[0] == 404
    status, body = admin.post("/admin/policy/rollback", {"generation": "nope"})
    assert (status, "nope" in body["detail"], "/admin/policy/versions" in body["detail"]) == (404, True, True)


def test_a_generation_without_a_name_is_none_and_does_not_stand_for_the_one_before(admin: Admin) -> None:
    _, second = admin.reload(OPEN + "# 2\n")
    assert admin.post("/admin/policy/rollback", {"generation": ""})[0] == 404
    assert admin.live.current.generation == second["generation"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"generatoin": "x"}', 422),
        (b'{"generation": 3}', 422),
        (b'{"generation": "\\ud800"}', 422),
        (b'{"\\ud800": 1}', 422),
        (b"[]", 422),
        (b"{", 422),
        (b"\xff", 422),
        (b"[" * 100_000, 422),
        (b" " * ((8 << 20) + 1), 413),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_a_body_that_is_no_target_is_refused_with_a_sentence(admin: Admin, body: bytes, status: int) -> None:
    _, second = admin.reload(OPEN + "# 2\n")
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    answer = admin.client.post("/admin/policy/rollback", content=body, headers=headers)
    assert answer.status_code == status and isinstance(answer.json()["detail"], str)
    assert admin.live.current.generation == second["generation"]


@pytest.mark.parametrize("path", ["/admin/policy/reload", "/admin/policy/rollback"])
def test_writes_need_the_admin_key(admin: Admin, path: str) -> None:
    assert isinstance(admin.gateway.admin, Guard)
    assert admin.post(path, key="wrong")[0] == 401
    assert len(admin.live.history.versions) == 1


@pytest.mark.parametrize("verb", ["reload", "rollback"])
def test_gateway_without_a_file_has_nothing_to_reload_and_says_so(admin: Admin, verb: str) -> None:
    live = LivePolicy(admin.live.loaded)
    client = TestClient(build(live, KEY, frozenset({"testserver"})).admin, client=("127.0.0.1", 5000))
    answer = client.post(f"/admin/policy/{verb}", headers={"authorization": f"Bearer {KEY}"})
    assert (answer.status_code, "`up`" in answer.json()["detail"]) == (409, True)
    assert client.get("/admin/policy").json()["file"] == ""


def test_metrics_and_readiness_are_true_after_every_kind_of_reload(admin: Admin) -> None:
    def said() -> tuple[float, str, str]:
        ((_, success),), ((labels, _),) = (
            admin.metric("gateway_policy_reload_success"),
            admin.metric("gateway_policy_generation"),
        )
        return success, labels["generation"], admin.ready()["last_reload"]

    first = admin.live.current.generation
    assert said() == (1.0, first, "ok")
    admin.reload(BAD)
    assert said() == (0.0, first, "refused")
    second = admin.reload(OPEN + "# 2\n")[1]["generation"]
    assert said() == (1.0, second, "ok")
    admin.post("/admin/policy/rollback")
    assert said() == (1.0, first, "ok")
    admin.path.unlink()
    asyncio.run(Watcher(admin.live).look())
    assert said() == (0.0, first, "refused")
    ((_, at),) = admin.metric("gateway_policy_reload_timestamp_seconds")
    assert at == admin.live.changed


def test_route_rules_are_in_the_metrics(tmp_path: Path) -> None:
    admin = Admin(tmp_path / "policy.yaml", OPEN + OUT + BURSTING)
    book = admin.gateway.engine.tools.book
    chat = {"route": "chat"}
    assert admin.metric("gateway_burst_active") == [(chat, 0.0)]
    assert admin.metric("gateway_policy_expression_errors_total") == [(chat, 0.0)]
    book.bursts.add("chat")
    book.expression_errors["chat"] = 3
    assert admin.metric("gateway_burst_active") == [(chat, 1.0)]
    assert admin.metric("gateway_policy_expression_errors_total") == [(chat, 3.0)]


def test_last_requests_are_exported_as_the_lines_that_diff_reads(admin: Admin) -> None:
    for number in (1, 2):
        admin.gateway.requests.answered(record(id=f"req_{number}", sketch=Sketch("auto", prompt_tokens=number)))
    lines = admin.client.get("/admin/requests/export").content.splitlines()
    assert [(found.id, found.sketch.model, found.sketch.prompt_tokens) for found in map(read_line, lines)] == [
        ("req_1", "auto", 1),
        ("req_2", "auto", 2),
    ]
