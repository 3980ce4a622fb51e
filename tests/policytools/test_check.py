"""Problems are shown for people, programs and GitHub, and make the exit code."""

import json

import pytest

from gateway.config.problems import Problem, Severity
from gateway.policytools.check import exit_code, render

PROBLEM = Problem(
    "LG010", "error", "policies/x.yaml", 12, 7, "There is no key `a`.", "      a: 1\n      ^", "did you mean 'b'?"
)


def problem(severity: Severity) -> Problem:
    return Problem("LG044", severity, "x.yaml", 1, 1, "A sentence.")


def test_text_is_place_code_sentence_excerpt_and_suggestion() -> None:
    assert render([PROBLEM], "text", colour=False) == (
        "policies/x.yaml:12:7: error LG010: There is no key `a`.\n          a: 1\n          ^\n    did you mean 'b'?\n"
    )


def test_text_without_excerpt_and_hint_is_one_line() -> None:
    assert render([problem("warning")], "text", colour=False) == "x.yaml:1:1: warning LG044: A sentence.\n"


def test_colour_only_when_asked() -> None:
    assert "\x1b[31m" in render([PROBLEM], "text", colour=True)
    assert "\x1b" not in render([PROBLEM], "text", colour=False)


def test_nothing_to_say_is_no_text_and_an_empty_list() -> None:
    assert render([], "text", colour=True) == ""
    assert json.loads(render([], "json", colour=False)) == []


def test_json_has_every_field() -> None:
    found = json.loads(render([PROBLEM], "json", colour=True))
    assert found == [
        {
            "code": "LG010",
            "severity": "error",
            "file": "policies/x.yaml",
            "line": 12,
            "column": 7,
            "message": "There is no key `a`.",
            "excerpt": "      a: 1\n      ^",
            "hint": "did you mean 'b'?",
        }
    ]


def test_github_gets_an_annotation() -> None:
    assert render([PROBLEM, problem("info")], "github", colour=False) == (
        "::error file=policies/x.yaml,line=12,col=7,title=LG010::There is no key `a`. did you mean 'b'?\n"
        "::notice file=x.yaml,line=1,col=1,title=LG044::A sentence.\n"
    )


def test_an_annotation_cannot_be_ended_by_its_text() -> None:
    hostile = Problem("LG010", "error", "a,b:c\n.yaml", 1, 1, "100%\n::error::x")
    assert render([hostile], "github", colour=False) == (
        "::error file=a%2Cb%3Ac%0A.yaml,line=1,col=1,title=LG010::100%25%0A::error::x\n"
    )


@pytest.mark.parametrize(
    ("severities", "strict", "code"),
    [
        ([], False, 0),
        ([], True, 0),
        (["info"], True, 0),
        (["warning"], False, 0),
        (["warning", "info"], True, 1),
        (["error", "warning"], False, 2),
        (["error"], True, 2),
    ],
)
def test_the_exit_code_is_of_the_worst(severities: list[Severity], strict: bool, code: int) -> None:
    assert exit_code([problem(severity) for severity in severities], strict) == code
