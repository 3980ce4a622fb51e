"""The tree of errors, and what each class promises."""

import re
from typing import get_args

import pytest

from gateway import errors
from gateway.errors import CallerError, GatewayError, InternalError, PolicyError, UpstreamError
from gateway.types import OutcomeName, Verdict

EVERY = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, GatewayError)]
every = pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)


def test_tree_in_the_docstring_names_every_class_and_no_other() -> None:
    drawn = set(re.findall(r"^[│ ├└─]*([A-Z]\w+)", errors.__doc__ or "", re.MULTILINE)) - {"Everything"}
    assert drawn == {kind.__name__ for kind in EVERY}


@every
def test_status_in_the_tree_is_that_of_the_class(kind: type[GatewayError]) -> None:
    drawn = re.search(rf"\b{kind.__name__} +(\d{{3}})\b", errors.__doc__ or "")
    assert drawn is None or int(drawn[1]) == kind.status


@every
def test_error_knows_by_whose_fault_it_is(kind: type[GatewayError]) -> None:
    whose = {CallerError: "caller_", PolicyError: "policy_", UpstreamError: "upstream_", InternalError: "gateway_"}
    prefixes = [prefix for base, prefix in whose.items() if issubclass(kind, base)] or ["gateway_"]
    assert kind.error_type.startswith(tuple(prefixes))


@every
def test_error_has_a_status_an_outcome_and_a_verdict_that_exist(kind: type[GatewayError]) -> None:
    assert 400 <= kind.status <= 599
    assert kind.outcome in get_args(OutcomeName)
    assert kind.verdict in get_args(Verdict)
    assert kind.type and kind.code


@every
def test_only_errors_of_upstreams_are_tried_elsewhere_or_count_against_a_deployment(kind: type[GatewayError]) -> None:
    if not issubclass(kind, UpstreamError):
        assert not kind.elsewhere and not kind.again
        assert kind.verdict == "neutral"


@every
def test_whoever_may_be_asked_again_may_be_asked_elsewhere(kind: type[GatewayError]) -> None:
    assert kind.elsewhere or not kind.again


@every
def test_wrong_request_is_told_as_such_and_anything_else_is_not(kind: type[GatewayError]) -> None:
    if kind.type == "invalid_request_error":
        assert kind.status in range(400, 500) or kind is errors.NotCached
    else:
        assert kind.status >= 500 or kind.status in (401, 403, 409, 422, 429)


@pytest.mark.parametrize(
    "kind", [errors.ContextExceeded, errors.Refused, errors.Rejected, errors.RateLimited, errors.TotalTimeout]
)
def test_what_is_not_a_deployments_fault_does_not_count_against_it(kind: type[UpstreamError]) -> None:
    assert kind.verdict == "neutral"


def test_error_types_and_codes_are_words_for_machines() -> None:
    for kind in EVERY:
        assert re.fullmatch(r"[a-z_]+", kind.error_type)
        assert re.fullmatch(r"[a-z_]+", kind.code)


def test_error_carries_its_message_and_extras() -> None:
    error = errors.RateLimited("Slow down.", param="model", retry_after=2.0, details={"a": 1}, headers=(("x", "y"),))
    assert str(error) == error.message == "Slow down."
    assert (error.param, error.retry_after, error.details, error.headers) == ("model", 2.0, {"a": 1}, (("x", "y"),))
