"""Vectors of questions: who is nearest, and how much they hold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stores.cache_vectors import MOST, Question, Vectors, unit

NUMBERS = st.lists(st.floats(-100, 100, width=32), min_size=3, max_size=3).filter(lambda one: max(map(abs, one)) > 1e-3)


def vector(*numbers: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    found = unit(numbers)
    assert found is not None
    return found


def question(name: str, signature: bytes = b"s") -> Question:
    return Question(signature, name.encode())


def test_nearest_comes_first_and_too_far_not_at_all() -> None:
    of = Vectors()
    for name, numbers in {"far": (0, 1), "near": (1, 0.2), "nearest": (1, 0)}.items():
        of.add(b"p", vector(*numbers), question(name))
    assert [key for _, key in of.nearest(b"p", vector(1, 0), b"s", 0.5)] == [b"nearest", b"near"]


def test_question_of_another_signature_or_partition_is_not_found() -> None:
    of = Vectors()
    of.add(b"p", vector(1, 0), question("a"))
    assert of.nearest(b"p", vector(1, 0), b"other", 0.5) == []
    assert of.nearest(b"q", vector(1, 0), b"s", 0.5) == []


def test_same_question_is_held_once() -> None:
    of = Vectors()
    for _ in range(5):
        of.add(b"p", vector(1, 0), question("a"))
    assert len(of.nearest(b"p", vector(1, 0), b"s", 0.5)) == 1


def test_vectors_of_another_model_take_the_place_of_the_old_ones() -> None:
    of = Vectors()
    of.add(b"p", vector(1, 0), question("a"))
    assert of.nearest(b"p", vector(1, 0, 0), b"s", 0.0) == []
    of.add(b"p", vector(1, 0, 0), question("b"))
    assert [key for _, key in of.nearest(b"p", vector(1, 0, 0), b"s", 0.0)] == [b"b"]


def test_oldest_question_of_a_full_partition_makes_room() -> None:
    of = Vectors()
    for index in range(MOST + 2):
        of.add(b"p", vector(1, index), question(str(index)))
    assert len(of.partitions[b"p"].questions) == MOST
    keys = {one.key for one in of.partitions[b"p"].questions}
    assert {b"0", b"1"}.isdisjoint(keys)
    assert str(MOST + 1).encode() in keys


def test_least_recently_used_partitions_go_when_the_bytes_run_out() -> None:
    of = Vectors(10_000)
    for index in range(100):
        of.add(b"%d" % index, vector(1, index), question("a"))
        of.nearest(b"0", vector(1, 0), b"s", 0.5)
    assert b"0" in of.partitions
    assert b"1" not in of.partitions
    assert of.size == sum(one.size for one in of.partitions.values()) <= 10_000


@pytest.mark.parametrize("numbers", [[0.0, 0.0], [float("inf"), 1.0], [float("nan")]])
def test_vector_without_direction_is_none(numbers: list[float]) -> None:
    assert unit(numbers) is None


@given(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=10))
def test_nearest_is_the_one_with_the_smallest_angle(asked: list[float], others: list[list[float]]) -> None:
    of = Vectors()
    for index, numbers in enumerate(others):
        of.add(b"p", vector(*numbers), question(str(index)))
    found = of.nearest(b"p", vector(*asked), b"s", -1.1)
    alike = [float(vector(*asked) @ vector(*numbers)) for numbers in others]
    assert len(found) == len(others)
    assert found[0][0] == pytest.approx(max(alike), abs=1e-5)
