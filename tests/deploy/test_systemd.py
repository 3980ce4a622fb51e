"""The unit, as systemd itself sees it."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.deploy.queries import ROOT
from tests.process import COMMAND

UNIT = ROOT / "deploy" / "systemd" / "llama-gateway.service"
INSTALLED = "/opt/llama-gateway/bin/llama-gateway"
EXPOSURE = 15  # tenths: what `systemd-analyze security` calls OK ends at 50


def analyze(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze."""
    program = shutil.which("systemd-analyze")
    if program is None:
        assert not os.environ.get("CI"), "CI has systemd"
        pytest.skip("needs Debian's package systemd")
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def unit(tmp_path: Path) -> str:
    """The unit, with the command of here."""
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace(INSTALLED, str(COMMAND)))
    return str(path)


def test_systemd_finds_nothing_wrong_with_the_unit(unit: str) -> None:
    done = analyze("verify", "--man=no", unit)
    assert (done.returncode, done.stderr) == (0, "")


def test_unit_is_exposed_little(unit: str) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", unit)
    assert done.returncode == 0, done.stdout


def test_misspelt_setting_of_the_unit_would_be_noticed(unit: str) -> None:
    Path(unit).write_text(Path(unit).read_text().replace("DynamicUser", "DynamicUsser"))
    assert "DynamicUsser" in analyze("verify", "--man=no", unit).stderr
