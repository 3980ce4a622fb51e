"""`llama-gateway schema`, `fmt`, `test` and `diff`, as an ops person runs them."""

import json
from pathlib import Path

import pytest

from tests.process import run

POLICIES = Path(__file__).parents[2] / "policies"
DEFAULT = POLICIES / "default.yaml"
UNTIDY = "backends:\n    gpu: {url: 'http://10.0.0.5:8000', provider: vllm}\nversion:  1\n"
TIDY = "version: 1\n\nbackends:\n  gpu: {provider: vllm, url: 'http://10.0.0.5:8000'}\n"


@pytest.mark.parametrize("verb", ["schema", "fmt", "test", "diff"])
def test_every_verb_has_help_with_examples(verb: str) -> None:
    ended = run(verb, "--help")
    assert ended.returncode == 0 and "Example" in ended.stdout
    assert verb == "schema" or "code" in ended.stdout


def test_the_schema_is_that_beside_the_policies() -> None:
    assert run("schema").stdout == POLICIES.joinpath("policy.schema.json").read_text()
    assert run("schema", "--tests").stdout == POLICIES.joinpath("policy.test.schema.json").read_text()


def test_a_file_is_formatted_in_place_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(UNTIDY)
    file.chmod(0o640)
    ended = run("fmt", str(file))
    assert ended.returncode == 0 and "formatted" in ended.stdout
    assert file.read_text() == TIDY and file.stat().st_mode & 0o777 == 0o640
    assert run("fmt", "--check", str(file)).returncode == 0
    assert [one.name for one in tmp_path.iterdir()] == ["x.yaml"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    tmp_path.joinpath("real.yaml").write_text(UNTIDY)
    link = tmp_path / "x.yaml"
    link.symlink_to("real.yaml")
    assert run("fmt", str(link)).returncode == 0
    assert link.is_symlink() and tmp_path.joinpath("real.yaml").read_text() == TIDY


def test_check_and_diff_write_nothing(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(UNTIDY)
    ended = run("fmt", "--check", str(file))
    assert (ended.returncode, ended.stdout) == (1, f"{file} would change.\n")
    shown = run("fmt", "--diff", str(file))
    assert shown.returncode == 0 and "-version:  1\n" in shown.stdout and "+version: 1\n" in shown.stdout
    assert file.read_text() == UNTIDY


def test_a_file_that_is_no_yaml_is_left_alone_and_told_and_the_others_are_done(tmp_path: Path) -> None:
    bad, good = tmp_path / "bad.yaml", tmp_path / "good.yaml"
    bad.write_text("version: [\n")
    good.write_text(UNTIDY)
    ended = run("fmt", str(bad), str(tmp_path / "none.yaml"), str(good))
    assert ended.returncode == 2
    assert f"{bad}:2:1: error LG001" in ended.stderr and "none.yaml cannot be read" in ended.stderr
    assert bad.read_text() == "version: [\n" and good.read_text() == TIDY


def test_the_tests_of_the_project_pass_by_the_policies_names_as_well() -> None:
    ended = run("test", str(DEFAULT), str(POLICIES / "default.test.yaml"), str(POLICIES / "cost-first.test.yaml"))
    assert ended.returncode == 0, ended.stdout
    assert ended.stdout.count("SUCCESS") == 16 and "16 passed, 0 failed" in ended.stdout


def write_failing(tmp_path: Path) -> str:
    file = tmp_path / "x.test.yaml"
    file.write_text(f"policy: {DEFAULT}\ntests:\n  - name: it\n    expect: {{route: private}}\n")
    return str(file)


def test_a_test_that_fails_says_what_came(tmp_path: Path) -> None:
    file = write_failing(tmp_path)
    ended = run("test", file)
    assert ended.returncode == 1
    assert "FAILED  it (line 3)" in ended.stdout and "expected private" in ended.stdout
    assert run("test", file, "--format", "github").stdout.startswith(f"::error file={file},line=4,")
    assert json.loads(run("test", file, "--format", "json").stdout)[0]["tests"][0]["passed"] is False


def test_check_runs_tests_too_and_counts_a_failure_as_an_error(tmp_path: Path) -> None:
    ended = run("check", str(DEFAULT), write_failing(tmp_path))
    assert ended.returncode == 2
    assert "LT001" in ended.stdout and "2 checked, 1 tests run: 1 errors" in ended.stdout


def test_tests_that_cannot_be_run_are_another_exit_code(tmp_path: Path) -> None:
    assert run("test").returncode == 2
    assert run("test", str(tmp_path / "none.yaml")).returncode == 2
    ended = run("test", "/")
    assert ended.returncode == 2 and "cannot be read" in ended.stdout


def changed(tmp_path: Path) -> str:
    file = tmp_path / "new.yaml"
    file.write_text(DEFAULT.read_text().replace("    require: {location: self_hosted}\n", ""))
    return str(file)


def test_a_policy_is_the_same_as_itself(tmp_path: Path) -> None:
    ended = run("diff", str(DEFAULT), str(DEFAULT))
    assert ended.returncode == 0 and "mean the same" in ended.stdout


def test_a_difference_is_told_with_what_it_means_for_privacy(tmp_path: Path) -> None:
    ended = run("diff", str(DEFAULT), changed(tmp_path))
    assert ended.returncode == 1
    assert "route 'private': require.location was self_hosted, is nothing" in ended.stdout
    assert "route 'private' never left the house and now may" in ended.stdout
    assert json.loads(run("diff", str(DEFAULT), changed(tmp_path), "--format", "json").stdout)["requests"] is None


def test_a_log_tells_whose_requests_change(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"model": "auto", "headers": {"x-data-class": "confidential"}, "id": "r1"}\n\n{"model": "auto"}\n')
    arguments = ("diff", str(DEFAULT), changed(tmp_path), "--requests", str(log))
    ended = run(*arguments)
    assert ended.returncode == 1 and ended.stderr == ""
    assert "2 requests, 2 of them planned by both" in ended.stdout
    assert "! 1 may now leave the house: r1" in ended.stdout
    assert json.loads(run(*arguments, "--format", "json").stdout)["requests"]["lost_privacy"]["examples"] == ["r1"]


def test_a_log_with_a_bad_line_is_told_by_its_number(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"model": "auto"}\n{"model": 3}\n')
    ended = run("diff", str(DEFAULT), str(DEFAULT), "--requests", str(log))
    assert ended.returncode == 2
    assert f"{log}:2: the line has a `model` that is not text. Correct or remove it." in ended.stderr


def test_a_policy_with_errors_cannot_be_compared(tmp_path: Path) -> None:
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 2\n")
    ended = run("diff", str(DEFAULT), str(bad))
    assert ended.returncode == 2 and "LG014" in ended.stderr
    assert "cannot be read" in run("diff", str(tmp_path / "none.yaml"), str(bad)).stderr


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="opens, and cannot be read")
@pytest.mark.parametrize("arguments", [(str(DEFAULT), "/proc/self/mem"), (str(DEFAULT),) * 2])
def test_a_file_that_fails_while_it_is_read_is_told_by_its_name(arguments: tuple[str, str]) -> None:
    ended = run("diff", *arguments, "--requests", "/proc/self/mem")
    assert ended.returncode == 2 and ended.stderr.startswith("/proc/self/mem cannot be read")


@pytest.mark.parametrize("arguments", [("diff", "--nope"), ("nope",), ("schema", "--tests", "more"), ("diff", "a")])
def test_wrong_usage_has_the_exit_code_of_failures(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2 and "Traceback" not in ended.stdout + ended.stderr
