"""Results of tests are shown for people, programs and GitHub, and make the exit code."""

import json

import pytest

from gateway.config.problems import Problem
from gateway.policytools.suites import Missed, Result, Suite
from gateway.policytools.verdicts import exit_code_of, render_tests

PROBLEM = Problem("LT003", "error", "x.test.yaml", 1, 1, "No policy.")
FAILED = Problem("LT001", "error", "x.test.yaml", 4, 9, "Test 'b': route: expected c, got d")
GOOD = Suite("x.test.yaml", "x.yaml", (Result("a", 2, ()),), (), ())
BAD = Suite("x.test.yaml", "x.yaml", (Result("b", 3, (Missed("route", "c", "d", 4, 9),)),), (), (FAILED,))
UNRUN = Suite("x.test.yaml", "", (), (PROBLEM,), ())


def test_text_has_a_line_a_test_and_what_was_expected_and_came() -> None:
    assert render_tests([GOOD, BAD], "text", colour=False) == (
        "x.test.yaml\n  SUCCESS a\nx.test.yaml\n  FAILED  b (line 3)\n"
        "      route: expected c\n                  got d\n2 tests: 1 passed, 1 failed.\n"
    )


def test_what_could_not_be_run_is_counted() -> None:
    shown = render_tests([UNRUN], "text", colour=False)
    assert "LT003" in shown and shown.endswith("0 tests: 0 passed, 0 failed, 1 files could not be run.\n")


def test_colour_only_when_asked() -> None:
    assert "\x1b[31mFAILED" in render_tests([BAD], "text", colour=True)
    assert "\x1b" not in render_tests([BAD], "text", colour=False)


def test_json_has_every_test() -> None:
    (good, bad) = json.loads(render_tests([GOOD, BAD], "json", colour=True))
    assert good["tests"] == [{"name": "a", "line": 2, "missed": [], "passed": True}]
    assert bad["tests"][0]["missed"] == [{"what": "route", "expected": "c", "got": "d", "line": 4, "column": 9}]


def test_github_gets_an_annotation_for_what_failed() -> None:
    assert render_tests([GOOD, BAD], "github", colour=False) == (
        "::error file=x.test.yaml,line=4,col=9,title=LT001::Test 'b': route: expected c, got d\n"
    )


@pytest.mark.parametrize(("suites", "code"), [([], 0), ([GOOD], 0), ([GOOD, BAD], 1), ([BAD, UNRUN], 2)])
def test_the_exit_code_is_of_the_worst(suites: list[Suite], code: int) -> None:
    assert exit_code_of(suites) == code
