"""`llama-gateway check` and `explain`, as an ops person runs them."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.process import run

POLICIES = Path(__file__).parents[2] / "policies"


def test_the_policies_of_the_project_are_good() -> None:
    ended = run("check", *map(str, sorted(POLICIES.glob("*.yaml"))))
    assert ended.returncode == 0, ended.stdout


def test_every_mistake_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("version: 1\nbackends:\n  a: {provider: vlm, models: {}}\nroute: []\n")
    ended = run("check", str(file))
    assert ended.returncode == 2
    assert f"{file}:3:" in ended.stdout and f"{file}:4:1:" in ended.stdout
    assert "vllm" in ended.stdout and "routes" in ended.stdout


def test_findings_can_be_read_by_programs(tmp_path: Path) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("version: 2\n")
    found = json.loads(run("check", str(file), "--format", "json").stdout)
    assert found[0]["file"] == str(file) and found[0]["severity"] == "error"
    assert run("check", str(file), "--format", "github").stdout.startswith("::error file=")


def test_no_file_is_wrong_usage() -> None:
    assert run("check").returncode == 2


@pytest.mark.parametrize("verb", [(), ("up",), ("serve",), ("check",), ("explain",)])
def test_every_verb_has_help_and_the_verbs_have_examples(verb: tuple[str, ...]) -> None:
    ended = run(*verb, "--help")
    assert ended.returncode == 0 and "llama-gateway" in ended.stdout
    assert not verb or "Example" in ended.stdout


def test_a_plan_is_explained_with_order_units_and_reasons(tmp_path: Path) -> None:
    ended = run("explain", "--policy", str(POLICIES / "default.yaml"), "--model", "auto", "--prompt", "Hello")
    assert ended.returncode == 0, ended.stderr
    assert "USD" in ended.stdout and "first token" in ended.stdout
    assert "out: fireworks/llama-3.3-70b-instruct" in ended.stdout


def test_a_request_with_headers_and_a_body_is_explained(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    body.write_text(json.dumps({"model": "auto", "stream": True, "messages": [{"role": "user", "content": "hi"}]}))
    policy = str(POLICIES / "default.yaml")
    told = run(
        "explain",
        "--policy",
        policy,
        "--request",
        str(body),
        "--header",
        "x-data-class: confidential",
        "--format",
        "json",
    )
    assert json.loads(told.stdout)["route"] == "private"


def test_a_model_that_nobody_serves_is_explained_by_the_routes(tmp_path: Path) -> None:
    ended = run("explain", "--policy", str(POLICIES / "default.yaml"), "--model", "gpt-99")
    assert ended.returncode == 2
    assert "model_not_found" in ended.stderr and "interactive" in ended.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize("id", ["req_1", "../../x", "a\nb"])
def test_a_gateway_that_does_not_run_is_a_sentence(id: str, host: str) -> None:
    settings = {"GATEWAY_ADMIN_PORT": "9", "GATEWAY_ADMIN_HOST": host, "GATEWAY_ADMIN_KEY": "sch\u00f6n"}
    ended = run("explain", "--id", id, env=settings)
    assert ended.returncode == 2 and "Is the gateway running?" in ended.stderr


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"{}"])
def test_a_server_that_is_no_gateway_is_a_sentence(body: bytes) -> None:
    class Another(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Another) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        ended = run("explain", "--id", "req_1", env={"GATEWAY_ADMIN_PORT": str(server.server_port)})
        server.shutdown()
    assert ended.returncode == 2 and "is no gateway" in ended.stderr


@pytest.mark.parametrize("option", ["--model", "--prompt"])
def test_what_is_no_unicode_text_is_a_sentence(option: str) -> None:
    ended = run("explain", "--policy", str(POLICIES / "default.yaml"), option, "\udcff")
    assert ended.returncode == 2 and "not UTF-8" in ended.stderr


def test_the_models_that_a_request_lists_are_explained_as_they_are_routed(tmp_path: Path) -> None:
    body = tmp_path / "body.json"
    messages = [{"role": "user", "content": "hi"}]
    body.write_text(json.dumps({"model": "gpt-99", "models": ["llama-3.3-70b-instruct"], "messages": messages}))
    policy = str(POLICIES / "default.yaml")
    told = run("explain", "--policy", policy, "--request", str(body), "--format", "json")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["route"] == "default"
