"""What outlives a gateway: its log and its ledger, also when it is killed; and what it does when it cannot write."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from tests.process import ADMIN_KEY, GatewayProcess, run

POLICY = """version: 1
backends:
  a: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
routes:
  - {name: chat, match: {model: [auto]}, models: [llama-3.1-8b-instruct]}
"""
BODY = {"model": "auto", "messages": [{"role": "user", "content": "canary-prompt-4711"}]}
LOOKS = 30_000
ROOT = os.geteuid() == 0


class Place:
    """A state directory and a policy in a directory of their own."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.env = {"GATEWAY_STATE_DIR": str(self.state)}
        self.policy = directory / "policy.yaml"
        self.policy.write_text(POLICY)

    def gateway(self, **env: str) -> GatewayProcess:
        """A gateway in this place."""
        return GatewayProcess("serve", "--policy", str(self.policy), env={**self.env, **env})

    def refusal(self, **env: str) -> str:
        """Why a gateway does not start here."""
        arguments = ("--policy", str(self.policy), "--port", "0", "--admin-port", "0")
        ended = run("serve", *arguments, env={**self.env, **env})
        assert ended.returncode == 2
        assert "Traceback" not in ended.stderr
        return ended.stderr

    def written(self, count: int) -> bool:
        """Whether so many requests are in the file."""
        with closing(sqlite3.connect(self.state / "gateway.db")) as db:
            return int(db.execute("SELECT count(*) FROM requests").fetchone()[0]) >= count


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def ask(gateway: GatewayProcess) -> str:
    """A request that is planned and fails; its id."""
    answer = httpx.post(f"{gateway.data}/v1/chat/completions", json=BODY)
    assert answer.status_code == 502
    return answer.headers["x-request-id"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_requests_are_there_after_a_restart_whatever_ended_it(place: Place, number: signal.Signals) -> None:
    with place.gateway() as gateway:
        ids = [ask(gateway) for _ in range(3)]
        if number == signal.SIGKILL:
            assert any(place.written(3) for _ in range(LOOKS))
        gateway.stop(number)
    with place.gateway() as gateway:
        rows = httpx.get(f"{gateway.admin}/admin/requests").json()
        assert [row["id"] for row in rows] == ids[::-1]
        story = httpx.get(f"{gateway.admin}/admin/requests/{ids[0]}").json()
        assert story["plan"]["choices"][0]["deployment"] == "a/llama-3.1-8b-instruct"
        ids.append(ask(gateway))
        assert [row["id"] for row in httpx.get(f"{gateway.admin}/admin/requests?limit=2").json()] == [ids[3], ids[2]]
        spent = httpx.get(f"{gateway.admin}/admin/spend?by=route").json()
        assert spent["total"]["requests"] >= 3
    kept = b"".join(file.read_bytes() for file in place.state.iterdir())
    assert b"canary-prompt-4711" not in kept
    ended = run("explain", "--id", ids[1], "--format", "json", env={**place.env, "GATEWAY_ADMIN_PORT": "9"})
    assert (ended.returncode, json.loads(ended.stdout)["route"]) == (0, "chat"), ended.stderr


def test_a_state_directory_of_another_program_or_time_is_not_touched(place: Place) -> None:
    place.state.mkdir()
    with closing(sqlite3.connect(place.state / "gateway.db")) as db:
        db.execute("CREATE TABLE songs (name)")
    before = (place.state / "gateway.db").read_bytes()
    assert "another program" in place.refusal()
    assert (place.state / "gateway.db").read_bytes() == before


def test_a_gateway_that_cannot_write_serves_and_says_so_once(place: Place) -> None:
    place.state.write_text("in the way")
    with place.gateway() as gateway:
        for _ in range(3):
            ask(gateway)
        assert len(httpx.get(f"{gateway.admin}/admin/requests").json()) == 3
        metrics = httpx.get(f"{gateway.admin}/metrics").text
        assert 'gateway_store_up{store="state"} 0.0' in metrics
        assert gateway.stop() == 0
    lines = [json.loads(line) for line in gateway.printed if line.startswith("{")]
    (down,) = [line for line in lines if line["event"] == "state.down"]
    assert down["level"] == "error" and "in memory" in down["do"]
    assert "Traceback" not in gateway.output


def test_what_waited_is_written_when_there_is_room_again(place: Place) -> None:
    place.state.write_text("in the way")
    with place.gateway() as gateway:
        id = ask(gateway)
        place.state.unlink()
        assert any('state"} 1.0' in metrics(gateway) for _ in range(LOOKS))
        gateway.stop()
    with place.gateway() as gateway:
        assert [row["id"] for row in httpx.get(f"{gateway.admin}/admin/requests").json()] == [id]


def metrics(gateway: GatewayProcess) -> str:
    return httpx.get(f"{gateway.admin}/metrics").text


def test_two_gateways_on_one_directory_serve_and_the_second_says_so(place: Place) -> None:
    with place.gateway() as first, place.gateway() as second:
        for _ in range(5):
            ask(first)
            ask(second)
        assert any(place.written(10) for _ in range(LOOKS))
        assert "gateway_state_shared 1.0" in metrics(second) and "gateway_state_shared 0.0" in metrics(first)
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        made = httpx.post(f"{first.admin}/admin/callers", json={"name": "search"}, headers=headers).json()["key"]
        for gateway in (first, second):
            assert any(httpx.get(f"{gateway.data}/v1/models").status_code == 401 for _ in range(LOOKS))
            assert httpx.get(f"{gateway.data}/v1/models", headers={"x-api-key": made}).status_code == 200
        assert (first.stop(), second.stop()) == (0, 0)
    assert "state.shared" in second.output and "state.shared" not in first.output
    assert "Traceback" not in first.output + second.output


@pytest.mark.skipif(not ROOT or shutil.which("mount") is None, reason="mounts a small file system")
def test_a_full_disk_stops_nobody(place: Place) -> None:
    place.state.mkdir()
    mounted = run_quietly("mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place.state))
    if not mounted:
        pytest.skip("mounting is not allowed here")
    try:
        with place.gateway() as gateway:
            for _ in range(150):
                ask(gateway)
            assert any('gateway_store_up{store="state"} 0.0' in metrics(gateway) for _ in range(LOOKS))
            ask(gateway)
            assert gateway.stop() == 0
        assert "Traceback" not in gateway.output
        with closing(sqlite3.connect(place.state / "gateway.db")) as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        run_quietly("umount", str(place.state))


def run_quietly(*command: str) -> bool:
    """Run a program; whether it succeeded."""
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def test_secrets_of_the_environment_are_checked_before_anything_starts(place: Place) -> None:
    assert "GATEWAY_SECRET" in place.refusal(GATEWAY_SECRET="weak")
    assert "GATEWAY_REQUEST_LOG_DAYS" in place.refusal(GATEWAY_REQUEST_LOG_DAYS="-1")
    assert "GATEWAY_SECRET" in place.refusal(GATEWAY_STORE_URL="redis://127.0.0.1:9/0")


def test_a_log_of_no_days_is_kept_in_memory_alone(place: Place) -> None:
    with place.gateway(GATEWAY_REQUEST_LOG_DAYS="0") as gateway:
        ask(gateway)
        assert len(httpx.get(f"{gateway.admin}/admin/requests").json()) == 1
        gateway.stop()
    assert not place.written(1)
