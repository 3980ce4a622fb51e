"""`llama-gateway doctor` says what is wrong and what to do, and its exit code says how bad it is."""

import json
import socket
from pathlib import Path

import pytest

from gateway.cli.doctor import exit_code, text
from gateway.config.problems import Severity
from gateway.fleet.checks.finding import Finding
from gateway.fleet.doctor import Looked, Report
from tests.process import run

POLICY = """\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://127.0.0.1:{port}
    api_key: ${{GPU_KEY}}
    models: {{llama-3.3-70b-instruct: {{}}}}
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """A policy whose only backend is not there."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    path = tmp_path / "mine.yaml"
    path.write_text(POLICY.format(port=port))
    return path


def test_a_server_that_is_not_there_is_an_error_with_advice(policy: Path) -> None:
    done = run("doctor", "--policy", str(policy), env={"GPU_KEY": "key-0123456789abcdef"})
    assert done.returncode == 2, done.stderr
    assert "error    tcp  gpu: Nothing listens on 127.0.0.1:" in done.stdout
    assert "Start the server, or correct the port." in done.stdout
    assert "1 backend looked at: 1 error" in done.stdout
    assert "key-0123456789abcdef" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout


def test_json_has_backends_findings_and_the_exit_code(policy: Path) -> None:
    done = run("doctor", "--format", "json", env={"GPU_KEY": "key-0123456789abcdef", "GATEWAY_POLICY": str(policy)})
    found = json.loads(done.stdout)
    assert (done.returncode, found["exit_code"]) == (2, 2)
    assert [(one["name"], one["kind"], one["models"]) for one in found["backends"]] == [("gpu", "vllm", 1)]
    assert set(found["findings"][0]) == {"severity", "check", "whom", "what", "advice"}


def test_a_policy_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    done = run("doctor", "--policy", str(tmp_path / "none.yaml"))
    assert done.returncode == 2
    assert "cannot be read" in done.stdout


def test_a_setting_that_cannot_be_used_is_told_with_the_rest() -> None:
    done = run("doctor", "--format", "json", env={"GATEWAY_PORT": "no"})
    first = json.loads(done.stdout)["findings"][0]
    assert (done.returncode, first["severity"], first["check"]) == (2, "error", "settings")
    assert "GATEWAY_PORT" in first["what"]


@pytest.mark.parametrize(
    ("severities", "code"), [([], 0), (["info"], 0), (["info", "warning"], 1), (["warning", "error"], 2)]
)
def test_the_exit_code_is_the_worst(severities: list[Severity], code: int) -> None:
    assert exit_code([Finding(one, "x", "y", "z") for one in severities]) == code


def test_text_for_a_terminal_has_colours_and_counts() -> None:
    report = Report(
        (Looked("gpu", "vllm", "http://gpu:8000", 2),),
        (Finding("warning", "clock", "this machine", "It is late.", "Wind it."), Finding("info", "a", "b", "c")),
    )
    lines = list(text(report, colour=True))
    assert lines[0] == "gpu  vllm  http://gpu:8000  2 models"
    assert "\x1b[33mwarning\x1b[0m" in lines[2]
    assert lines[3].strip() == "Wind it."
    assert lines[-1] == "1 backend looked at: 1 warning, 1 note."


def test_nothing_wrong_is_said_in_so_many_words() -> None:
    assert list(text(Report((), ()), colour=False)) == ["0 backends looked at: all is well."]
