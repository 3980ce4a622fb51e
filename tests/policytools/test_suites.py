"""Unit tests of policies: what holds passes, what does not is told with its place, mistakes in a test as well."""

from datetime import date
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.policytools.suites import CODES, Suite, is_tests, run_file

CATALOGUE = Catalogue.load()
TODAY = date(2026, 11, 24)
POLICIES = Path(__file__).parents[2] / "policies"
POLICY = """\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    models: {llama-3.3-70b-instruct: {precision: fp8, context: 32768}, llama-3.1-8b-instruct: {}}
    limits: {concurrency: 8}
  together:
    provider: together
    models: {llama-3.3-70b-instruct: {price: {input: 1, output: 2}}}
routes:
  - name: private
    match: {headers: {x-data-class: confidential}}
    models: [llama-3.3-70b-instruct]
    require: {location: self_hosted}
  - name: dear
    match: {model: [dear]}
    models: [llama-3.3-70b-instruct]
    prefer: hosted
  - name: anything
    match: {model: [auto]}
    models: [llama-3.3-70b-instruct]
callers:
  search: {key: "${SEARCH_KEY}", routes: [anything]}
"""


def run(tmp_path: Path, tests: str, policy: str = POLICY) -> Suite:
    """Tests beside a policy."""
    tmp_path.joinpath("x.yaml").write_text(policy)
    tmp_path.joinpath("x.test.yaml").write_text(tests)
    return run_file(tmp_path / "x.test.yaml", CATALOGUE, TODAY)


def one(tmp_path: Path, rest: str) -> Suite:
    """A file with one test, from line 2 on."""
    return run(tmp_path, f"tests:\n  - {{name: it, {rest}}}\n")


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.test.yaml")), ids=lambda file: file.name)
def test_the_policies_of_the_project_keep_what_their_tests_promise(file: Path) -> None:
    suite = run_file(file, CATALOGUE, TODAY)
    assert suite.problems == suite.failed == ()
    assert len(suite.results) >= 5


@pytest.mark.parametrize(
    "rest",
    [
        "expect: {route: anything, first: gpu}",
        "request: {headers: {X-Data-Class: confidential}}, expect: {route: private, never: hosted, order: [gpu]}",
        "request: {model: dear}, expect: {order: [together, gpu/llama-3.3-70b-instruct]}",
        "request: {model: dear, prompt: Hi, max_tokens: 100}, expect: {first: hosted, max_usd: 0.001}",
        "given: {in_flight: {gpu: 8}}, expect: {first: together, excluded: {gpu: busy}}",
        "given: {in_flight: {gpu: 8}}, expect: {excluded: {gpu: 8 of 8 in flight}}",
        "given: {ejected: gpu}, expect: {excluded: [gpu]}",
        "given: {gone: [gpu]}, expect: {excluded: {gpu: no longer serves}}",
        "given: {resting: [gpu, together]}, expect: {error: no_healthy_deployment, excluded: {gpu: resting}}",
        "given: {ttft: {gpu: 4s, together: 2s}}, expect: {ttft: 4s}",
        "given: {tokens_per_second: {self_hosted: 1}}, request: {model: dear}, expect: {first: together}",
        "given: {failing: {gpu: 0.5}}, expect: {route: anything}",
        "given: {output_tokens: {dear: 1}}, request: {model: dear, input_tokens: 0}, expect: {max_usd: 0.000002}",
        "given: {spent: {anything: 3}, burst: anything, causes: [refused], chance: 0}, expect: {route: anything}",
        "request: {input_tokens: 40000}, expect: {excluded: {gpu: context}, first: together}",
        "request: {model: llama-3.1-8b-instruct}, expect: {route: default}",
        "request: {model: gpt-99}, expect: {error: model_not_found}",
        "request: {model: gpt-99, models: [llama-3.3-70b-instruct]}, expect: {route: default, first: gpu}",
        "request: {model: gpt-99, models: [meta-llama/Llama-3.1-8B-Instruct]}, expect: {route: default, order: [gpu]}",
        "request: {caller: search}, expect: {route: anything}",
        "request: {caller: search, model: dear}, expect: {error: permission_denied, route: dear}",
        "request: {caller: nobody}, expect: {error: invalid_api_key}",
        "request: {body: {temperature: 9}}, expect: {error: invalid_request}",
        "request: {needs: [vision]}, expect: {error: unsupported_parameter}",
        "request: {tools: [{type: function, function: {name: f}}], stream: true}, expect: {first: gpu}",
        "request: {time: '2026-11-24T18:30:00+01:00', metadata: {team: a}}, expect: {route: anything}",
    ],
)
def test_what_holds_passes(tmp_path: Path, rest: str) -> None:
    suite = one(tmp_path, rest)
    assert suite.problems == suite.failed == ()
    assert [result.missed for result in suite.results] == [()]


@pytest.mark.parametrize(
    ("rest", "what", "expected", "got"),
    [
        ("expect: {route: dear}", "route", "dear", "anything"),
        ("expect: {first: together}", "first", "together", "gpu/llama-3.3-70b-instruct by route 'anything' ("),
        ("expect: {order: [gpu]}", "order", "gpu", "gpu/llama-3.3-70b-instruct, together/llama-3.3-70b-instruct"),
        ("expect: {never: [hosted]}", "never.0", "hosted never gets it", "together/llama-3.3-70b-instruct is tried"),
        ("expect: {excluded: [gpu]}", "excluded.gpu", "out", "gpu/llama-3.3-70b-instruct may be tried"),
        (
            "given: {in_flight: {gpu: 8}}, expect: {excluded: {gpu: context}}",
            "excluded.gpu",
            "out (context)",
            "gpu/llama-3.3-70b-instruct full: 8 of 8 in flight (busy)",
        ),
        (
            "request: {headers: {x-data-class: confidential}}, expect: {excluded: [llama-3.1-8b-instruct]}",
            "excluded.llama-3.1-8b-instruct",
            "out",
            "no part of the route 'private'",
        ),
        ("request: {model: dear}, expect: {max_usd: 0}", "max_usd", "at most $0", "$0.000"),
        ("given: {ttft: {gpu: 4s}}, expect: {ttft: 2s}", "ttft", "at most 2 s", "4.000 s ("),
        ("expect: {error: model_not_found}", "error", "the error model_not_found", "a plan: gpu"),
        ("request: {model: gpt-99}, expect: {error: timeout}", "error", "the error timeout", "404 model_not_found: "),
        ("request: {model: gpt-99}, expect: {route: dear}", "", "a plan", "404 model_not_found: The model 'gpt-99'"),
    ],
)
def test_what_does_not_hold_is_told_with_what_came(
    tmp_path: Path, rest: str, what: str, expected: str, got: str
) -> None:
    suite = one(tmp_path, rest)
    (missed,) = suite.results[0].missed
    assert (missed.what, missed.expected) == (what, expected)
    assert missed.got.startswith(got)
    (problem,) = suite.failed
    assert problem.code == "LT001" and problem.line == 2 and "Test 'it'" in problem.message
    assert not what or problem.excerpt.split("\n")[1].index("^") > rest.index("expect")


@pytest.mark.parametrize(
    ("tests", "code", "line", "part", "hint"),
    [
        ("tests:\n- {name: a, expct: {}}\n", "LG010", 2, "`expct`", "'expect'"),
        ("tests:\n- {name: a, expect: {route: a}, request: {modle: a}}\n", "LG010", 2, "`modle`", "'model'"),
        ("tests:\n- {name: a}\n", "LG013", 2, "`expect`", ""),
        ("tests: []\n", "LG014", 1, "tests", ""),
        ("tests:\n- {name: a, expect: {}}\n", "LG014", 2, "at least one expectation", ""),
        ("tests:\n- {name: a, expect: {ttft: 5}}\n", "LG015", 2, "duration", "5s"),
        ("tests:\n- {name: a, expect: {route: a}, request: {time: noon}}\n", "LG014", 2, "a moment", ""),
        (
            "tests:\n- {name: a, expect: {route: a}, request: {time: '0001-01-01T00:00:00+14:00'}}\n",
            "LG014",
            2,
            "a moment",
            "",
        ),
        (
            "tests:\n- {name: a, expect: {route: a}, request: {time: '9999-12-31T23:00:00-14:00'}}\n",
            "LG014",
            2,
            "a moment",
            "",
        ),
        ("tests:\n- {name: a, expect: {route: a}, request: {prompt: a, messages: [{}]}}\n", "LG014", 2, "either", ""),
        ("- a\n", "LG012", 1, "mapping", ""),
        ("tests: [\n", "LG001", 2, "not YAML", ""),
        ("tests:\n- {name: a, expect: {route: anythin}}\n", "LT002", 2, "no route `anythin`", "'anything'"),
        ("tests:\n- {name: a, expect: {first: togehter}}\n", "LT002", 2, "`togehter`", "'together'"),
        ("tests:\n- name: a\n  expect:\n    never: [gpu, nobody]\n", "LT002", 4, "`nobody`", ""),
        ("tests:\n- name: a\n  given:\n   in_flight:\n    gup: 3\n  expect: {arm: b}\n", "LT002", 5, "`gup`", "'gpu'"),
        ("tests:\n- {name: a, expect: {arm: canary}}\n", "LT002", 2, "no arm", ""),
        ("tests:\n- {name: a, request: {caller: serach}, expect: {route: dear}}\n", "LT002", 2, "`serach`", "'search'"),
        ("policy: y.yaml\ntests:\n- {name: a, expect: {route: dear}}\n", "LT003", 1, "y.yaml", ""),
        ('policy: "\\0"\ntests:\n- {name: a, expect: {route: dear}}\n', "LT003", 1, "null byte", ""),
        ("tests:\n- {name: a, expect: {route: dear}}\n- {name: a, expect: {route: dear}}\n", "LT004", 3, "'a'", ""),
    ],
)  # fmt: skip
def test_a_mistake_in_a_test_is_told_with_its_place(
    tmp_path: Path, tests: str, code: str, line: int, part: str, hint: str
) -> None:
    found = [one for one in run(tmp_path, tests).problems if one.code == code]
    assert found and found[0].line == line
    assert part in found[0].message and hint in found[0].hint


def test_every_code_of_tests_is_known() -> None:
    assert set(CODES) == {"LT001", "LT002", "LT003", "LT004"}


def test_a_policy_with_mistakes_is_told_with_them(tmp_path: Path) -> None:
    suite = run(tmp_path, "tests:\n- {name: a, expect: {route: dear}}\n", "version: 2\n")
    assert {problem.code for problem in suite.problems} >= {"LG013", "LG014", "LT003"}
    assert suite.results == ()


def test_a_file_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    (problem,) = run_file(tmp_path / "none.test.yaml", CATALOGUE, TODAY).problems
    assert problem.code == "LT003" and "cannot be read" in problem.message


def test_variables_of_the_tests_switch_backends_off(tmp_path: Path) -> None:
    suite = run(
        tmp_path, "env: {TOGETHER_API_KEY: ''}\ntests:\n- {name: a, request: {model: dear}, expect: {order: [gpu]}}\n"
    )
    assert suite.problems == suite.failed == ()


def test_files_of_tests_are_known_by_their_name() -> None:
    assert is_tests(Path("policies/x.test.yaml")) and not is_tests(Path("test.yaml"))


def test_copies_and_reserves_are_no_hiding_place(tmp_path: Path) -> None:
    shadow = POLICY.replace(
        "    require: {location: self_hosted}\n",
        "    require: {location: self_hosted}\n    shadow: {models: [llama-3.1-8b-instruct], share: 0.5}\n",
    )
    confidential = "request: {headers: {x-data-class: confidential}}"
    suite = run(tmp_path, f"tests:\n- {{name: a, {confidential}, expect: {{never: llama-3.1-8b-instruct}}}}\n", shadow)
    assert suite.problems == ()
    assert suite.results[0].missed[0].got == "gpu/llama-3.1-8b-instruct gets copies (shadow)"
