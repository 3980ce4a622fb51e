"""Whose key it is, as the store said last."""

import asyncio
from dataclasses import dataclass, field

import pytest

from gateway.errors import StoreAway
from gateway.stores.callers import Key, StoredCaller, digest_of
from gateway.stores.keyring import Keyring, NoCallers, Teams, no_keyring
from gateway.stores.state import StateAway
from gateway.types import Caller, Limits, Team

PEPPER = b"pepper"
NOW = 1000.0


class Shelf(NoCallers):
    """A store in memory that may be away."""

    def __init__(self, *callers: StoredCaller) -> None:
        self.callers = list(callers)
        self.count = 1
        self.read = 0
        self.error: Exception | None = None

    async def changes(self) -> int:
        if self.error is not None:
            raise self.error
        return self.count

    async def all(self) -> list[StoredCaller]:
        self.read += 1
        return list(self.callers)

    def change(self, *callers: StoredCaller) -> None:
        self.callers, self.count = list(callers), self.count + 1


@dataclass
class Policy:
    """Callers and teams of a policy."""

    callers: dict[bytes, Caller] = field(default_factory=dict)
    teams: dict[str, Team] = field(default_factory=dict)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def stored(name: str, *keys: str, expires: float | None = None, **facts: object) -> StoredCaller:
    made = tuple(Key(digest_of(PEPPER, key), 0.0, expires) for key in keys)
    return StoredCaller(name, made, **facts)  # type: ignore[arg-type]  # facts of a caller


def ring(shelf: Shelf, lease: float | None = None, clock: Clock | None = None) -> Keyring:
    made = Keyring(shelf, PEPPER, lease, clock or Clock())
    asyncio.run(made.tried())
    return made


def name(found: Caller | None) -> str | None:
    return None if found is None else found.name


def test_a_caller_is_found_by_its_key_and_by_no_other() -> None:
    keys = ring(Shelf(stored("a", "key-a", "key-a2"), stored("b", "key-b")))
    policy = Policy()
    assert [name(keys.find(key, policy, NOW)) for key in ("key-a", "key-a2", "key-b")] == ["a", "a", "b"]
    for wrong in ("", "key", "key-A", "key-a ", "ключ", "\udcff", "x" * 10_000, digest_of(PEPPER, "key-a").hex()):
        assert keys.find(wrong, policy, NOW) is None


def test_a_key_ends_when_it_expires() -> None:
    keys = ring(Shelf(stored("a", "key-a", expires=NOW)))
    assert name(keys.find("key-a", Policy(), NOW - 0.001)) == "a"
    assert keys.find("key-a", Policy(), NOW) is None


def test_a_change_of_the_store_is_followed_and_nothing_is_read_twice() -> None:
    shelf = Shelf(stored("a", "key-a"))
    keys, policy = ring(shelf), Policy()
    assert not asyncio.run(keys.refresh())
    assert shelf.read == 1
    shelf.change(stored("b", "key-b"))
    assert asyncio.run(keys.refresh())
    assert keys.find("key-a", policy, NOW) is None
    assert name(keys.find("key-b", policy, NOW)) == "b"


def test_of_a_caller_that_the_policy_has_too_the_policy_says_what_it_may_do() -> None:
    keys = ring(Shelf(stored("a", "key-a", limits=Limits(rpm=999))))
    written = Caller("a", routes=frozenset({"chat"}), limits=Limits(rpm=1))
    assert keys.find("key-a", Policy({b"x": written}), NOW) is written
    found = keys.find("key-a", Policy(), NOW)
    assert found is not None and found.limits.rpm == 999


def test_a_team_has_the_limits_of_the_policy_that_the_request_sees() -> None:
    keys = ring(Shelf(stored("a", "key-a", team="t")))
    for rpm in (1, 2):
        found = keys.find("key-a", Policy(teams={"t": Team("t", Limits(rpm=rpm))}), NOW)
        assert found is not None and found.team == Team("t", Limits(rpm=rpm))


def test_a_key_is_needed_once_there_is_one_and_also_when_the_last_has_gone() -> None:
    shelf = Shelf()
    keys = ring(shelf)
    assert not keys.needed
    shelf.change(stored("a", "key-a"))
    asyncio.run(keys.tried())
    assert keys.needed
    shelf.change()
    asyncio.run(keys.tried())
    assert keys.needed
    assert keys.find("key-a", Policy(), NOW) is None
    assert not ring(shelf).needed  # started anew
    assert not no_keyring().needed


def test_where_it_is_not_known_who_has_a_key_everybody_needs_one() -> None:
    shelf = Shelf(stored("a", "key-a"))
    shelf.error = StateAway("The disk does not answer.")
    keys = ring(shelf)
    assert keys.needed and keys.find("key-a", Policy(), NOW) is None
    shelf.error = None
    asyncio.run(keys.tried())
    assert name(keys.find("key-a", Policy(), NOW)) == "a"
    nobody = Shelf()
    nobody.error = StateAway("The disk does not answer.")
    keys = ring(nobody)
    nobody.error = None
    asyncio.run(keys.tried())
    assert not keys.needed


def test_what_a_store_said_is_believed_for_good_or_for_its_lease() -> None:
    for lease in (None, 300.0):
        shelf, clock = Shelf(stored("a", "key-a")), Clock()
        keys = ring(shelf, lease, clock)
        shelf.error = StoreAway("gone")
        clock.now = 300.0
        asyncio.run(keys.tried())
        assert name(keys.find("key-a", Policy(), NOW)) == "a"
        clock.now = 300.1
        if lease is None:
            assert name(keys.find("key-a", Policy(), NOW)) == "a"
            continue
        for key in ("key-a", "wrong"):  # never a 401 for a fault of the store
            with pytest.raises(StoreAway):
                keys.find(key, Policy(), NOW)
        shelf.error = None
        asyncio.run(keys.tried())
        assert name(keys.find("key-a", Policy(), NOW)) == "a"
        assert keys.find("wrong", Policy(), NOW) is None


def test_following_goes_on_whatever_the_store_does() -> None:
    shelf = Shelf(stored("a", "key-a"))
    keys = Keyring(shelf, PEPPER)
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        shelf.error = StateAway("gone") if len(slept) % 2 else None
        if len(slept) == 5:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(keys.follow(sleep))
    assert len(slept) == 5 and keys.stored == tuple(shelf.callers)


def test_teams_are_those_of_the_policy_and_of_the_store() -> None:
    policy = Policy({b"x": Caller("a", team=Team("written")), b"y": Caller("c")})
    callers = (stored("a", team="stored"), stored("b", team="other"))
    teams = Teams(lambda: policy, lambda: callers)
    assert [teams.of(name) for name in ("a", "b", "c", "nobody")] == ["written", "other", "", ""]
