"""The guide to policies is run as it is shown: its files load, its commands print what stands below them."""

from datetime import date
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import load
from gateway.config.report import Report
from gateway.config.schema import PolicyFile
from gateway.policytools.cases import CaseFile
from gateway.policytools.fmt import formatted
from gateway.policytools.suites import run_file
from tests.docs import guide
from tests.docs.shell import Shell
from tests.docs.test_readme import policy_keys

ENV = {"FIREWORKS_API_KEY": "fireworks-0123456789abcdef", "SUPPORT_KEY": "support-0123456789abcdef"}
TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
FILES = guide.files()
CLAIMS = sorted(Path(__file__).parent.joinpath("claims").glob("*.test.yaml"))
SECRET = "/run/secrets/search"


def given_to(verb: str) -> set[str]:
    """The files that the guide gives to a verb."""
    return {word for words in guide.commands() if words[:2] == ["llama-gateway", verb] for word in words[2:]}


BROKEN, MESSY = given_to("check") - {"small.yaml"}, given_to("fmt")  # what the tools say of them is compared
POLICIES = sorted(name for name in FILES if not name.endswith(".test.yaml") and name not in BROKEN)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with all files of the guide; its variables are set."""
    secret = tmp_path / "search"
    secret.write_text("search-0123456789abcdef")
    for name, text in FILES.items():
        tmp_path.joinpath(name).write_text(text.replace(SECRET, str(secret)))
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_no_example_is_of_a_kind_that_is_not_run() -> None:
    assert guide.languages() == {"yaml", "console"}


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_of_the_guide_has_nothing_wrong_with_it(name: str, folder: Path) -> None:
    loaded = load(folder / name, ENV, CATALOGUE, TODAY)
    assert loaded.problems == () and loaded.policy is not None


@pytest.mark.parametrize("name", sorted(set(FILES) - BROKEN - MESSY))
def test_a_file_of_the_guide_is_formatted(name: str) -> None:
    schema = CaseFile if name.endswith(".test.yaml") else PolicyFile
    assert formatted(FILES[name].encode(), schema, Report(name)) == FILES[name].encode()


@pytest.mark.parametrize("console", guide.blocks("console"), ids=lambda text: text.partition("\n")[0])
def test_what_a_command_prints_is_what_stands_below_it(
    console: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(capsys)
    for step in guide.steps(console):
        if (file := guide.written(step)) is not None:
            folder.joinpath(file[0]).write_text(file[1])
        else:
            printed = shell.printed(step.command)
            assert guide.fits(step.shown, printed), printed


@pytest.mark.parametrize("claims", CLAIMS, ids=lambda file: file.name)
def test_what_the_guide_says_of_an_example_is_so(claims: Path, folder: Path) -> None:
    file = folder / claims.name
    file.write_bytes(claims.read_bytes())
    suite = run_file(file, CATALOGUE, TODAY)
    assert suite.problems == ()
    assert [result for result in suite.results if result.missed] == []


@pytest.mark.parametrize("key", sorted(policy_keys()))
def test_every_key_of_the_language_stands_in_the_guide(key: str) -> None:
    assert any(key in guide.WORD.findall(code) for code in (*guide.blocks("yaml"), *guide.inline()))


def test_every_worked_example_is_named_in_the_guide() -> None:
    text = guide.GUIDE.read_text()
    for file in guide.GUIDE.parent.glob("*.yaml"):
        assert file.name.endswith(".test.yaml") or f"({file.name})" in text, file.name
