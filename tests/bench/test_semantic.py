"""The measurement of false hits, with vectors that are made up."""

from gateway.stores.cache_vectors import unit

from .semantic import kinds, rates


def test_pairs_of_a_kind_are_all_different_texts() -> None:
    for name, pairs in kinds().items():
        assert len(set(pairs)) == len(pairs) >= 8, name
        assert all(one != other for one, other in pairs), name


def test_vectors_that_are_all_alike_are_kept_apart_by_what_must_be_equal_alone() -> None:
    vector = unit([1.0, 2.0])
    assert vector is not None
    for name in ("number", "name", "negation"):
        pairs = kinds()[name]
        found = rates(pairs, {text: vector for pair in pairs for text in pair}, 0.95)
        assert found == (len(pairs), 1.0, 0.0), name
