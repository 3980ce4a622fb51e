"""What is done once: one contract for both twins, and the one in memory against a plain model."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import IdempotencyInUse, IdempotencyReused, StoreAway
from gateway.stores.idempotency import (
    ANSWER_BYTES,
    DAY,
    LEASE,
    OVERHEAD,
    Claim,
    MemoryOnce,
    Once,
    Replay,
    claimed,
)
from gateway.stores.idempotency_redis import KEYS, RedisOnce, packed, unpacked
from gateway.stores.redis import RedisStore
from tests.redis_server import RedisServer, in_redis

ANSWER = Replay(200, ((b"content-type", b"application/json"), (b"x-odd", b"\xe9")), b'{"choices":[]}')
Scenario = Callable[[Once], Awaitable[None]]
Runs = Callable[[Scenario], None]


def claim(body: bytes = b"{}", key: str = "key-1", caller: str = "search") -> Claim:
    return claimed(b"secret", caller, "chat", key, body)


async def in_memory(scenario: Scenario) -> None:
    await scenario(MemoryOnce())


@pytest.fixture(params=["memory", "redis"])
def with_once(request: pytest.FixtureRequest) -> Runs:
    """Runs a scenario with either twin."""

    def run(scenario: Scenario) -> None:
        if request.param == "memory":
            asyncio.run(in_memory(scenario))
            return
        server: RedisServer = request.getfixturevalue("redis_server")
        asyncio.run(in_redis(server, lambda store: scenario(RedisOnce(store))))

    return run


def test_answer_is_given_again_as_it_was(with_once: Runs) -> None:
    async def scenario(once: Once) -> None:
        first = claim()
        assert await once.begin(first) is None
        await once.finish(first, ANSWER)
        assert await once.begin(claim()) == ANSWER

    with_once(scenario)


def test_same_request_beside_a_running_one_is_refused(with_once: Runs) -> None:
    async def scenario(once: Once) -> None:
        await once.begin(claim())
        with pytest.raises(IdempotencyInUse) as caught:
            await once.begin(claim())
        assert (caught.value.status, caught.value.headers) == (409, (("x-should-retry", "true"),))

    with_once(scenario)


@pytest.mark.parametrize("over", [True, False])
def test_other_body_under_a_known_key_is_refused_whether_it_runs_or_is_over(with_once: Runs, over: bool) -> None:
    async def scenario(once: Once) -> None:
        first = claim()
        await once.begin(first)
        if over:
            await once.finish(first, ANSWER)
        with pytest.raises(IdempotencyReused) as caught:
            await once.begin(claim(b'{"n":1}'))
        assert caught.value.status == 422

    with_once(scenario)


@pytest.mark.parametrize("answer", [None, Replay(200, (), b"x" * (ANSWER_BYTES + 1))])
def test_failure_and_an_answer_that_is_too_large_free_the_key(with_once: Runs, answer: Replay | None) -> None:
    async def scenario(once: Once) -> None:
        first = claim()
        await once.begin(first)
        await once.finish(first, answer)
        assert await once.begin(claim(b"other")) is None

    with_once(scenario)


def test_keys_of_other_callers_and_other_keys_are_other_requests(with_once: Runs) -> None:
    async def scenario(once: Once) -> None:
        await once.begin(claim())
        assert await once.begin(claim(caller="chat")) is None
        assert await once.begin(claim(key="key-2")) is None

    with_once(scenario)


def test_who_has_lost_a_claim_neither_frees_nor_answers_it(with_once: Runs) -> None:
    async def scenario(once: Once) -> None:
        mine, stranger = claim(), claim()
        await once.begin(mine)
        await once.finish(stranger, ANSWER)
        await once.finish(stranger, None)
        with pytest.raises(IdempotencyInUse):
            await once.begin(claim())

    with_once(scenario)


def test_redis_forgets_claims_and_answers_in_their_time(redis_server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        once, first = RedisOnce(store), claim()
        for seconds in (LEASE, DAY):
            if seconds == LEASE:
                await once.begin(first)
            else:
                await once.finish(first, ANSWER)
            left = await store.command("PTTL", KEYS + first.key)
            assert isinstance(left, int)
            assert seconds * 900 < left <= seconds * 1000

    asyncio.run(in_redis(redis_server, scenario))


def test_store_that_is_away_is_told_at_the_beginning_and_not_at_the_end(own_redis: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        once, first = RedisOnce(store), claim()
        await once.begin(first)
        own_redis.kill()
        await once.finish(first, ANSWER)
        with pytest.raises(StoreAway):
            await once.begin(claim())
        assert store.fallbacks["idempotency"] == 2

    asyncio.run(in_redis(own_redis, scenario))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x",
        b"something else",
        b"x" + claim().digest + claim().token,
        b"d" + claim().digest,
        b"d" + claim().digest + b"\0\0\0\2[]",
        b"d" + claim().digest + b"\0\0\0\3[1]",
        b"d" + claim().digest + b'\0\0\0\x08["a",[]]',
        b"d" + claim().digest + b"\0\0\0\x09[200,[5]]",
        b"d" + claim().digest + b"\0\0\0\x0d[200,[[1,2]]]",
        b"d" + claim().digest + b"\xff\xff\xff\xff[200,",
    ],
    ids=range(11),
)
def test_value_in_redis_that_is_not_ours_is_as_a_store_that_is_away(redis_server: RedisServer, value: bytes) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.command("SET", KEYS + claim().key, value)
        with pytest.raises(StoreAway):
            await RedisOnce(store).begin(claim())
        assert store.fallbacks["idempotency"] == 1

    asyncio.run(in_redis(redis_server, scenario))


@given(st.integers(100, 599), st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=5))), st.binary())
def test_packing_loses_nothing(status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    answer = Replay(status, tuple(headers), body)
    assert unpacked(packed(claim(), answer)) == answer


class AgainstModel(RuleBasedStateMachine):
    """Any run of requests, ends and waits, against a dict that forgets nothing by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.now = 0.0
        self.real = MemoryOnce(lambda: self.now, 10 * OVERHEAD)
        self.running: dict[bytes, tuple[Claim, float]] = {}
        self.over: dict[bytes, tuple[Claim, Replay, float]] = {}

    def teardown(self) -> None:
        self.loop.close()

    @rule(key=st.sampled_from("abc"), body=st.sampled_from([b"1", b"2"]))
    def begin(self, key: str, body: bytes) -> None:
        asked = claim(body, key)
        running, over = self.running.get(asked.key), self.over.get(asked.key)
        known = (running and running[0]) or (over and over[0])
        try:
            found = self.loop.run_until_complete(self.real.begin(asked))
        except IdempotencyReused:
            assert known is not None
            assert known.digest != asked.digest
            return
        except IdempotencyInUse:
            assert running is not None
            assert running[0].digest == asked.digest
            return
        assert found == (None if over is None else over[1])
        if found is None:
            assert running is None
            self.running[asked.key] = asked, self.now + LEASE

    @rule(key=st.sampled_from("abc"), body=st.none() | st.binary(max_size=50))
    def finish(self, key: str, body: bytes | None) -> None:
        held = self.running.pop(claim(b"", key).key, None)
        if held is None:
            return
        answer = None if body is None else Replay(200, (), body)
        self.loop.run_until_complete(self.real.finish(held[0], answer))
        if answer is not None:
            self.over[held[0].key] = held[0], answer, self.now + DAY

    @rule(seconds=st.floats(0, 2 * DAY))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.running = {key: one for key, one in self.running.items() if one[1] > self.now}
        self.over = {key: one for key, one in self.over.items() if one[2] > self.now}

    @invariant()
    def holds_no_more_than_it_may(self) -> None:
        assert 0 <= self.real.size <= self.real.limit


TestAgainstModel = AgainstModel.TestCase


def test_oldest_answers_go_when_the_bytes_run_out() -> None:
    async def scenario() -> None:
        once = MemoryOnce(limit=3 * OVERHEAD + 300)
        claims = [claim(key=f"key-{index}") for index in range(4)]
        for one in claims:
            await once.begin(one)
            await once.finish(one, Replay(200, (), b"x" * 100))
        assert await once.begin(claim(key="key-0")) is None
        assert await once.begin(claim(key="key-3")) is not None

    asyncio.run(scenario())
