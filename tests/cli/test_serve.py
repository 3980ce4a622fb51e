"""`llama-gateway serve`: a bad file never starts and never replaces a good one."""

import json
import signal
import socket
from pathlib import Path

import httpx
import pytest

from tests.process import ADMIN_KEY, GatewayProcess, run

GOOD = """version: 1
backends:
  a: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
"""
BAD = GOOD.replace("vllm", "vlm")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A good policy in a directory of its own."""
    file = tmp_path / "policy.yaml"
    file.write_text(GOOD)
    return file


def generation(gateway: GatewayProcess) -> str:
    """The generation in force."""
    found: str = httpx.get(f"{gateway.admin}/admin/policy").json()["generation"]
    return found


def verbose(gateway: GatewayProcess) -> dict[str, object]:
    """What the gateway says of its policy when asked whether it is ready."""
    found: dict[str, object] = httpx.get(f"{gateway.data}/readyz?verbose").json()["policy"]
    return found


def reload(gateway: GatewayProcess) -> httpx.Response:
    """Ask for a reload, as an operator does."""
    return httpx.post(f"{gateway.admin}/admin/policy/reload", headers={"authorization": f"Bearer {ADMIN_KEY}"})


def test_a_bad_policy_does_not_start_and_says_every_mistake(policy: Path) -> None:
    policy.write_text(BAD + "rutes: []\n")
    ended = run("serve", "--policy", str(policy))
    assert ended.returncode == 2
    assert "did you mean 'vllm'" in ended.stderr.lower() or "vllm" in ended.stderr
    assert f"{policy}:3:" in ended.stderr and f"{policy}:4:" in ended.stderr


def test_no_policy_is_a_sentence_that_says_what_to_do() -> None:
    ended = run("serve")
    assert ended.returncode == 2
    assert "--policy" in ended.stderr and "GATEWAY_POLICY" in ended.stderr and "Traceback" not in ended.stderr


def test_a_policy_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    ended = run("serve", "--policy", str(tmp_path / "nowhere.yaml"))
    assert ended.returncode == 2
    assert "nowhere.yaml" in ended.stderr and "Traceback" not in ended.stderr


@pytest.mark.parametrize(("flag", "variable"), [("--port", "GATEWAY_PORT"), ("--admin-port", "GATEWAY_ADMIN_PORT")])
def test_a_taken_port_is_named_with_the_way_to_choose_another(policy: Path, flag: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        other = "--admin-port" if flag == "--port" else "--port"
        ended = run("serve", "--policy", str(policy), flag, port, other, "0")
    assert ended.returncode == 2
    assert port in ended.stderr and flag in ended.stderr and variable in ended.stderr


def test_an_open_address_needs_keys(policy: Path) -> None:
    ended = run("serve", "--policy", str(policy), "--host", "0.0.0.0", "--port", "0", "--admin-port", "0")
    assert ended.returncode == 2
    assert "callers" in ended.stderr


def test_a_wrong_setting_is_named(policy: Path) -> None:
    ended = run("serve", "--policy", str(policy), env={"GATEWAY_PORT": "http"})
    assert ended.returncode == 2
    assert "GATEWAY_PORT" in ended.stderr and "Traceback" not in ended.stderr


def test_a_good_change_takes_over_and_a_bad_one_does_not(policy: Path) -> None:
    with GatewayProcess("serve", "--policy", str(policy)) as gateway:
        first = generation(gateway)
        policy.write_text(BAD)
        refused = reload(gateway)
        assert refused.status_code == 422 and refused.json()["problems"]
        assert generation(gateway) == first
        assert verbose(gateway)["last_reload"] == "refused"
        policy.write_text(GOOD + "# better\n")
        assert reload(gateway).status_code == 200
        assert generation(gateway) != first
        assert verbose(gateway)["last_reload"] == "ok"


def test_a_change_of_the_file_is_seen_without_being_told(policy: Path) -> None:
    with GatewayProcess("serve", "--policy", str(policy)) as gateway:
        first = generation(gateway)
        better = policy.with_name("better.yaml")
        better.write_text(GOOD + "# better\n")
        better.rename(policy)
        for _ in range(2000):  # each look is a request of its own; the watch needs a fraction of a second
            if generation(gateway) != first:
                break
        assert generation(gateway) != first


def test_a_hangup_signal_reads_the_policy_again(policy: Path) -> None:
    with GatewayProcess("serve", "--policy", str(policy)) as gateway:
        policy.write_text(BAD)
        gateway.process.send_signal(signal.SIGHUP)
        for _ in range(2000):
            if verbose(gateway)["last_reload"] == "refused":
                break
        assert verbose(gateway)["last_reload"] == "refused"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_cleanly_when_asked(policy: Path, number: signal.Signals) -> None:
    with GatewayProcess("serve", "--policy", str(policy)) as gateway:
        assert httpx.get(f"{gateway.data}/livez").status_code == 200
        assert gateway.stop(number) == 0
    assert "Traceback" not in gateway.output


def test_the_admin_plane_lets_nobody_write_without_its_key(policy: Path) -> None:
    with GatewayProcess("serve", "--policy", str(policy)) as gateway:
        url = f"{gateway.admin}/admin/policy/reload"
        assert httpx.post(url).status_code == 401
        assert httpx.get(f"{gateway.admin}/admin/policy", headers={"host": "evil.example"}).status_code == 421
        assert httpx.get(f"{gateway.admin}/metrics", headers={"host": "gateway.monitoring.svc"}).status_code == 200
        foreign = {"authorization": f"Bearer {ADMIN_KEY}", "origin": "http://evil.example"}
        assert httpx.post(url, headers=foreign).status_code == 403


def test_logs_are_json_where_there_is_no_terminal(policy: Path) -> None:
    with GatewayProcess("serve", "--policy", str(policy)) as gateway:
        body = {"model": "llama-3.1-8b-instruct", "messages": [{"role": "user", "content": "hi"}]}
        assert httpx.post(f"{gateway.data}/v1/chat/completions", json=body).status_code == 502
    lines = [json.loads(line) for line in gateway.printed if line.startswith("{")]
    (answered,) = [line for line in lines if line["event"] == "request.answered"]
    assert (answered["status"], answered["error"]) == (502, "upstream_unreachable")


def test_callers_that_vanish_from_the_file_stay_until_an_operator_reloads_it(policy: Path) -> None:
    keyed = GOOD + "callers:\n  team: {key: a-key-of-sixteen-c}\n"
    policy.write_text(keyed)
    with GatewayProcess("serve", "--policy", str(policy)) as gateway:
        first = generation(gateway)
        policy.write_text(GOOD)
        for _ in range(5000):  # the watch needs a fraction of a second
            if verbose(gateway)["last_reload"] == "refused":
                break
        assert (verbose(gateway)["last_reload"], generation(gateway)) == ("refused", first)
        assert httpx.get(f"{gateway.data}/v1/models").status_code == 401
        assert reload(gateway).status_code == 200
        assert httpx.get(f"{gateway.data}/v1/models").status_code == 200
