"""The image and the services, as far as they can be tested without a container engine."""

import json
import os
import re
import shlex
import shutil
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from gateway.config import settings
from tests.deploy.dockerfile import copied, environment, of, steps
from tests.deploy.queries import ROOT
from tests.fleet.test_doctor_reach import certificate
from tests.process import GatewayProcess

DEPLOY = ROOT / "deploy"
STEPS = steps(DEPLOY / "Dockerfile")
PREFIX = "/opt/llama-gateway"
PYTHON = shlex.quote(sys.executable)
BUILD, FINAL = 0, 1
PROFILES = {"monitoring", "redis", "ollama"}
APP_KEY = "app-key-0123456789abcdef0123456789"


def services() -> dict[str, Any]:
    """The services of the compose file."""
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def source(tmp_path: Path) -> Path:
    """What the build stage copies, and nothing else."""
    src = tmp_path / "src"
    src.mkdir()
    for name, target in copied(STEPS, BUILD):
        put = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        put(ROOT / name, src / target)
    return src


def build(tmp_path: Path, lock: bool) -> Path:
    """Do the build stage's steps in a clean directory; the prefix. Without `lock`, its packages are those of here."""
    prefix, src = tmp_path / "prefix", source(tmp_path)
    clean = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    for command in of(STEPS, BUILD, "RUN"):
        line = command.replace(PREFIX, str(prefix)).replace(
            "python -m venv", f"{shlex.quote(sys.executable)} -m venv", 1
        )
        if command.startswith("install "):
            continue  # the state directory, of another user
        if "--require-hashes" in command and not lock:
            packages = next(prefix.glob("lib/python*/site-packages"))
            packages.joinpath("here.pth").write_text(f"{Path(pytest.__file__).parents[1]}\n")
            continue
        done = subprocess.run(["/bin/sh", "-c", line], cwd=src, env=clean, capture_output=True, text=True, check=False)
        assert done.returncode == 0, line + done.stdout + done.stderr
    return prefix


@pytest.mark.parametrize("lock", [False, pytest.param(True, marks=pytest.mark.soak)], ids=["packages of here", "lock"])
def test_steps_of_the_image_make_a_gateway_that_its_health_check_finds_well(tmp_path: Path, lock: bool) -> None:
    prefix, env = build(tmp_path, lock), environment(STEPS, FINAL)
    assert (prefix / "bin" / "llama-gateway").exists()
    shutil.copy(DEPLOY / "policies" / "policy.yaml", tmp_path / "policy.yaml")
    env |= {"GATEWAY_POLICY": str(tmp_path / "policy.yaml"), "GATEWAY_STATE_DIR": str(tmp_path / "state")}
    (entry,) = json.loads(of(STEPS, FINAL, "ENTRYPOINT")[0])
    verbs = json.loads(of(STEPS, FINAL, "CMD")[0])
    command = Path(entry.replace(PREFIX, str(prefix)))
    with GatewayProcess(*verbs, env={**env, "HOME": str(tmp_path), "APP_KEY": APP_KEY}, command=command) as gateway:
        url = re.sub(r"//[\d.]+:", "//127.0.0.1:", gateway.data)
        _, check = of(STEPS, FINAL, "HEALTHCHECK")[0].split("CMD ")
        words = [word.replace(PREFIX, str(prefix)) for word in json.loads(check)]
        port = {"GATEWAY_PORT": url.rpartition(":")[2]}
        assert subprocess.run(words, env=port, timeout=30, check=False).returncode == 0
        models = httpx.get(f"{url}/v1/models", headers={"authorization": f"Bearer {APP_KEY}"}).json()
        assert "llama-3.1-8b-instruct" in {row["id"] for row in models["data"]}
        assert httpx.get(f"{url}/v1/models").status_code == 401


class Well(BaseHTTPRequestHandler):
    """A server that is well at one path alone."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 404)
        self.end_headers()


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_health_check_speaks_as_the_gateway_listens(tmp_path: Path, tls: bool) -> None:
    with HTTPServer(("127.0.0.1", 0), Well) as server:
        env = {"GATEWAY_PORT": str(server.server_port)}
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate(tmp_path, "DNS:gateway.example"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
            env["GATEWAY_TLS_CERT"] = "/run/secrets/cert.pem"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _, check = of(STEPS, FINAL, "HEALTHCHECK")[0].split("CMD ")
        words = [sys.executable, *json.loads(check)[1:]]
        assert subprocess.run(words, env=env, timeout=30, check=False).returncode == 0
        server.shutdown()
    assert subprocess.run(words, env=env, timeout=30, check=False, stderr=subprocess.DEVNULL).returncode != 0


def test_image_is_made_from_the_lock_in_two_stages_and_runs_as_nobody() -> None:
    assert len([step for step in STEPS if step.word == "FROM"]) == 2
    assert "--require-hashes -r requirements.lock" in " ".join(of(STEPS, BUILD, "RUN"))
    assert of(STEPS, FINAL, "RUN") == []
    assert of(STEPS, FINAL, "USER") == ["65532:65532"]
    assert of(STEPS, FINAL, "EXPOSE") == ["4080 4081"]
    assert "/livez" in of(STEPS, FINAL, "HEALTHCHECK")[0]


def test_nothing_is_sent_to_the_builder_but_what_is_copied() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    assert ignored[1] == "*"
    assert {line[1:] for line in ignored if line.startswith("!")} == {name for name, _ in copied(STEPS, BUILD)}


def test_variables_of_the_image_and_the_services_are_ones_that_the_gateway_reads() -> None:
    known = set(re.findall(r"GATEWAY_[A-Z_]+", Path(settings.__file__).read_text()))
    texts = [(DEPLOY / name).read_text() for name in ("Dockerfile", "compose.yaml", "env.example")]
    texts.append((DEPLOY / "systemd" / "llama-gateway.service").read_text())
    assert {name for text in texts for name in re.findall(r"GATEWAY_[A-Z_]+", text)} <= known


@pytest.mark.parametrize("name", sorted(services()))
def test_service_is_hardened_pinned_and_reached_from_this_machine_alone(name: str) -> None:
    service = services()[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service.get("profiles", ())) <= PROFILES
    image = service["image"]
    assert image == "llama-gateway" or re.fullmatch(r"\$\{[A-Z]+_IMAGE:-[\w/]+:v?[\d.]+(-\w+)?\}", image)
    for port in service.get("ports", ()):
        assert port.startswith(("127.0.0.1:", "${LISTEN:-127.0.0.1}:"))


def test_services_mount_what_is_there_and_depend_on_what_is_there() -> None:
    file = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    for service in file["services"].values():
        for volume in service.get("volumes", ()):
            from_, _, _ = volume.partition(":")
            assert (DEPLOY / from_).is_dir() if from_.startswith(".") else from_ in file["volumes"]
        assert set(service.get("depends_on", ())) <= set(file["services"])
    assert {profile for service in file["services"].values() for profile in service.get("profiles", ())} == PROFILES
    build_ = file["services"]["gateway"]["build"]
    assert (DEPLOY / build_["context"] / build_["dockerfile"]).resolve() == DEPLOY / "Dockerfile"


def test_variables_that_the_services_want_are_in_the_example() -> None:
    text = (DEPLOY / "compose.yaml").read_text() + (DEPLOY / "policies" / "policy.yaml").read_text()
    wanted = {name for name in re.findall(r"\$\{([A-Z_]+)", text) if not name.endswith(("_IMAGE", "_URL"))}
    example = set(re.findall(r"^#?([A-Z_]+)=", (DEPLOY / "env.example").read_text(), re.MULTILINE))
    assert wanted <= example


def test_grafana_is_provisioned_with_the_prometheus_and_the_dashboards_that_are_mounted() -> None:
    provisioning = DEPLOY / "grafana" / "provisioning"
    sources = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    providers = yaml.safe_load((provisioning / "dashboards" / "llama-gateway.yml").read_text())["providers"]
    assert sources[0]["url"] == "http://prometheus:9090"
    mounted = {volume.split(":")[1] for volume in services()["grafana"]["volumes"] if volume.startswith("./")}
    assert providers[0]["options"]["path"] in mounted
    assert "/etc/grafana/provisioning" in mounted
    home = services()["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (DEPLOY / "grafana" / "dashboards" / Path(home).name).exists()


def test_prometheus_scrapes_the_gateway_by_the_name_of_its_service() -> None:
    jobs = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    assert jobs[0]["static_configs"] == [{"targets": ["gateway:4081"]}]
    assert "gateway" in services()


def test_requests_that_run_may_end_before_the_service_is_killed() -> None:
    usual = settings.Settings()
    drain = usual.drain_accept_seconds + usual.drain_seconds
    assert int(services()["gateway"]["stop_grace_period"].removesuffix("s")) > drain
    unit = (DEPLOY / "systemd" / "llama-gateway.service").read_text()
    stop = re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) > drain
