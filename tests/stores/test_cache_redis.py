"""The cache in Redis: what it makes of values that it has not written, and a purge of a Cluster."""

import asyncio
import zlib
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stores.cache import ENTRY_BYTES, Entry, Purge
from gateway.stores.cache_redis import PACKED, PLAIN, RedisCache, kept
from gateway.stores.redis import RedisStore
from gateway.stores.redis_url import place
from tests.stores.redis_fleets import cluster

GOOD: list[Any] = [1.0, "by", "caller", "route", "model", [7, 3, 0, False], 1e-5]


def value(head: object, how: bytes = PLAIN, body: bytes = b"{}") -> bytes:
    """A value of our own form."""
    packed = orjson.dumps(head)
    return len(packed).to_bytes(2, "big") + packed + how + body


def test_value_of_our_own_form_is_an_entry() -> None:
    found = kept(value(GOOD), 3.0)
    assert found is not None
    assert (found.age, found.entry.cost, found.entry.body) == (2.0, 1e-5, b"{}")


NO_TEXT: list[object] = [None, 1, [], {}, ["by"]]
NO_NUMBER: list[object] = ["1", [], {}, True]
NO_USAGE: list[object] = ["ab", ["a", "b"], [1], [1, 2, 3, 4, 5], {"a": 1}, 7, [1, None], [1.5, 2]]


@pytest.mark.parametrize(
    ("index", "wrong"),
    [
        *[(index, one) for index in (1, 2, 3, 4) for one in NO_TEXT],
        *[(index, one) for index in (0, 6) for one in NO_NUMBER],
        *[(5, one) for one in NO_USAGE],
        (0, None),
    ],
)
def test_head_with_a_field_of_another_kind_is_no_entry(index: int, wrong: object) -> None:
    assert kept(value([*GOOD[:index], wrong, *GOOD[index + 1 :]]), 3.0) is None


@pytest.mark.parametrize(
    ("how", "body"),
    [
        (b"", b""),
        (b"x", b"{}"),
        (PACKED, b""),
        (PACKED, zlib.compress(b"x" * 300)[:-1]),
        (PACKED, zlib.compress(b"x" * (ENTRY_BYTES + 1))),
    ],
)
def test_body_that_is_cut_or_written_otherwise_or_without_end_is_no_entry(how: bytes, body: bytes) -> None:
    assert kept(value(GOOD, how, body), 3.0) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(0, 9) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=6,
)


@given(st.lists(JSON, min_size=6, max_size=8), st.sampled_from([PLAIN, PACKED, b"q"]))
def test_whatever_is_taken_for_an_entry_can_be_used_as_one(head: list[Any], how: bytes) -> None:
    found = kept(value(head, how), 3.0)
    if found is None:
        return
    entry = found.entry
    assert {type(one) for one in (entry.by, entry.caller, entry.route, entry.model)} == {str}
    assert entry.usage is None or sum(entry.usage) >= sum(entry.usage[:2]) - 99
    assert (entry.cost or 0.0) + found.age >= 0.0


def test_purge_forgets_entries_of_all_slots_of_a_cluster() -> None:
    async def scenario(port: int) -> None:
        store = RedisStore(place(f"redis+cluster://127.0.0.1:{port}/"))
        try:
            of = RedisCache(store)
            for index in range(60):
                await of.put(b"%d" % index, Entry(b"{}", "by", f"c{index % 2}", "r", "m"), 60.0)
            assert await of.purge(Purge(caller="c0")) == 30
            assert await of.purge(Purge()) == 30
        finally:
            await store.close()

    with cluster() as servers:
        asyncio.run(scenario(servers[0].port))
