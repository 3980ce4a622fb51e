"""A corpus of broken policies: each is told by its code, its line and a sentence."""

from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.config.problems import CODES
from tests.config import broken_callers, broken_files, broken_routes
from tests.config.broken import HEAD, Broken, backend, routes

TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
ENV = {"FIREWORKS_API_KEY": "fw-canary-0123456789"}
CORPUS = [*broken_callers.CORPUS, *broken_files.CORPUS, *broken_routes.CORPUS]


def check(text: str, env: dict[str, str] | None = None) -> Loaded:
    """The text, read with the test's environment."""
    return read(text.encode(), "p.yaml", ENV if env is None else env, CATALOGUE, TODAY)


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)
def test_a_broken_policy_is_told_by_code_line_and_sentence(broken: Broken) -> None:
    loaded = check(broken.text)
    found = [problem for problem in loaded.problems if problem.code == broken.code]
    assert found, [(problem.code, problem.line, problem.message) for problem in loaded.problems]
    assert any(
        problem.line == broken.line and broken.part in problem.message and broken.hint in problem.hint
        for problem in found
    ), found


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)
def test_an_error_leaves_no_policy_and_a_warning_does(broken: Broken) -> None:
    loaded = check(broken.text)
    assert (loaded.policy is None) == any(problem.severity == "error" for problem in loaded.problems)
    assert (CODES[broken.code][0] == "error") <= (loaded.policy is None)


@pytest.mark.parametrize("broken", CORPUS, ids=lambda broken: broken.name)
def test_a_problem_has_a_caret_below_its_line(broken: Broken) -> None:
    for problem in check(broken.text).problems:
        if problem.excerpt:
            source, caret = problem.excerpt.split("\n")
            assert caret.strip() == "^"
            assert len(caret) <= len(source) + 1


def test_one_mistake_is_told_once() -> None:
    errors = [[problem for problem in check(broken.text).problems if problem.severity == "error"] for broken in CORPUS]
    assert sum(len(found) <= 1 for found in errors) > 0.9 * len(CORPUS)


def test_the_head_of_the_corpus_is_clean() -> None:
    assert check(HEAD).problems == ()
    assert check(routes()).problems == ()


@pytest.mark.parametrize("key", ["ca", "cert", "key"])
def test_a_path_that_no_file_can_have_is_told_and_crashes_nothing(key: str) -> None:
    loaded = check(backend('{provider: vllm, url: "http://a", tls: {KEY: "a\\0b"}}'.replace("KEY", key)))
    assert "LG024" in [problem.code for problem in loaded.problems]


def test_everything_wrong_is_told_at_once() -> None:
    text = (
        routes("    optimize: speed\n    prefer: laptop\n    colour: red\n") + "callers: {a: {key: k, routes: [b]}}\n"
    )
    assert [problem.code for problem in check(text).problems] == ["LG014", "LG055", "LG010", "LG060", "LG061"]


def test_a_value_that_could_not_be_read_is_told_once() -> None:
    text = f"{HEAD}callers:\n  a: {{key: 'file:/nonexistent'}}\n"
    assert [problem.code for problem in check(text).problems] == ["LG024"]


def test_every_code_is_in_the_corpus_or_tested_elsewhere() -> None:
    elsewhere = {"LG025", "LG026", "LG027", "LG029", "LG046", "LG057", "LG063", "LG065", "LG079", "LG082", "LG090"}
    assert set(CODES) - {broken.code for broken in CORPUS} == elsewhere
