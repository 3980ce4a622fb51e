"""YAML text becomes data with places, by the rules of YAML 1.2."""

import pytest

from gateway.config.document import Document, parse
from gateway.config.report import Report


def read(text: str) -> Document:
    report = Report("p.yaml")
    document = parse(text.encode(), report)
    assert document is not None
    assert report.problems() == ()
    return document


def codes(text: bytes) -> list[str]:
    report = Report("p.yaml")
    parse(text, report)
    return [problem.code for problem in report.problems()]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("1e3", 1000.0),
        ("0123", 123),
        ("1_000", "1_000"),
        ("0x1f", "0x1f"),
        ("-7", -7),
        (".5", 0.5),
        ("4.20", 4.2),
        ("true", True),
        ("False", False),
        ("~", None),
        ("null", None),
        (".nan", ".nan"),
        (".inf", ".inf"),
        ("1e999", "1e999"),
        ("2026-11-24", "2026-11-24"),
        ("8b", "8b"),
        ("'1'", "1"),
        ('"no"', "no"),
        ("9" * 5000, "9" * 5000),
    ],
)
def test_scalars_are_read_as_yaml_1_2_has_them(written: str, value: object) -> None:
    data = read(f"a: {written}\n").data
    assert data == {"a": value}
    assert isinstance(data, dict)
    assert type(data["a"]) is type(value)


def test_every_key_and_value_has_its_place() -> None:
    document = read("a:\n  - b: 1\n    c: [x, y]\n")
    assert document.keys[("a", 0, "c")].start == (3, 5)
    assert document.values[("a", 0, "c", 1)].start == (3, 12)
    assert document.values[("a", 0, "b")].start == (2, 8)


def test_columns_count_characters_and_skip_a_byte_order_mark() -> None:
    document = read("\ufeffé: {ü: 1}\n")
    assert document.keys[("é", "ü")].start == (1, 5)


def test_an_alias_stands_for_its_anchor() -> None:
    assert read("a: &x {b: 1}\nc: *x\n").data == {"a": {"b": 1}, "c": {"b": 1}}


def test_a_merged_mapping_gives_way_to_its_own_keys() -> None:
    data = read("a: &x {b: 1, c: 2}\nd: {<<: *x, c: 3}\ne: {<<: [{b: 4}, *x]}\n").data
    assert data == {"a": {"b": 1, "c": 2}, "d": {"b": 1, "c": 3}, "e": {"b": 4, "c": 2}}


def test_aliases_that_multiply_are_refused() -> None:
    lines = ["a0: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    assert codes("\n".join(lines).encode()) == ["LG004"]


def test_an_alias_within_its_own_anchor_is_refused() -> None:
    assert codes(b"a: &a [*a]") == ["LG004"]


def test_text_that_is_not_utf_8_has_its_place() -> None:
    report = Report("p.yaml")
    assert parse(b"a: 1\nb: \xff\n", report) is None
    assert [(problem.code, problem.line, problem.column) for problem in report.problems()] == [("LG002", 2, 4)]


def test_a_mountain_of_brackets_does_not_exhaust_the_stack() -> None:
    for text in (b"[" * 1_000_000, b"- " * 500_000, b"{a: " * 200_000, b"? " * 500_000, b"a:\n" + b" " * 1_000_000):
        assert codes(text) in (["LG001"], ["LG004"], [])
