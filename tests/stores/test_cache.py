"""The cache of answers: one contract for both twins, the one in memory against a plain model, and the keys."""

import asyncio
import string
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.errors import StoreAway
from gateway.stores import cache_redis
from gateway.stores.cache import ENTRY_BYTES, OVERHEAD, Cache, Entry, Held, MemoryCache, Purge, cache_key, tenant_of
from gateway.stores.cache_redis import KEYS, RedisCache, kept, packed
from gateway.stores.redis import RedisStore
from gateway.types import CacheControl, Caller, Team, Usage
from tests.redis_server import RedisServer, in_redis
from tests.routing.samples import BODY, request

LIMIT = 5000
TTL = 60.0
Result = TypeVar("Result")


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def entry(size: int = 1000, **facts: Any) -> Entry:
    """An entry of that many bytes."""
    usual: dict[str, Any] = {"by": "gpu-a/llama", "caller": "search", "route": "chat", "model": "llama"}
    made = Entry(b"x" * (size - OVERHEAD), **(usual | facts))
    assert made.size == size
    return made


@pytest.fixture(params=["memory", "redis"])
def with_cache(request: pytest.FixtureRequest) -> Callable[[Callable[[Cache, Clock], Awaitable[None]]], None]:
    """Runs a scenario with a cache of either kind, and the clock that tells the age of its entries."""

    def run(scenario: Callable[[Cache, Clock], Awaitable[None]]) -> None:
        clock = Clock()
        if request.param == "memory":
            asyncio.run(as_coroutine(scenario(MemoryCache(clock=clock), clock)))
            return
        server: RedisServer = request.getfixturevalue("redis_server")
        asyncio.run(in_redis(server, lambda store: scenario(RedisCache(store, clock), clock)))

    return run


Runs = Callable[[Callable[[Cache, Clock], Awaitable[None]]], None]


async def as_coroutine(what: Awaitable[None]) -> None:
    await what


async def one(of: Cache, key: bytes = b"a") -> Entry | None:
    """The entry of a key."""
    (found,) = await of.get((key,))
    return None if found is None else found.entry


def test_entry_is_given_back_as_it_was_with_its_age(with_cache: Runs) -> None:
    async def scenario(of: Cache, clock: Clock) -> None:
        made = entry(2000, usage=Usage(7, 3, 2), cost=1e-5)
        await of.put(b"a", made, TTL)
        clock.now += 12.5
        found, none = await of.get((b"a", b"b"))
        assert found is not None
        assert (found.entry, found.age, none) == (made, 12.5, None)

    with_cache(scenario)


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\x00" * 300, "é".encode() * 5000])
def test_body_is_kept_to_the_byte(with_cache: Runs, body: bytes) -> None:
    async def scenario(of: Cache, clock: Clock) -> None:
        await of.put(b"a", Entry(body, "by", "c", "r", "m"), TTL)
        assert await one(of) == Entry(body, "by", "c", "r", "m")

    with_cache(scenario)


def test_clock_that_is_set_back_makes_no_answer_younger_than_new(with_cache: Runs) -> None:
    async def scenario(of: Cache, clock: Clock) -> None:
        await of.put(b"a", entry(), TTL)
        clock.now -= 3600
        (found,) = await of.get((b"a",))
        assert found is not None
        assert found.age == 0.0

    with_cache(scenario)


def test_newer_entry_of_a_key_takes_the_place_of_the_older_one(with_cache: Runs) -> None:
    async def scenario(of: Cache, clock: Clock) -> None:
        await of.put(b"a", entry(), TTL)
        await of.put(b"a", entry(1500), TTL)
        assert await one(of) == entry(1500)

    with_cache(scenario)


def test_entry_that_is_too_large_is_refused(with_cache: Runs) -> None:
    async def scenario(of: Cache, clock: Clock) -> None:
        await of.put(b"a", entry(ENTRY_BYTES + 1), TTL)
        await of.put(b"b", entry(ENTRY_BYTES), TTL)
        assert await one(of) is None
        assert await one(of, b"b") is not None

    with_cache(scenario)


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (Purge(), ""),
        (Purge(caller="search"), "cd"),
        (Purge(route="chat"), "bd"),
        (Purge(model="llama"), "d"),
        (Purge("search", "chat", "llama"), "bcd"),
        (Purge("nobody"), "abcd"),
    ],
)
def test_purge_forgets_what_it_names_and_says_how_many(with_cache: Runs, which: Purge, left: str) -> None:
    async def scenario(of: Cache, clock: Clock) -> None:
        made = {
            "a": entry(),
            "b": entry(route="code"),
            "c": entry(caller="chat"),
            "d": entry(caller="chat", route="code", model="scout"),
        }
        for key, each in made.items():
            await of.put(key.encode(), each, TTL)
        assert await of.purge(which) == len(made) - len(left)
        found = await of.get(tuple(key.encode() for key in made))
        assert "".join(key for key, one in zip(made, found, strict=True) if one is not None) == left

    with_cache(scenario)


def test_purge_looks_at_more_keys_than_one_round_trip_holds(with_cache: Runs) -> None:
    async def scenario(of: Cache, clock: Clock) -> None:
        for index in range(3 * cache_redis.SCANNED):
            await of.put(b"%d" % index, entry(caller=f"c{index % 2}"), TTL)
        assert await of.purge(Purge(caller="c0")) == 3 * cache_redis.SCANNED // 2

    with_cache(scenario)


def test_purge_leaves_other_things_in_redis_alone(redis_server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        await store.command("SET", "gateway:limits:search", 1)
        await RedisCache(store).put(b"a", entry(), TTL)
        assert await RedisCache(store).purge(Purge()) == 1
        assert await store.command("GET", "gateway:limits:search") == b"1"

    asyncio.run(in_redis(redis_server, scenario))


def test_redis_lets_go_of_an_entry_when_its_time_is_over(redis_server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        await RedisCache(store).put(b"a", entry(), TTL)
        left = await store.command("PTTL", KEYS + b"a")
        assert isinstance(left, int)
        assert TTL * 900 < left <= TTL * 1000

    asyncio.run(in_redis(redis_server, scenario))


def test_long_answer_is_packed_in_redis(redis_server: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        await RedisCache(store).put(b"a", Entry(b'{"content":"Hello"}' * 1000, "by", "c", "r", "m"), TTL)
        size = await store.command("STRLEN", KEYS + b"a")
        assert isinstance(size, int)
        assert size < 1000

    asyncio.run(in_redis(redis_server, scenario))


def test_redis_that_is_away_is_an_empty_cache(own_redis: RedisServer) -> None:
    async def scenario(store: RedisStore) -> None:
        of = RedisCache(store)
        await of.put(b"a", entry(), TTL)
        own_redis.kill()
        assert list(await of.get((b"a", b"b"))) == [None, None]
        await of.put(b"a", entry(), TTL)
        with pytest.raises(StoreAway):
            await of.purge(Purge())
        assert store.fallbacks["cache"] == 2

    asyncio.run(in_redis(own_redis, scenario))


@given(st.binary(max_size=200))
def test_value_of_another_kind_in_redis_is_no_entry(value: bytes) -> None:
    assert kept(value, 0.0) is None


@given(st.binary(max_size=2000), st.none() | st.floats(0, 100), st.text(max_size=5))
def test_packing_loses_nothing(body: bytes, cost: float | None, name: str) -> None:
    made = Entry(body, name, name, name, name, Usage(1, 2), cost)
    found = kept(packed(made, 5.0), 7.0)
    assert found is not None
    assert (found.entry, found.age) == (made, 2.0)


def test_least_recently_used_entries_go_first() -> None:
    async def scenario() -> None:
        of = MemoryCache(LIMIT)
        for key in (b"a", b"b", b"c"):
            await of.put(key, entry(1500), TTL)
        await one(of)
        await of.put(b"d", entry(1500), TTL)
        assert list(of.entries) == [b"c", b"a", b"d"]

    asyncio.run(scenario())


def test_entry_that_is_too_large_drives_nobody_out() -> None:
    async def scenario() -> None:
        of = MemoryCache(1000)
        await of.put(b"a", entry(900), TTL)
        await of.put(b"b", entry(1001), TTL)
        assert list(of.entries) == [b"a"]

    asyncio.run(scenario())


def test_entry_whose_time_is_over_is_not_given_and_forgotten() -> None:
    async def scenario() -> None:
        clock = Clock()
        of = MemoryCache(clock=clock)
        await of.put(b"a", entry(), TTL)
        clock.now += TTL
        assert await one(of) is not None
        clock.now += 0.1
        assert await one(of) is None
        assert (of.size, of.entries, of.due) == (0, {}, {})

    asyncio.run(scenario())


def test_what_nobody_asks_for_again_is_let_go_of_soon_after_its_time() -> None:
    async def scenario() -> None:
        clock = Clock()
        of = MemoryCache(clock=clock)
        for index in range(100):
            await of.put(b"%d" % index, entry(), TTL)
        clock.now += TTL + 60
        await of.put(b"new", entry(), TTL)
        assert list(of.entries) == [b"new"]
        assert of.size == 1000
        assert sum(map(len, of.due.values())) == 1

    asyncio.run(scenario())


def test_many_different_keys_hold_no_more_memory_than_the_bytes_allow() -> None:
    async def scenario() -> None:
        of = MemoryCache(100_000)
        for index in range(5000):
            await of.put(b"%d" % index, entry(), TTL * (1 + index % 7))
        assert len(of.entries) == sum(map(len, of.due.values())) == 100
        assert of.size == 100_000

    asyncio.run(scenario())


NAMED = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])


class AgainstModel(RuleBasedStateMachine):
    """Any run of puts, gets and purges, against an ordered dict."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.clock = Clock()
        self.real = MemoryCache(LIMIT, self.clock)
        self.model: OrderedDict[bytes, Held] = OrderedDict()

    def teardown(self) -> None:
        self.loop.close()

    @rule(key=NAMED, size=st.integers(900, 6000), ttl=st.floats(1, 300), caller=st.sampled_from("xy"))
    def put(self, key: bytes, size: int, ttl: float, caller: str) -> None:
        made = entry(size, caller=caller)
        self.loop.run_until_complete(self.real.put(key, made, ttl))
        self.drop_those_due()
        if size > LIMIT:
            return
        self.model.pop(key, None)
        self.model[key] = Held(made, self.clock.now, self.clock.now + ttl)
        while sum(one.entry.size for one in self.model.values()) > LIMIT:
            self.model.popitem(last=False)

    def drop_those_due(self) -> None:
        slot = self.clock.now // 60
        self.model = OrderedDict((key, one) for key, one in self.model.items() if one.until // 60 >= slot)

    @rule(seconds=st.floats(0, 200))
    def wait(self, seconds: float) -> None:
        self.clock.now += seconds

    @rule(key=NAMED)
    def get(self, key: bytes) -> None:
        (found,) = self.loop.run_until_complete(self.real.get((key,)))
        expected = self.model.get(key)
        if expected is not None and expected.until < self.clock.now:
            expected = self.model.pop(key) and None
        if expected is None:
            assert found is None
            return
        self.model.move_to_end(key)
        assert found is not None
        assert (found.entry, found.age) == (expected.entry, self.clock.now - expected.stored)

    @rule(caller=st.sampled_from("xy"))
    def purge(self, caller: str) -> None:
        gone = self.loop.run_until_complete(self.real.purge(Purge(caller=caller)))
        left = [(key, one) for key, one in self.model.items() if one.entry.caller != caller]
        assert gone == len(self.model) - len(left)
        self.model = OrderedDict(left)

    @invariant()
    def holds_the_same_in_the_same_order_within_its_bytes(self) -> None:
        assert list(self.real.entries.items()) == list(self.model.items())
        assert self.real.size == sum(one.entry.size for one in self.real.entries.values()) <= LIMIT
        assert {key for keys in self.real.due.values() for key in keys} == set(self.model)


TestAgainstModel = AgainstModel.TestCase


def key(tenant: str = "search", route: str = "chat", **fields: Any) -> bytes:
    return cache_key(b"secret", tenant.encode(), route, (), request(body={**BODY, **fields}))


def test_key_depends_on_the_tenant_the_route_and_every_parameter() -> None:
    keys = [
        key(),
        key("chat"),
        key(route="other"),
        key(temperature=0.1),
        key(temperature=0.2),
        key(seed=1),
        key(unheard_of=None),
        key(stream=True),
        key(messages=[]),
        key("searchchat", ""),
        key("search", "chat\n"),
    ]
    assert len(set(keys)) == len(keys)


def test_key_does_not_depend_on_what_is_not_in_the_body() -> None:
    other = request(id="req_2", caller=Caller("x"), cache=CacheControl(max_age=5.0), arrived=9.0, headers={"a": "b"})
    assert cache_key(b"secret", b"search", "chat", (), other) == key()


def test_key_depends_on_the_secret_the_models_of_the_route_and_the_operation() -> None:
    keys = [
        key(),
        cache_key(b"other", b"search", "chat", (), request(body=BODY)),
        cache_key(b"secret", b"search", "chat", ("llama",), request(body=BODY)),
        cache_key(b"secret", b"search", "chat", (), request(body=BODY, operation="completions")),
    ]
    assert len(set(keys)) == len(keys)


def test_team_gets_answers_of_its_callers_only_where_the_route_says_so() -> None:
    red, blue, alone = Caller("a", team=Team("red")), Caller("b", team=Team("red")), Caller("red")
    assert tenant_of(red, "caller") != tenant_of(blue, "caller")
    assert tenant_of(red, "team") == tenant_of(blue, "team")
    assert tenant_of(red, "team") not in (tenant_of(alone, "team"), tenant_of(alone, "caller"))
    assert len({tenant_of(one, "all") for one in (red, blue, alone)}) == 1


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(string.printable, max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(string.ascii_letters, max_size=3), JSON, max_size=4)


def reordered(value: Any) -> Any:
    """The same value with the fields of all objects in another order."""
    if isinstance(value, dict):
        return {name: reordered(inner) for name, inner in reversed(value.items())}
    return [reordered(inner) for inner in value] if isinstance(value, list) else value


@given(BODIES)
def test_key_does_not_depend_on_the_order_of_fields(body: dict[str, Any]) -> None:
    turned = reordered(body)
    assert cache_key(b"", b"t", "r", (), request(body=body)) == cache_key(b"", b"t", "r", (), request(body=turned))


NAMES = st.text(string.printable, max_size=5)


@given(st.tuples(NAMES, NAMES, BODIES), st.tuples(NAMES, NAMES, BODIES))
def test_different_requests_have_different_keys(
    one: tuple[str, str, dict[str, Any]], other: tuple[str, str, dict[str, Any]]
) -> None:
    same = repr(sorted_all(one)) == repr(sorted_all(other))
    keys = [cache_key(b"", tenant.encode(), route, (), request(body=body)) for tenant, route, body in (one, other)]
    assert (keys[0] == keys[1]) == same


def sorted_all(value: Any) -> Any:
    """The same value with the fields of all objects in the same order."""
    if isinstance(value, dict):
        return {name: sorted_all(value[name]) for name in sorted(value)}
    return [sorted_all(inner) for inner in value] if isinstance(value, (list, tuple)) else value
