"""Variables and files are filled into scalars, and only there."""

from datetime import date
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.config.report import Report
from gateway.config.variables import expand

CATALOGUE = Catalogue.load()
HEAD = "version: 1\nbackends:\n  gpu: {provider: vllm, url: 'http://a', models: {llama-3.1-8b-instruct: {}}}\n"


def filled(value: object, env: dict[str, str] | None) -> tuple[object, list[str]]:
    report = Report("p.yaml")
    return expand(value, env, report).data, [problem.code for problem in report.problems()]


def policy(text: str, env: dict[str, str], expand: bool = True) -> Loaded:
    return read(text.encode(), "p.yaml", env, CATALOGUE, date(2026, 11, 24), expand)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${A}", "one"),
        ("${A:-two}", "one"),
        ("${B:-two}", "two"),
        ("${EMPTY:-two}", "two"),
        ("${B:-}", ""),
        ("${B:-http://a:1/x}", "http://a:1/x"),
        ("${EMPTY}", ""),
        ("${A:?wanted}", "one"),
        ("x${A}y${A}z", "xoneyonez"),
        ("$A", "$A"),
        ("{A}", "{A}"),
    ],
)
def test_a_variable_is_replaced_by_its_value_or_its_default(text: str, value: str) -> None:
    assert filled({"k": [text]}, {"A": "one", "EMPTY": ""}) == ({"k": [value]}, [])


def test_a_value_is_not_expanded_again() -> None:
    assert filled("${A}", {"A": "${B}", "B": "two"}) == ("${B}", [])


def test_keys_are_never_expanded() -> None:
    assert filled({"${A}": 1}, {"A": "one"}) == ({"${A}": 1}, [])


def test_a_file_is_read_without_its_last_line_break(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-from-a-file\n")
    assert filled(f"file:{tmp_path}/key", {}) == ("sk-from-a-file", [])
    assert filled("file:${DIR}/key", {"DIR": str(tmp_path)}) == ("sk-from-a-file", [])


@pytest.mark.parametrize("name", ["missing", "empty", "large", "binary", ""])
def test_a_file_that_cannot_be_a_value_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "large").write_text("x" * 70_000)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert filled(f"file:{tmp_path}/{name}", {}) == (None, ["LG024"])


def test_a_backend_without_its_key_is_off_and_the_policy_stands() -> None:
    text = (
        HEAD + "  hosted: {provider: fireworks, api_key: '${FIREWORKS_API_KEY}', models: {llama-3.1-8b-instruct: {}}}\n"
    )
    loaded = policy(text, {})
    assert [(problem.code, problem.severity, problem.line) for problem in loaded.problems] == [("LG025", "info", 4)]
    assert "FIREWORKS_API_KEY" in loaded.problems[0].message
    assert loaded.policy is not None
    assert [one.name for one in loaded.policy.deployments] == ["gpu/llama-3.1-8b-instruct"]
    assert list(loaded.policy.backends) == ["gpu"]


def test_a_backend_with_an_empty_key_is_off() -> None:
    text = HEAD + "  hosted: {provider: fireworks, api_key: '${K}', models: {llama-3.1-8b-instruct: {}}}\n"
    assert [problem.code for problem in policy(text, {"K": ""}).problems] == ["LG025"]


def test_a_kind_that_needs_a_key_takes_its_own_variable() -> None:
    text = HEAD + "  hosted: {provider: fireworks, models: {llama-3.1-8b-instruct: {}}}\n"
    assert [problem.code for problem in policy(text, {}).problems] == ["LG025"]
    loaded = policy(text, {"FIREWORKS_API_KEY": "fw-1"}).policy
    assert loaded is not None
    assert loaded.backends["hosted"].api_key == "fw-1"


def test_with_every_backend_off_there_is_a_warning() -> None:
    model = "{gpt-oss-20b: {price: {input: 1, output: 1}}}"
    text = f"version: 1\nbackends:\n  hosted: {{provider: groq, api_key: '${{K}}', models: {model}}}\n"
    loaded = policy(text + "routes: [{name: a, models: [gpt-oss-20b]}]\n", {})
    assert [problem.code for problem in loaded.problems] == ["LG026", "LG025", "LG057"]
    assert loaded.policy is not None


def test_a_variable_may_hold_a_number() -> None:
    text = (
        HEAD.replace("instruct: {}", "instruct: {context: '${CTX}'}") + "defaults: {retry: {attempts: '${TRIES:-2}'}}\n"
    )
    loaded = policy(text, {"CTX": "4096"})
    assert loaded.problems == ()
    assert loaded.policy is not None
    assert loaded.policy.deployments[0].context == 4096
    assert loaded.policy.model_routes["llama-3.1-8b-instruct"].attempts == 2


def test_a_draft_reads_no_variable_and_no_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("http://from-a-file")
    text = HEAD.replace("http://a", "${URL}") + f"  two: {{provider: vllm, url: 'file:{tmp_path}/url', models: {{}}}}\n"
    loaded = policy(text, {"URL": "http://from-the-environment"}, expand=False)
    assert [problem.code for problem in loaded.problems] == ["LG035"]
    assert loaded.policy is not None
    assert loaded.policy.backends["gpu"].url == "${URL}"
    assert loaded.policy.backends["two"].url == f"file:{tmp_path}/url"


def test_a_draft_keeps_its_hosted_backends_and_none_of_their_keys() -> None:
    text = (
        HEAD + "  hosted: {provider: fireworks, api_key: '${FIREWORKS_API_KEY}', models: {llama-3.1-8b-instruct: {}}}\n"
    )
    loaded = policy(text, {"FIREWORKS_API_KEY": "fw-canary"}, expand=False)
    assert loaded.problems == ()
    assert loaded.policy is not None
    assert loaded.policy.backends["hosted"].api_key is None
    assert len(loaded.policy.deployments) == 2


def test_a_draft_leaves_out_numbers_it_cannot_know() -> None:
    text = HEAD.replace("instruct: {}", "instruct: {context: '${CTX:-4096}'}")
    loaded = policy(text, {"CTX": "1"}, expand=False)
    assert [(problem.code, problem.severity) for problem in loaded.problems] == [("LG027", "info")]
    assert loaded.policy is not None
    assert loaded.policy.deployments[0].context == 131072


def test_a_draft_of_which_nothing_is_known_is_an_error() -> None:
    loaded = policy("version: 1\nbackends: ${ALL}\n", {}, expand=False)
    assert loaded.policy is None
    assert [problem.code for problem in loaded.problems] == ["LG013", "LG027"]


def test_a_draft_never_imports_a_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "explosive.py").write_text("raise SystemExit('imported')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    text = HEAD.replace("vllm", "'explosive:Provider'").replace(
        "instruct: {}", "instruct: {price: {input: 1, output: 1}}"
    )
    assert policy(text, {}, expand=False).problems == ()
