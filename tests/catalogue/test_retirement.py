"""How near the end of a model is, and what to do by then."""

from datetime import date, timedelta

import pytest

from gateway.catalogue import Catalogue
from gateway.catalogue.retirement import Stage, instead, notice, replacement, stage

TODAY = date(2026, 11, 24)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


@pytest.mark.parametrize(
    ("days", "now"),
    [
        (61, "later"),
        (60, "planned"),
        (31, "planned"),
        (30, "near"),
        (8, "near"),
        (7, "imminent"),
        (1, "imminent"),
        (0, "gone"),
        (-9, "gone"),
    ],
)
def test_the_stages_begin_60_30_and_7_days_ahead_and_on_the_day(days: int, now: Stage) -> None:
    assert stage(TODAY + timedelta(days=days), TODAY) == now


def test_nothing_is_said_of_what_has_no_end_or_a_far_one(catalogue: Catalogue) -> None:
    for day in (None, TODAY + timedelta(days=61)):
        assert notice("llama-3.3-70b-instruct", "groq", "x", day, TODAY, catalogue) is None


def test_the_words_grow_sharper(catalogue: Catalogue) -> None:
    said = [notice("acme", "groq", "x", TODAY + timedelta(days=days), TODAY, catalogue) for days in (45, 20, 5, 1, 0)]
    assert [one.what for one in said if one] == [
        "retires `x` on 2027-01-08, in 45 days",
        "retires `x` on 2026-12-14, in 20 days, and requests to it fail from then on",
        "retires `x` in 5 days: from 2026-11-29 on every request to it fails",
        "retires `x` in 1 day: from 2026-11-25 on every request to it fails",
        "retired `x` on 2026-11-24: requests to it fail",
    ]
    assert [one.advice for one in said if one] == [
        "Plan its replacement.",
        "Choose its replacement and try it.",
        "Replace it now.",
        "Replace it now.",
        "Replace it now.",
    ]


def test_a_host_s_own_word_goes_before_what_others_name(catalogue: Catalogue) -> None:
    small, large = catalogue.get("llama-3.1-8b-instruct"), catalogue.get("llama-3.3-70b-instruct")
    assert small is not None and large is not None
    assert replacement(small, "groq", "llama-3.1-8b-instant") == "gpt-oss-20b"
    assert replacement(small, "vllm", "meta-llama/Llama-3.1-8B-Instruct") is None  # two hosts name two models
    assert replacement(large, "bedrock", "meta.llama3-3-70b-instruct-v1:0") == "gpt-oss-120b"


def test_another_id_of_the_same_host_is_the_first_thing_to_try(catalogue: Catalogue) -> None:
    said = instead("llama-3-8b-instruct", "together", "gone", TODAY, TODAY, catalogue)
    assert said == ", for example with `id: meta-llama/Meta-Llama-3-8B-Instruct-Lite`"


def test_a_model_that_its_hosts_replace_is_told_with_the_line_to_write(catalogue: Catalogue) -> None:
    said = instead("llama-3.3-70b-instruct", "groq", "llama-3.3-70b-versatile", TODAY, TODAY, catalogue)
    assert "is also at bedrock, fireworks" in said
    assert said.endswith("write `models: {llama-3.3-70b-instruct: {successor: gpt-oss-120b}}`")
