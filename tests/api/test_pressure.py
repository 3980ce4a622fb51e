"""What a scrape says of queues, of those who were refused, and of tokens that nobody got."""

import asyncio
from typing import Any

import pytest

from gateway.api.pressure import REASONS, pressure
from gateway.engine.admission import SHARES, Most
from gateway.errors import Shed
from tests.engine.fakes import GOOD, Rig, bodies
from tests.engine.virtual_time import run
from tests.routing.samples import deployment, route

SLOW = [90.0, *GOOD]


def scraped(rig: Rig) -> dict[tuple[str, ...], float]:
    """Every reading that is not zero, by its name and the values of its labels."""
    found = pressure(rig.policy.backends, rig.tools)
    told = ((reading.name.removeprefix("gateway_"), dict(reading.labels), reading.value) for reading in found)
    return {(name, labels.pop("backend"), *labels.values()): value for name, labels, value in told if value}


def test_every_backend_and_class_has_its_series_before_anything_happens() -> None:
    rig = Rig(route(deployment("a"), deployment("b")), {})
    found = [
        (reading.name, dict(reading.labels), reading.value) for reading in pressure(rig.policy.backends, rig.tools)
    ]
    assert len(found) == len(SHARES) + 2 * (2 * len(SHARES) + len(REASONS))
    assert {value for _, _, value in found} == {0}
    assert ("gateway_queue_depth", {"backend": "a", "class": "batch"}, 0) in found
    assert ("gateway_shed_total", {"backend": "", "class": "critical"}, 0) in found
    assert ("gateway_wasted_tokens_total", {"backend": "b", "reason": "hedge"}, 0) in found


def test_those_who_wait_and_those_who_are_refused_are_told_by_class() -> None:
    async def scenario() -> None:
        rig = Rig(route(deployment("a", concurrency=1)), {"a": [SLOW]})
        asked: tuple[dict[str, Any], ...] = ({}, {}, {"headers": {"x-gateway-class": "batch"}})
        tasks = [asyncio.create_task(bodies(rig.open(**facts))) for facts in asked]
        await asyncio.sleep(1)
        assert scraped(rig) == {("queue_depth", "a", "default"): 1, ("queue_depth", "a", "batch"): 1}
        await asyncio.sleep(5)
        assert scraped(rig) == {("shed_total", "a", "default"): 1, ("queue_depth", "a", "batch"): 1}
        for task in tasks:
            task.cancel()
        with pytest.raises(Shed):
            await tasks[1]

    run(scenario())


def test_those_whom_the_gateway_itself_refuses_have_no_backend() -> None:
    rig = Rig(route(deployment("a")), {}, most=Most(in_flight=0))
    for _ in range(2):
        with pytest.raises(Shed):
            rig.tools.admission.enter("sheddable")
    assert scraped(rig) == {("shed_total", "", "sheddable"): 2}
