"""Files of unit tests: read with the policy they are about, run, and told with their places."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path as File

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.catalogue import Catalogue
from gateway.config.document import parse
from gateway.config.loading import Loaded, read
from gateway.config.nearest import did_you_mean
from gateway.config.problems import Path, Place, Problem, clean, spell
from gateway.config.report import Report
from gateway.config.shape import described, fields_at, tell
from gateway.policytools.cases import CaseFile, CaseSpec
from gateway.policytools.decision import everyone, names_of, routes_of
from gateway.policytools.sealed import opener, sealed
from gateway.policytools.trial import Failure, failures
from gateway.routing.policy import Policy

SUFFIX = ".test.yaml"
FAILED, UNKNOWN, UNUSABLE, TWICE = "LT001", "LT002", "LT003", "LT004"
CODES = {
    FAILED: "a test failed",
    UNKNOWN: "a name in a test that the policy does not have",
    UNUSABLE: "the policy of the tests cannot be used",
    TWICE: "two tests of one name",
}
LOCATIONS = ("self_hosted", "hosted")


@dataclass(frozen=True, slots=True)
class Missed:
    """An expectation that was not met, with its place."""

    what: str
    expected: str
    got: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one test."""

    name: str
    line: int
    missed: tuple[Missed, ...]


@dataclass(frozen=True, slots=True)
class Suite:
    """What came of a file of tests: `problems` are why some or all of them could not be run."""

    file: str
    policy: str
    results: tuple[Result, ...]
    problems: tuple[Problem, ...]
    failed: tuple[Problem, ...]  # the missed expectations once more, as findings with their source lines


def is_tests(file: File) -> bool:
    """Whether a file holds tests, by its name."""
    return file.name.endswith(SUFFIX)


def run_file(file: File, catalogue: Catalogue, today: date) -> Suite:
    """The tests of a file, run against the policy that it names or stands beside."""
    report = Report(str(file))
    try:
        text = file.read_bytes()
    except OSError as exc:
        problem = found(report, UNUSABLE, Place(1, 1), f"The tests {file} cannot be read: {exc.strerror}.")
        return Suite(str(file), "", (), (problem,), ())
    cases = read_cases(text, report)
    if cases is None:
        return Suite(str(file), "", (), report.problems(), ())
    path = file.parent / (cases.policy or file.name.removesuffix(SUFFIX) + ".yaml")
    try:
        policy = path.read_bytes()
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else exc
        message = f"The policy {clean(str(path), 200)} of these tests cannot be read: {reason}. Name it under `policy`."
        return Suite(str(file), str(path), (), (found(report, UNUSABLE, report.place(("policy",)), message),), ())
    return run(cases, report, load_sealed(policy, str(path), cases, catalogue, today))


def read_cases(text: bytes, report: Report) -> CaseFile | None:
    """The tests in a text; None when anything is wrong with them, which goes to the report."""
    document = parse(text, report)
    if document is None:
        return None
    report.places(document.keys, document.values, {})
    if not isinstance(document.data, dict):
        report.add("LG012", (), f"A file of tests is a mapping with a list `tests`, and {described(document.data)}.")
        return None
    try:
        return None if report.failed() else CaseFile.model_validate(document.data)
    except ValidationError as exc:
        for error in exc.errors(include_url=False):
            misfit(document.data, error, report)
        return None


def misfit(data: dict[str, object], error: ErrorDetails, report: Report) -> None:
    """One misfit as a finding."""
    path = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] != "extra_forbidden":
        tell(data, error, path, report)
        return
    fields = fields_at(CaseFile, path[:-1])
    message = f"There is no key `{clean(str(path[-1]))}` in {spell(path[:-1])}. It takes {', '.join(fields)}."
    report.add("LG010", path, message, did_you_mean(str(path[-1]), fields), key=True)


def load_sealed(text: bytes, name: str, cases: CaseFile, catalogue: Catalogue, today: date) -> Loaded:
    """The policy without any credential or variable but those that the tests name."""
    content, env = sealed(text, cases.env)
    return read(content, name, env, catalogue, cases.today or today, opener=opener(env))


def run(cases: CaseFile, report: Report, loaded: Loaded) -> Suite:
    """The tests of a file; `report` has their places."""
    policy = loaded.policy
    name = loaded.problems[0].file if policy is None else policy.source
    if policy is None:
        errors = [problem for problem in loaded.problems if problem.severity == "error"]
        message = f"The policy {name} has {len(errors)} errors, so its tests cannot be run. Correct them first."
        problem = found(report, UNUSABLE, report.place(("policy",)), message)
        return Suite(report.file, name, (), (*errors, problem), ())
    problems = [*twice(cases, report), *unknown(cases, policy, report)]
    if problems:
        return Suite(report.file, name, (), tuple(problems), ())
    results = tuple(result(index, case, policy, report) for index, case in enumerate(cases.tests))
    failed = [told(one, missed, report) for one in results for missed in one.missed]
    return Suite(report.file, name, results, (), tuple(failed))


def result(index: int, case: CaseSpec, policy: Policy, report: Report) -> Result:
    """One test, run."""
    place = report.place(("tests", index))
    missed = [placed(failure, index, report) for failure in failures(case, policy)]
    return Result(case.name, place.line, tuple(missed))


def placed(failure: Failure, index: int, report: Report) -> Missed:
    """A failure with its place in the file."""
    place = report.place(("tests", index, "expect", *failure.what))
    return Missed(".".join(str(part) for part in failure.what[:2]), failure.expected, failure.got, *place)


def told(result: Result, missed: Missed, report: Report) -> Problem:
    """A missed expectation as a finding."""
    what = f" {missed.what}:" if missed.what else ""
    message = f"Test '{clean(result.name)}':{what} expected {missed.expected}, got {missed.got}"
    return found(report, FAILED, Place(missed.line, missed.column), message)


def found(report: Report, code: str, place: Place, message: str, hint: str = "") -> Problem:
    """A finding of this module's own codes."""
    return Problem(code, "error", report.file, *place, message, report.excerpt(place), hint)


def twice(cases: CaseFile, report: Report) -> Iterator[Problem]:
    """Tests that have the name of another."""
    seen: set[str] = set()
    for index, case in enumerate(cases.tests):
        if case.name in seen:
            place = report.place(("tests", index, "name"))
            yield found(report, TWICE, place, f"There is a test '{clean(case.name)}' already. Rename one of them.")
        seen.add(case.name)


def unknown(cases: CaseFile, policy: Policy, report: Report) -> Iterator[Problem]:
    """Names of routes, arms, backends and deployments in the tests that the policy does not have."""
    known = known_names(policy)
    for index, case in enumerate(cases.tests):
        for kind, path, word in named(case):
            if word not in known[kind]:
                where: Path = ("tests", index, *path)
                message = f"The policy has no {kind} `{clean(word)}`, which the test '{clean(case.name)}' names."
                place = report.place(where, key=path[-1] == word)
                yield found(report, UNKNOWN, place, message, did_you_mean(word, known[kind]))


def known_names(policy: Policy) -> Mapping[str, frozenset[str]]:
    """What a test may name, by kind."""
    deployments = everyone(policy).values()
    subjects = frozenset[str]().union(*(names_of(one) for one in deployments))
    return {
        "route": frozenset(route.name for route in routes_of(policy)),
        "arm": frozenset(arm.name for route in policy.routes for arm in route.arms),
        "backend": frozenset(one.backend for one in deployments),
        "deployment": subjects.union(LOCATIONS, policy.backends),
        "caller": frozenset(caller.name for caller in policy.callers.values()),
    }


def named(case: CaseSpec) -> Iterator[tuple[str, Path, str]]:
    """Every name in a test: of what kind, where, and the name."""
    given, expect = case.given, case.expect
    if case.request.caller is not None and expect.error is None:
        yield "caller", ("request", "caller"), case.request.caller
    for key in ("ttft", "tokens_per_second", "failing"):
        yield from (("deployment", ("given", key, word), word) for word in getattr(given, key))
    for key in ("ejected", "resting", "gone"):
        yield from listed("deployment", ("given", key), getattr(given, key))
    yield from (("backend", ("given", "in_flight", word), word) for word in given.in_flight)
    yield from listed("route", ("given", "burst"), given.burst)
    for key in ("spent", "output_tokens"):
        yield from (("route", ("given", key, word), word) for word in getattr(given, key))
    for kind, key in (("route", "route"), ("arm", "arm"), ("deployment", "first")):
        if (word := getattr(expect, key)) is not None:
            yield kind, ("expect", key), word
    yield from listed("deployment", ("expect", "order"), expect.order or ())
    yield from (("deployment", ("expect", "excluded", word), word) for word in expect.excluded)
    yield from listed("deployment", ("expect", "never"), expect.never)


def listed(kind: str, path: Path, words: Sequence[str]) -> Iterator[tuple[str, Path, str]]:
    """The names in a list."""
    return ((kind, (*path, index), word) for index, word in enumerate(words))
