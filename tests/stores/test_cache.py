"""The cache in memory, against a plain model of it, and its keys."""

import asyncio
import string
from collections import OrderedDict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gateway.stores import cache
from gateway.stores.cache import ENTRY_BYTES, Entry, MemoryCache, cache_key
from gateway.types import CacheControl, Caller
from tests.routing.samples import BODY, deployment, request

GPU = deployment()
LIMIT = 5000


def entry(size: int, stored: float = 0.0) -> Entry:
    """An entry of that many bytes."""
    made = Entry((b"x" * (size - cache.OVERHEAD - cache.CHUNK_OVERHEAD),), GPU, None, None, stored)
    assert made.size == size
    return made


def get(of: MemoryCache, key: bytes, oldest: float = 0.0) -> Entry | None:
    return asyncio.run(of.get(key, oldest))


def put(of: MemoryCache, key: bytes, made: Entry) -> None:
    asyncio.run(of.put(key, made))


def test_entry_is_given_back_as_it_was() -> None:
    of, made = MemoryCache(), entry(1000)
    put(of, b"a", made)
    assert get(of, b"a") is made
    assert get(of, b"b") is None


def test_entry_that_is_too_old_is_not_given() -> None:
    of = MemoryCache()
    put(of, b"a", entry(1000, stored=10.0))
    assert get(of, b"a", oldest=10.0) is not None
    assert get(of, b"a", oldest=10.1) is None


def test_least_recently_used_entries_go_first() -> None:
    of = MemoryCache(LIMIT)
    for key in (b"a", b"b", b"c"):
        put(of, key, entry(1500))
    get(of, b"a")
    put(of, b"d", entry(1500))
    assert list(of.entries) == [b"c", b"a", b"d"]


def test_newer_entry_of_a_key_replaces_the_older_one() -> None:
    of = MemoryCache(LIMIT)
    put(of, b"a", entry(4000))
    put(of, b"a", entry(2000, stored=5.0))
    assert (of.size, len(of.entries)) == (2000, 1)


@pytest.mark.parametrize(("limit", "size"), [(10 * ENTRY_BYTES, ENTRY_BYTES + 1), (1000, 1001)])
def test_entry_that_is_too_large_is_refused_and_drives_nobody_out(limit: int, size: int) -> None:
    of = MemoryCache(limit)
    put(of, b"a", entry(800))
    put(of, b"b", entry(size))
    assert list(of.entries) == [b"a"]


def test_many_small_chunks_are_counted_with_what_they_cost() -> None:
    assert Entry((b"x",) * 1000, GPU, None, None, 0.0).size > 50_000


KEYS = st.sampled_from([b"a", b"b", b"c", b"d", b"e"])


class AgainstModel(RuleBasedStateMachine):
    """Any run of puts and gets, against an ordered dict."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.real = MemoryCache(LIMIT)
        self.model: OrderedDict[bytes, Entry] = OrderedDict()
        self.now = 0.0

    def teardown(self) -> None:
        self.loop.close()

    @rule(key=KEYS, size=st.integers(700, 6000))
    def put(self, key: bytes, size: int) -> None:
        self.now += 1
        made = entry(size, self.now)
        self.loop.run_until_complete(self.real.put(key, made))
        if size > LIMIT:
            return
        self.model.pop(key, None)
        self.model[key] = made
        while sum(one.size for one in self.model.values()) > LIMIT:
            self.model.popitem(last=False)

    @rule(key=KEYS, age=st.floats(0, 20))
    def get(self, key: bytes, age: float) -> None:
        found = self.loop.run_until_complete(self.real.get(key, self.now - age))
        expected = self.model.get(key)
        if expected is not None and expected.stored >= self.now - age:
            self.model.move_to_end(key)
        else:
            expected = None
        assert found is expected

    @invariant()
    def holds_the_same_in_the_same_order_within_its_bytes(self) -> None:
        assert list(self.real.entries.items()) == list(self.model.items())
        assert self.real.size == sum(one.size for one in self.real.entries.values()) <= LIMIT


TestAgainstModel = AgainstModel.TestCase


def key(tenant: str = "search", route: str = "chat", **fields: Any) -> bytes:
    return cache_key(tenant, route, request(body={**BODY, **fields}))


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
    assert cache_key("search", "chat", other) == key()


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
    assert cache_key("t", "r", request(body=body)) == cache_key("t", "r", request(body=turned))


NAMES = st.text(string.printable, max_size=5)


@given(st.tuples(NAMES, NAMES, BODIES), st.tuples(NAMES, NAMES, BODIES))
def test_different_requests_have_different_keys(
    one: tuple[str, str, dict[str, Any]], other: tuple[str, str, dict[str, Any]]
) -> None:
    same = repr(sorted_all(one)) == repr(sorted_all(other))
    keys = [cache_key(tenant, route, request(body=body)) for tenant, route, body in (one, other)]
    assert (keys[0] == keys[1]) == same


def sorted_all(value: Any) -> Any:
    """The same value with the fields of all objects in the same order."""
    if isinstance(value, dict):
        return {name: sorted_all(value[name]) for name in sorted(value)}
    return [sorted_all(inner) for inner in value] if isinstance(value, (list, tuple)) else value
