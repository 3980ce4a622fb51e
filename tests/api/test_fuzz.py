"""Both planes under schemathesis: what comes back is always what the documents say, and never a fault of ours."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, BaseSchema, Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok

from tests.process import ADMIN_KEY
from tests.world import KEY, World, world

FEW = settings(max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
ENDLESS = "/admin/events"
# A document cannot say which names there are; and after some wrong keys the data plane hears nobody, right or wrong.
LOOSE = ("positive_data_acceptance", "negative_data_rejection")
HEARD = (*LOOSE, "ignored_auth")
Operation = APIOperation[Any, Any, Any, Any]
load_all_checks()


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world to be fuzzed."""
    with world(tmp_path_factory.mktemp("fuzz")) as made:
        yield made


def fuzz(schema: BaseSchema, url: str, key: str, left_out: Sequence[str]) -> list[str]:
    """Ask every operation what fits and what does not; which checks failed, a line each."""
    found: list[str] = []
    for result in schema.get_all_operations():
        assert isinstance(result, Ok), result
        operation: Operation = result.ok()
        for mode in GenerationMode:
            if mode is GenerationMode.POSITIVE or takes(operation):
                found += asked(operation, mode, url, key, left_out)
    return found


def takes(operation: Operation) -> bool:
    """Whether there is anything that could be wrong about a request."""
    return bool(operation.body or operation.query or operation.path_parameters)


def asked(operation: Operation, mode: GenerationMode, url: str, key: str, left_out: Sequence[str]) -> list[str]:
    """The failures of one operation."""

    excluded: list[Any] = CHECKS.get_by_names(left_out)

    @FEW
    @given(operation.as_strategy(generation_mode=mode))
    def ask(case: Case[Any]) -> None:
        case.call_and_validate(
            url,
            headers={"Authorization": f"Bearer {key}"},
            excluded_checks=excluded,
            timeout=30,
        )

    try:
        ask()
    except Unsatisfiable:
        pass
    except FailureGroup as exc:
        return [f"{operation.label} ({mode.value}): {one}" for one in exc.exceptions]
    return []


def test_data_plane_keeps_to_its_document(fuzzed: World) -> None:
    document = json.loads(Path(__file__).with_name("data_plane.json").read_text())
    assert fuzz(schemathesis.openapi.from_dict(document), fuzzed.gateway.data, KEY, HEARD) == []
    assert "Traceback" not in fuzzed.gateway.output


def test_admin_plane_keeps_to_its_document(fuzzed: World) -> None:
    url = fuzzed.gateway.admin
    schema = schemathesis.openapi.from_url(f"{url}/admin/openapi.json").exclude(path=ENDLESS)
    assert len(list(schema.get_all_operations())) >= 20
    assert fuzz(schema, url, ADMIN_KEY, LOOSE) == []
    assert "Traceback" not in fuzzed.gateway.output
