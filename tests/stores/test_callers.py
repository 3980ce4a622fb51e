"""Callers that are made at run time: the same in the state file and in Redis."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stores.callers import (
    CallerStore,
    FileCallers,
    Key,
    StoredCaller,
    digest_of,
    fits,
    new_key,
    packed,
    unpacked,
)
from gateway.stores.redis import RedisStore
from gateway.stores.redis_url import Patience, place
from gateway.stores.shared_callers import SharedCallers
from gateway.stores.state import StateFile
from gateway.types import Limits, Team
from tests.redis_server import RedisServer

PEPPER = b"pepper-of-the-tests"
PATIENCE = 20.0  # seconds: here it is not the time that is looked at
FULL = StoredCaller(
    "search",
    (Key(b"\x01" * 32, 5.0), Key(b"\x02" * 32, 3.0, 9.5)),
    routes=("chat", "default"),
    models=(),
    limits=Limits(1, 2, 3, 4.5, 6.0),
    team="research",
    class_="batch",
    metadata={"owner": "anna", "größe": "ü"},
    expires=99.0,
    on_store_failure="local",
    made=5.0,
)
Result = TypeVar("Result")
Run = Callable[[Callable[[CallerStore], Awaitable[Result]]], Result]


@pytest.fixture(params=["file", "redis"])
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Run[object]:
    """Does something with a store, be it a file or a real Redis; what is kept stays between two runs."""
    if request.param == "file":
        store = FileCallers(StateFile.open(tmp_path))
        return lambda work: asyncio.run(as_coroutine(work(store)))
    server: RedisServer = request.getfixturevalue("redis_server")

    async def shared(work: Callable[[CallerStore], Awaitable[object]]) -> object:
        redis = RedisStore(replace(place(server.url), patience=Patience(PATIENCE, PATIENCE, PATIENCE)))
        try:
            return await work(SharedCallers(redis))
        finally:
            await redis.close()

    return lambda work: asyncio.run(shared(work))


async def as_coroutine(work: Awaitable[Result]) -> Result:
    return await work


def test_what_is_put_is_read_again(run: Run[object]) -> None:
    assert run(lambda store: store.all()) == []
    assert run(lambda store: store.put(FULL)) is True
    assert run(lambda store: store.put(StoredCaller("a", (Key(b"x", 1.0),)))) is True
    assert run(lambda store: store.all()) == [
        StoredCaller("a", (Key(b"x", 1.0),), version=1),
        replace(FULL, version=1),
    ]


def test_whoever_changes_what_another_has_changed_is_told(run: Run[object]) -> None:
    assert run(lambda store: store.put(FULL))
    assert not run(lambda store: store.put(FULL))
    assert run(lambda store: store.put(replace(FULL, team=None, version=1)))
    assert not run(lambda store: store.put(replace(FULL, team="other", version=1)))
    assert run(lambda store: store.all()) == [replace(FULL, team=None, version=2)]


def test_what_is_removed_is_gone_once(run: Run[object]) -> None:
    run(lambda store: store.put(FULL))
    assert run(lambda store: store.remove("search")) is True
    assert run(lambda store: store.remove("search")) is False
    assert run(lambda store: store.all()) == []
    assert not run(lambda store: store.put(replace(FULL, version=1)))


def test_every_change_is_seen_and_nothing_else_is_one(run: Run[object]) -> None:
    seen = [run(lambda store: store.changes())]
    for change in (
        lambda store: store.put(FULL),
        lambda store: store.put(replace(FULL, version=1)),
        lambda store: store.remove("search"),
        lambda store: store.put(FULL),
    ):
        run(change)
        seen.append(run(lambda store: store.changes()))
        assert run(lambda store: store.changes()) == seen[-1]
    run(lambda store: store.put(FULL))
    run(lambda store: store.remove("nobody"))
    assert run(lambda store: store.changes()) == seen[-1]
    assert len(set(seen)) == len(seen)


INJECTIONS = [
    "'; DROP TABLE callers; --",
    "' OR '1'='1",
    '" OR ""="',
    "a\x00b",
    "x') RETURNING terms --",
    "%' LIKE '%",
    "\\'; SELECT sqlite_version(); --",
    "] redis.call('FLUSHALL') --",
    "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n",
    "\r\nFLUSHALL\r\n",
    "{callers}",
    "ünïcode 💥",
    "x" * 10_000,
]


@pytest.mark.parametrize("text", INJECTIONS)
def test_any_text_in_any_field_is_text_alone(run: Run[object], text: str) -> None:
    odd = StoredCaller(text, (Key(text.encode(), 1.0),), (text,), (text,), Limits(), text, metadata={text: text})
    assert run(lambda store: store.put(FULL)) and run(lambda store: store.put(odd))
    found = run(lambda store: store.all())
    assert isinstance(found, list)
    assert {caller.name for caller in found} == {"search", text}
    assert next(caller for caller in found if caller.name == text) == replace(odd, version=1)
    assert run(lambda store: store.remove(text)) is True
    assert run(lambda store: store.all()) == [replace(FULL, version=1)]


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
WHOLE, MONEY = st.none() | st.integers(1, 10**9), st.none() | st.floats(0, 1e9)
KEYS = st.builds(Key, st.binary(min_size=1, max_size=32), st.floats(0, 1e10), st.none() | st.floats(0, 1e10))


@given(
    st.builds(
        StoredCaller,
        name=TEXT,
        keys=st.lists(KEYS, max_size=3).map(tuple),
        routes=st.none() | st.lists(TEXT, max_size=3).map(tuple),
        models=st.none() | st.lists(TEXT, max_size=3).map(tuple),
        limits=st.builds(Limits, WHOLE, WHOLE, WHOLE, MONEY, MONEY),
        team=st.none() | TEXT,
        metadata=st.dictionaries(TEXT, TEXT, max_size=3),
        expires=st.none() | st.floats(0, 1e10),
        made=st.floats(0, 1e10),
        version=st.integers(0, 99),
    )
)
def test_a_caller_is_the_same_after_it_was_packed(caller: StoredCaller) -> None:
    assert unpacked(caller.name, caller.version, packed(caller)) == caller


def test_keys_are_long_never_alike_and_not_to_be_seen() -> None:
    keys = {new_key() for _ in range(1000)}
    assert len(keys) == 1000
    assert all(key.startswith("lg-") and len(key) == 46 and key.isascii() for key in keys)
    assert "\\x01" not in repr(FULL) and "0101" not in repr(FULL)


@given(st.text(max_size=100), st.text(max_size=100))
def test_two_keys_have_one_digest_only_if_they_are_one_key(first: str, second: str) -> None:
    same = first.encode("utf-8", "replace") == second.encode("utf-8", "replace")
    assert (digest_of(PEPPER, first) == digest_of(PEPPER, second)) == same
    assert digest_of(PEPPER, first) != digest_of(b"another", first)


def test_a_rotated_key_is_good_for_the_grace_and_no_key_for_longer_than_it_was() -> None:
    old, ending = Key(b"old", 0.0), Key(b"ending", 0.0, 150.0)
    found = StoredCaller("a", (old, ending, Key(b"gone", 0.0, 90.0))).rotated(b"new", 100.0, 3600.0)
    assert found.keys == (Key(b"old", 0.0, 3700.0), ending, Key(b"new", 100.0))
    assert StoredCaller("a", (old, ending)).rotated(b"new", 100.0, 0.0).keys == (Key(b"new", 100.0),)


def test_a_caller_has_the_teams_limits_of_the_policy_in_force() -> None:
    team = Team("research", Limits(9))
    assert FULL.caller({"research": team}).team == team
    assert FULL.caller({}).team == Team("research")
    caller = FULL.caller({})
    assert (caller.routes, caller.models, caller.class_) == (frozenset({"chat", "default"}), frozenset(), "batch")


def test_another_pepper_fits_only_a_file_without_keys(tmp_path: Path) -> None:
    state = StateFile.open(tmp_path)

    def fit(pepper: bytes) -> bool:
        return state.transact(lambda db: fits(db, pepper))

    assert fit(b"one") and fit(b"two") and fit(b"two")
    asyncio.run(FileCallers(state).put(FULL))
    assert fit(b"two") and not fit(b"one")


def test_a_store_that_was_emptied_is_seen_as_changed(redis_server: RedisServer) -> None:
    async def scenario() -> None:
        redis = RedisStore(replace(place(redis_server.url), patience=Patience(PATIENCE, PATIENCE, PATIENCE)))
        store = SharedCallers(redis)
        await store.put(FULL)
        before = await store.changes()
        redis_server.client.flushall()
        assert await store.changes() != before
        await redis.close()

    asyncio.run(scenario())


def test_a_file_that_was_never_written_has_no_callers(tmp_path: Path) -> None:
    (tmp_path / "blocked").touch()
    store = FileCallers(StateFile.open(tmp_path / "blocked" / "state"))
    assert asyncio.run(as_coroutine(store.changes())) == 0
    assert asyncio.run(as_coroutine(store.all())) == []
    (tmp_path / "begun").mkdir()
    with sqlite3.connect(tmp_path / "begun" / "gateway.db") as db:
        db.execute("PRAGMA journal_mode = WAL")
    begun = StateFile(tmp_path / "begun" / "gateway.db", "The disk is full.")
    assert asyncio.run(as_coroutine(FileCallers(begun).changes())) == 0
