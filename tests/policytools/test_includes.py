"""The tools see a policy in several files as one."""

from datetime import date
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.policytools.diff import difference
from gateway.policytools.suites import run_file
from gateway.policytools.versions import Version, version

CATALOGUE, TODAY = Catalogue.load(), date(2026, 11, 24)
FLEET = """version: 1
backends:
  gpu: {provider: vllm, url: http://10.0.0.5:8000, models: {llama-3.3-70b-instruct: {}}}
  host:
    {provider: openai_compatible, url: http://a.example, api_key: "${HOST_KEY}", models: {llama-3.3-70b-instruct:
     {price: {input: 1, output: PRICE}}}}
"""
MAIN = """version: 1
include: FLEET
routes:
  - {name: all, match: {model: [auto]}, models: [llama-3.3-70b-instruct], prefer: hosted}
"""


def policy(folder: Path, name: str, price: str) -> Path:
    """A policy in two files."""
    folder.joinpath(f"{name}-fleet.yaml").write_text(FLEET.replace("PRICE", price))
    file = folder / f"{name}.yaml"
    file.write_text(MAIN.replace("FLEET", f"{name}-fleet.yaml"))
    return file


def opened(file: Path) -> Version:
    """The policy of a file, to be compared."""
    return version(file.read_bytes(), str(file), {}, CATALOGUE, TODAY)


def test_a_change_in_an_included_file_is_a_change_of_the_policy(tmp_path: Path) -> None:
    old, new = opened(policy(tmp_path, "old", "1")), opened(policy(tmp_path, "new", "2"))
    told = [change.text for change in difference(old, new).changes if change.section == "deployments"]
    assert len(told) == 1 and "price" in told[0]
    assert difference(old, old).changes == ()


def test_what_an_included_file_says_is_shown_as_it_is_written(tmp_path: Path) -> None:
    found = opened(policy(tmp_path, "old", "1"))
    assert found.written(("backends", "gpu", "url")) == "http://10.0.0.5:8000"
    assert found.written(("backends", "host", "api_key")) == "***"
    assert found.written(("routes", 0, "prefer")) == "hosted"


def test_credentials_of_included_files_have_stand_ins_in_tests_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOST_KEY", raising=False)
    policy(tmp_path, "old", "1")
    tests = tmp_path / "old.test.yaml"
    tests.write_text("tests:\n  - {name: the host comes first, request: {model: auto}, expect: {first: host}}\n")
    suite = run_file(tests, CATALOGUE, TODAY)
    assert suite.problems == () and [result for result in suite.results if result.missed] == []
