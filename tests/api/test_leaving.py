"""How the process ends, signal by signal."""

import asyncio
from dataclasses import dataclass

import pytest

from gateway.api.leaving import Drain, Leaving
from gateway.api.server import Listener, listener

pytestmark = pytest.mark.asyncio


@dataclass(slots=True)
class Ready:
    """Says whether the process is ready."""

    draining: bool = False


async def nobody(scope: object, receive: object, send: object) -> None:
    """An app that is never asked."""


def leaving(accept: float, started: bool = True) -> tuple[Leaving, Ready, Listener, Listener]:
    """Two listeners that seem to run, and what ends them."""
    ready, data, admin = Ready(), listener(nobody), listener(nobody)
    data.started = admin.started = started
    return Leaving(ready, data, admin, Drain(accept, 7.0)), ready, data, admin


async def test_first_signal_makes_it_unready_at_once_and_closes_after_the_window() -> None:
    leave, ready, data, admin = leaving(3600)
    leave.told(3600)
    assert ready.draining
    assert not data.should_exit and not admin.should_exit
    leave.close()
    assert data.should_exit and not data.force_exit
    assert not admin.should_exit


async def test_window_passes_by_itself() -> None:
    leave, _, data, _ = leaving(0.001)
    leave.told(0.001)
    async with asyncio.timeout(10):
        while not data.should_exit:
            await asyncio.sleep(0)


@pytest.mark.parametrize(("accept", "started"), [(0.0, True), (3600.0, False)])
async def test_nobody_is_waited_for_without_a_window_or_before_the_start(accept: float, started: bool) -> None:
    leave, _, data, _ = leaving(accept, started)
    leave.told(accept)
    assert data.should_exit and not data.force_exit


async def test_second_signal_ends_both_listeners_at_once() -> None:
    leave, _, data, admin = leaving(3600)
    leave.told(3600)
    leave.told(0.0)
    assert data.force_exit and data.should_exit and admin.force_exit and admin.should_exit


async def test_admin_plane_ends_when_the_callers_are_gone() -> None:
    leave, _, data, admin = leaving(0.0)
    leave.told(0.0)
    assert not admin.should_exit
    leave.gone()
    assert admin.should_exit and not admin.force_exit
    assert data.grace == 7.0
