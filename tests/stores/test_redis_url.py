"""The URL of a shared store."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stores.redis_url import Address, Place, StoreUrlError, place


def test_a_plain_url_has_a_host_a_port_a_login_and_a_database() -> None:
    found = place("redis://app:p%40ss%2F@cache.internal:6390/3")
    assert found == Place("single", (Address("cache.internal", 6390),), "", 3, "app", "p@ss/")


def test_a_url_without_port_and_database_has_the_usual_ones() -> None:
    assert place("redis://cache") == Place("single", (Address("cache", 6379),))


def test_tls_comes_with_its_files() -> None:
    found = place("rediss://cache/0?ca=/ca.pem&cert=/c.pem&key=/k.pem")
    assert (found.tls, found.ca, found.cert, found.key) == (True, "/ca.pem", "/c.pem", "/k.pem")
    assert place("rediss+sentinel://a/main").tls


def test_a_cluster_has_several_hosts() -> None:
    found = place("redis+cluster://:secret@a:7000,b,[::1]:7002/")
    assert found.kind == "cluster"
    assert found.addresses == (Address("a", 7000), Address("b", 6379), Address("::1", 7002))
    assert found.password == "secret"


def test_sentinels_name_their_master_and_a_database() -> None:
    found = place("redis+sentinel://s1,s2:26380/mymaster/2")
    assert found.addresses == (Address("s1", 26379), Address("s2", 26380))
    assert (found.kind, found.master, found.db) == ("sentinel", "mymaster", 2)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("memcached://a", "cannot use"),
        ("a", "cannot use"),
        ("redis://", "no host"),
        ("redis://a,b", "several hosts"),
        ("redis://a:0", "port"),
        ("redis://a:70000", "port"),
        ("redis://user:hidden/pass@a/0", "path"),
        ("redis://a/x", "path"),
        ("redis://a/1/2", "path"),
        ("redis://[a/0", "no URL"),
        ("redis://a?timeout=1", "option"),
        ("redis+cluster://a/1", "database"),
        ("redis+sentinel://a", "master"),
        ("redis+sentinel://a/m/x", "path"),
    ],
)
def test_a_url_that_leads_nowhere_is_told_in_a_sentence(url: str, says: str) -> None:
    with pytest.raises(StoreUrlError, match=says) as caught:
        place(url)
    assert "hidden" not in str(caught.value) and str(caught.value)[:1].islower()


def test_a_place_does_not_show_its_password() -> None:
    assert "secret" not in repr(place("redis://:secret@a/0"))


@given(st.text(max_size=60), st.sampled_from(["redis://", "rediss://", "redis+cluster://", "redis+sentinel://", ""]))
def test_any_text_is_a_place_or_an_error_of_ours(text: str, scheme: str) -> None:
    try:
        found = place(scheme + text)
    except StoreUrlError:
        return
    assert found.addresses and all(0 < one.port < 65536 for one in found.addresses)
