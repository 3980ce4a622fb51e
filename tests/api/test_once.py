"""`Idempotency-Key` on the way of a chat request."""

import asyncio
from typing import Any

import pytest

from gateway.api.server import GONE
from gateway.errors import StoreAway
from gateway.stores.idempotency import Claim, MemoryOnce, Replay
from tests.api.test_chat import Call, rig
from tests.engine.fakes import Rig, finish, text, whole
from tests.engine.virtual_time import run


def headers_of(call: Call) -> dict[bytes, bytes]:
    return dict(call.sent[0]["headers"])


async def asked(of: Rig, key: str = "key-1", **body: Any) -> Call:
    call = Call(of, **body)
    await call.run(**{"idempotency-key": key})
    return call


def test_request_that_is_sent_again_gets_the_first_answer_and_asks_nobody() -> None:
    async def scenario() -> None:
        of = rig()
        first, again = await asked(of), await asked(of)
        assert again.said == first.said
        assert of.calls == {"a": 1}
        assert headers_of(again)[b"idempotent-replayed"] == b"true"
        assert headers_of(again)[b"x-gateway-backend"] == b"a"
        assert headers_of(again)[b"x-request-id"] != headers_of(first)[b"x-request-id"]
        assert b"idempotent-replayed" not in headers_of(first)
        lengths = [name for name, _ in again.sent[0]["headers"] if name == b"content-length"]
        assert len(lengths) == 1
        assert [record.outcome for record in of.watcher.records] == ["success", "success"]
        assert [record.cost for record in of.watcher.records][1] in (None, 0.0)

    run(scenario())


def test_other_body_under_the_same_key_is_a_422_in_openais_shape() -> None:
    async def scenario() -> None:
        of = rig()
        await asked(of)
        call = await asked(of, temperature=0)
        assert (call.status, call.said["error"]["code"]) == (422, "idempotency_key_reused")

    run(scenario())


def test_same_request_beside_a_running_one_is_a_409() -> None:
    async def scenario() -> None:
        of = rig(5.0, whole("Hello"))
        first = asyncio.create_task(asked(of))
        await asyncio.sleep(1)
        second = await asked(of)
        assert (second.status, second.said["error"]["code"]) == (409, "idempotency_key_in_use")
        assert headers_of(second)[b"retry-after"] == b"1"
        assert (await first).status == 200

    run(scenario())


def test_failure_is_not_kept() -> None:
    async def scenario() -> None:
        of = rig()
        of.providers["a"].scripts = [[ZeroDivisionError], [whole("Hello")]]
        assert [(await asked(of)).status for _ in range(2)] == [500, 200]

    run(scenario())


def test_key_is_free_again_when_the_caller_hangs_up() -> None:
    async def scenario() -> None:
        of = rig(5.0, whole("Hello"))
        task = asyncio.create_task(asked(of))
        await asyncio.sleep(1)
        task.cancel(GONE)
        await asyncio.wait([task])
        assert (await asked(of)).status == 200

    run(scenario())


def test_caller_who_loses_the_answer_on_its_way_gets_it_again() -> None:
    async def scenario() -> None:
        of = rig()
        lost = Call(of)

        async def broken(message: Any) -> None:
            raise asyncio.CancelledError(GONE)

        lost.send = broken  # type: ignore[method-assign]  # a connection that is gone
        await lost.run(**{"idempotency-key": "key-1"})
        again = await asked(of)
        assert headers_of(again)[b"idempotent-replayed"] == b"true"
        assert of.calls == {"a": 1}

    run(scenario())


@pytest.mark.parametrize(("key", "status"), [("", 400), ("x" * 256, 400), ("x" * 255, 200), ("é ", 200)])
def test_key_has_1_to_255_characters(key: str, status: int) -> None:
    async def scenario() -> None:
        assert (await asked(rig(), key)).status == status

    run(scenario())


def test_stream_is_answered_anew_and_says_that_the_key_was_ignored() -> None:
    async def scenario() -> None:
        of = rig(text("Hello"), finish())
        first, second = await asked(of, stream=True), await asked(of, stream=True)
        assert of.calls == {"a": 2}
        assert headers_of(first)[b"x-idempotency"] == headers_of(second)[b"x-idempotency"] == b"ignored"

    run(scenario())


class Away:
    """A store that does not answer."""

    async def begin(self, claim: Claim) -> Replay | None:
        raise StoreAway("away")

    async def finish(self, claim: Claim, answer: Replay | None) -> None:
        raise AssertionError("nothing was claimed")


class Late(MemoryOnce):
    """A store that does what it was asked when nobody waits for its answer any more."""

    async def begin(self, claim: Claim) -> Replay | None:
        await super().begin(claim)
        raise StoreAway("late", asked=True)


def test_claim_that_came_too_late_is_ended_with_its_request() -> None:
    async def scenario() -> None:
        of, late = rig(), Late()
        object.__setattr__(of.tools.keeping, "once", late)
        first = await asked(of)
        assert headers_of(first)[b"x-idempotency"] == b"unavailable"
        object.__setattr__(of.tools.keeping, "once", on_time := MemoryOnce())
        on_time.known = late.known
        again = await asked(of)
        assert (again.status, again.said) == (200, first.said)
        assert headers_of(again)[b"idempotent-replayed"] == b"true"
        assert b"x-idempotency" not in headers_of(again)
        assert of.calls == {"a": 1}

    run(scenario())


class Slow(MemoryOnce):
    """A store that has done what it was asked a second before it says so."""

    async def begin(self, claim: Claim) -> Replay | None:
        found = await super().begin(claim)
        await asyncio.sleep(1.0)
        return found


def test_caller_who_hangs_up_while_the_key_is_claimed_may_use_it_again() -> None:
    async def scenario() -> None:
        of = rig()
        object.__setattr__(of.tools.keeping, "once", Slow())
        task = asyncio.create_task(asked(of))
        await asyncio.sleep(0.5)
        task.cancel(GONE)
        await asyncio.wait([task])
        assert (await asked(of)).status == 200
        assert [record.outcome for record in of.watcher.records] == ["client_cancelled", "success"]

    run(scenario())


def test_request_is_done_without_the_store_and_says_so() -> None:
    async def scenario() -> None:
        of = rig()
        object.__setattr__(of.tools.keeping, "once", Away())
        call = await asked(of)
        assert call.status == 200
        assert headers_of(call)[b"x-idempotency"] == b"unavailable"

    run(scenario())
