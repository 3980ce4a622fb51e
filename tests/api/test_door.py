"""The door: keys of the policy and of the store, expired ones, and addresses that try too often."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.door import ADDRESSES, FAILURES, STOP, WRONG_KEY, Door, budgeted
from gateway.api.intake import LOOPBACK, caller_of
from gateway.errors import TooManyFailures, Unaccounted, Unauthorized
from gateway.routing.policy import key_digest
from gateway.types import Caller, Limits, Team
from tests.routing.samples import policy
from tests.stores.test_callers import INJECTIONS
from tests.stores.test_keyring import Shelf, ring, stored

NOW = 1000.0
HERE = {"client": ("127.0.0.1", 5)}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def door(*callers: object, full: bool = False) -> Door:
    keys = ring(Shelf(*callers)) if callers else None  # type: ignore[arg-type]
    return Door(keys, lambda: full, lambda: NOW, lambda: NOW)


def test_keys_of_the_policy_and_of_the_store_are_equals() -> None:
    rules = policy(callers={key_digest("sk-policy"): Caller("a")})
    opened = door(stored("b", "sk-store"))
    assert caller_of(HERE, bearer("sk-policy"), rules, opened).name == "a"
    assert caller_of(HERE, {"x-api-key": "sk-store"}, rules, opened).name == "b"


def test_this_machine_needs_a_key_once_the_store_has_one() -> None:
    assert caller_of(HERE, {}, policy(), door()) is LOOPBACK
    with pytest.raises(Unauthorized):
        caller_of(HERE, {}, policy(), door(stored("b", "sk-store")))


@pytest.mark.parametrize(("expires", "let_in"), [(None, True), (NOW + 0.1, True), (NOW, False), (0.0, False)])
def test_an_expired_key_is_as_unknown_as_any(expires: float | None, let_in: bool) -> None:
    rules = policy(callers={key_digest("sk-policy"): Caller("a", expires=expires)})
    for opened in (door(), door(stored("b", "sk-store", expires=expires))):
        key = "sk-policy" if opened.keyring.table == {} and not opened.keyring.needed else "sk-store"
        if let_in:
            assert caller_of(HERE, bearer(key), rules, opened).name in ("a", "b")
            continue
        with pytest.raises(Unauthorized) as caught:
            caller_of(HERE, bearer(key), rules, opened)
        assert caught.value.message == WRONG_KEY


def wrong(opened: Door, peer: str) -> int:
    """The status for a wrong key from an address."""
    with pytest.raises((Unauthorized, TooManyFailures)) as caught:
        caller_of({"client": (peer, 5)}, bearer("wrong"), policy(), opened)
    return caught.value.status


def test_an_address_that_tries_too_often_is_asked_to_stop_and_no_other_one() -> None:
    opened, now = door(stored("b", "sk-store")), [NOW]
    opened.clock = lambda: now[0]
    assert [wrong(opened, "10.0.0.1") for _ in range(FAILURES + 2)] == [401] * FAILURES + [429] * 2
    assert wrong(opened, "10.0.0.2") == 401
    assert caller_of({"client": ("10.0.0.1", 5)}, bearer("sk-store"), policy(), opened).name == "b"
    now[0] += 61
    assert wrong(opened, "10.0.0.1") == 401


def test_a_network_of_addresses_counts_as_one() -> None:
    opened = door(stored("b", "sk-store"))
    statuses = [wrong(opened, f"2001:db8:1:2::{number:x}") for number in range(FAILURES + 1)]
    assert statuses[-1] == 429
    assert wrong(opened, "2001:db8:1:3::1") == 401


def test_what_is_told_to_stop_says_for_how_long() -> None:
    opened = door(stored("b", "sk-store"))
    error = next(error for _ in range(FAILURES + 1) if (error := opened.refusal(HERE)).status == 429)
    assert (error.message, error.retry_after, error.code) == (STOP, 60.0, "too_many_failures")


def test_any_number_of_addresses_takes_bounded_memory() -> None:
    opened = door(stored("b", "sk-store"))
    for number in range(ADDRESSES + 100):
        opened.refusal({"client": (f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 5)})
    assert len(opened.failures) <= ADDRESSES


@pytest.mark.parametrize("text", [*INJECTIONS, "", " ", "\x00", "Bearer", "ü" * 100, "a" * 10_240])
def test_any_text_as_a_key_is_the_same_401(text: str) -> None:
    opened = door(stored("b", "sk-store"))
    for headers in (bearer(text), {"x-api-key": text}, {"authorization": text}):
        with pytest.raises(Unauthorized) as caught:
            caller_of({"client": (text, 5)}, headers, policy(), Door(opened.keyring, lambda: False, lambda: NOW))
        assert (caught.value.message, caught.value.details) == (WRONG_KEY, None)


@given(st.text(), st.text())
def test_no_text_is_a_key_by_chance(key: str, other: str) -> None:
    opened = door(stored("b", f"key-{other}"))
    try:
        found = caller_of(HERE, {"x-api-key": key}, policy(), opened)
    except Unauthorized:
        return
    assert found.name == "b" and key.strip() == f"key-{other}"


def test_with_a_full_ledger_only_those_with_a_budget_are_refused() -> None:
    team = Team("t", Limits(usd_per_month=5.0))
    cases = [Caller("a"), Caller("b", limits=Limits(rpm=1)), Caller("c", team=Team("u", Limits(tpm=1)))]
    paying = [Caller("d", limits=Limits(usd_per_day=1.0)), Caller("e", team=team)]
    assert [budgeted(one) for one in (*cases, *paying)] == [False] * 3 + [True] * 2
    for full in (False, True):
        for one in (*cases, *paying):
            rules = policy(callers={key_digest("sk"): one})
            if full and one in paying:
                with pytest.raises(Unaccounted) as caught:
                    caller_of(HERE, bearer("sk"), rules, door(full=full))
                assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
            else:
                assert caller_of(HERE, bearer("sk"), rules, door(full=full)) is one
