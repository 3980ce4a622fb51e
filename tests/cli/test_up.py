"""`llama-gateway up`: no configuration, and still real answers."""

import json
import os
import signal
import socket
from pathlib import Path

import httpx
import pytest

from gateway.demo.provider import FINGERPRINT
from tests.process import ADMIN_KEY, GatewayProcess, run

BODY = {"model": "auto", "messages": [{"role": "user", "content": "What does a gateway do?"}]}


def demo(state: Path, *arguments: str) -> GatewayProcess:
    """The demo, whatever this machine has."""
    return GatewayProcess("up", "--demo", *arguments, env={"GATEWAY_STATE_DIR": str(state)})


def answered(gateway: GatewayProcess) -> httpx.Response:
    """One answer."""
    return httpx.post(f"{gateway.data}/v1/chat/completions", json=BODY, timeout=30)


def demo_ports(gateway: GatewayProcess) -> list[int]:
    """The ports of the demo's servers, from the table that was printed."""
    rows = [line.split() for line in gateway.printed if line.startswith("demo-")]
    return [int(row[1].rpartition(":")[2]) for row in rows]


def listening(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_demo_answers_and_says_that_it_is_a_toy(tmp_path: Path) -> None:
    with demo(tmp_path) as gateway:
        answer = answered(gateway).json()
        models = {row["id"] for row in httpx.get(f"{gateway.data}/v1/models").json()["data"]}
    assert answer["choices"][0]["message"]["content"]
    assert answer["system_fingerprint"] == FINGERPRINT
    assert {"auto", "llama-3.2-1b-instruct", "llama-3.1-8b-instruct", "llama-3.3-70b-instruct"} <= models
    assert "ITS MODELS ARE TOYS" in gateway.output and "curl -N" in gateway.output
    assert "FOUND" not in gateway.output  # nobody has looked


def test_the_demo_ends_with_the_gateway(tmp_path: Path) -> None:
    with demo(tmp_path) as gateway:
        ports = demo_ports(gateway)
        assert len(ports) == 3 and all(map(listening, ports))
        assert gateway.stop() == 0
    assert not any(map(listening, ports))


def test_the_demo_ends_also_when_the_gateway_is_killed(tmp_path: Path) -> None:
    with demo(tmp_path) as gateway:
        ports = demo_ports(gateway)
        gateway.stop(signal.SIGKILL)
    for _ in range(20_000):  # the servers see the end of their parent's pipe; each look takes a connection attempt
        if not any(map(listening, ports)):
            break
        os.sched_yield()
    assert not any(map(listening, ports))


def test_the_admin_plane_shows_the_backends_of_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path) as gateway:
        backends = {row["backend"]: row for row in httpx.get(f"{gateway.admin}/admin/backends").json()}
        assert set(backends) == {"demo-1", "demo-2", "demo-3"}
        answered(gateway)
        rows = httpx.get(f"{gateway.admin}/admin/backends").json()
    assert any(row["measured"] for row in rows) and all(row["up"] for row in rows)


def test_what_was_found_is_saved_as_a_policy_that_serves(tmp_path: Path) -> None:
    saved = tmp_path / "mine.yaml"
    with demo(tmp_path, "--write", str(saved)) as gateway:
        assert answered(gateway).status_code == 200
        assert run("check", str(saved)).returncode == 0
        with GatewayProcess("serve", "--policy", str(saved)) as other:
            assert answered(other).status_code == 200


def test_a_file_that_exists_is_not_overwritten(tmp_path: Path) -> None:
    saved = tmp_path / "mine.yaml"
    saved.write_text("precious")
    ended = run(
        "up",
        "--demo",
        "--write",
        str(saved),
        "--port",
        "0",
        "--admin-port",
        "0",
        env={"GATEWAY_STATE_DIR": str(tmp_path)},
    )
    assert ended.returncode == 2 and "exists" in ended.stderr
    assert saved.read_text() == "precious"


def test_a_state_directory_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    ended = run("up", "--demo", "--port", "0", "--admin-port", "0", env={"GATEWAY_STATE_DIR": str(blocked)})
    assert ended.returncode == 2
    assert "GATEWAY_STATE_DIR" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize("taken", ["--port", "--admin-port"])
def test_a_taken_port_is_told_before_anything_starts(tmp_path: Path, taken: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        other = "--admin-port" if taken == "--port" else "--port"
        ended = run("up", "--demo", taken, port, other, "0", env={"GATEWAY_STATE_DIR": str(tmp_path)})
    assert ended.returncode == 2 and port in ended.stderr and taken in ended.stderr
    assert not list(tmp_path.iterdir())


def test_the_plan_of_an_answered_request_can_be_explained(tmp_path: Path) -> None:
    with demo(tmp_path) as gateway:
        request = answered(gateway).headers["x-request-id"]
        host, _, port = gateway.admin.removeprefix("http://").partition(":")
        env = {"GATEWAY_ADMIN_HOST": host, "GATEWAY_ADMIN_PORT": port}
        told = run("explain", "--id", request, "--format", "json", env=env)
        unknown = run("explain", "--id", "req_unknown", env=env)
    plan = json.loads(told.stdout)
    assert plan["route"] == "auto" and len(plan["choices"]) == 3
    for choice in plan["choices"]:
        assert sum(term["adds"] for term in choice["terms"].values()) == pytest.approx(choice["score"])
    assert unknown.returncode == 2 and "req_unknown" in unknown.stderr


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "203.0.113.9"])
def test_up_serves_this_machine_only_and_says_at_once_what_to_do_instead(tmp_path: Path, host: str) -> None:
    env = {"GATEWAY_STATE_DIR": str(tmp_path)}
    ended = run("up", "--demo", "--host", host, "--port", "0", "--admin-port", "0", env=env)
    assert ended.returncode == 2
    assert host in ended.stderr and "--write" in ended.stderr and "callers" in ended.stderr
    assert not list(tmp_path.iterdir())


def test_up_has_no_policy_file_to_reload_and_says_so(tmp_path: Path) -> None:
    with demo(tmp_path) as gateway:
        asked = httpx.post(f"{gateway.admin}/admin/policy/reload", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    assert asked.status_code == 409
    assert "no policy file" in asked.text


def test_web_page_of_another_origin_cannot_use_the_demo(tmp_path: Path) -> None:
    with demo(tmp_path) as gateway:
        for headers in ({"origin": "http://evil.example"}, {"host": "evil.example"}):
            asked = httpx.post(f"{gateway.data}/v1/chat/completions", json=BODY, headers=headers, timeout=30)
            assert asked.status_code == 401
