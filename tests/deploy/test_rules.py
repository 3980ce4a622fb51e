"""The rules for Prometheus: right by its own tool, and tested one by one."""

import re
import subprocess
from typing import Any

import pytest

from tests.deploy.rules import ALERTS, WHERE
from tests.prometheus_server import program

alert = pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "config", "prometheus.yml"),
        ("check", "rules", "rules/recording.yml", "rules/alerts.yml"),
        ("test", "rules", "rules.test.yml"),
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([program("promtool"), *arguments], cwd=WHERE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@alert
def test_alert_has_a_test_in_which_it_fires(rule: dict[str, Any]) -> None:
    tested = (WHERE / "rules.test.yml").read_text()
    assert re.search(rf'alertname(: |="){rule["alert"]}\b', tested)


@alert
def test_alert_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert len(rule["annotations"]["summary"]) > 20
    assert len(rule["annotations"]["description"]) > 100
