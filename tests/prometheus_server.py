"""A real Prometheus, Debian's, as a process of the tests."""

import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.bench.proc import free_port

SCRAPE = "200ms"


def program(name: str) -> str:
    """The path of a program of Debian's package prometheus; the test is skipped without it, and fails in CI."""
    path = shutil.which(name)
    if path is None:
        assert not os.environ.get("CI"), f"CI has {name}"
        pytest.skip(f"needs Debian's package prometheus ({name})")
    return path


class Prometheus:
    """Asks a running Prometheus."""

    def __init__(self, url: str) -> None:
        self.client = httpx.Client(base_url=url, timeout=30)

    def get(self, path: str, **params: str | float) -> Any:
        """The `data` of an API path; raises with Prometheus's own words when it refuses."""
        answer = self.client.get(f"/api/v1/{path}", params=params).json()
        assert answer["status"] == "success", answer["error"]
        return answer["data"]

    def now(self, expression: str) -> list[float]:
        """The values of an expression's series now."""
        return [float(row["value"][1]) for row in self.get("query", query=expression)["result"]]

    def over(self, expression: str, start: float, end: float, step: float) -> list[Any]:
        """The series of an expression over a time; Unix seconds."""
        rows: list[Any] = self.get("query_range", query=expression, start=start, end=end, step=step)["result"]
        return rows


def config(targets: Mapping[str, str], rules: str) -> dict[str, Any]:
    """A configuration that scrapes `targets` (address by job) often, and evaluates rules once a second."""
    return {
        "global": {"scrape_interval": SCRAPE, "scrape_timeout": SCRAPE, "evaluation_interval": "1s"},
        "rule_files": [rules] if rules else [],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [url.removeprefix("http://")]}]}
            for job, url in targets.items()
        ],
    }


@contextmanager
def prometheus(directory: Path, targets: Mapping[str, str], rules: str = "") -> Iterator[Prometheus]:
    """A Prometheus that scrapes `targets` (address by job); its first scrape comes after about five seconds."""
    executable = program("prometheus")
    file, port = directory / "prometheus.yml", free_port()
    file.write_text(yaml.safe_dump(config(targets, rules)))
    process = subprocess.Popen(
        [
            executable,
            f"--config.file={file}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--enable-feature=exemplar-storage",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    lines = iter(process.stderr)
    seen = []
    for line in lines:
        seen.append(line)
        if "ready to receive web requests" in line:
            break
    else:
        raise RuntimeError("".join(seen))
    draining = threading.Thread(target=lambda: [None for _ in lines], daemon=True)
    draining.start()
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)
