"""The table says in words what was found."""

from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.fleet.found import Discovery, Found, FoundModel
from gateway.fleet.table import Row, price, retires, retiring, rows
from gateway.types import Price

TODAY = date(2026, 11, 24)


def test_own_hardware_has_an_address_and_no_price() -> None:
    model = FoundModel("llama-3.1-8b-instruct", "llama3.1:8b", "q4_k_m")
    found = Found("ollama", "ollama", "http://127.0.0.1:11434", "self_hosted", None, (model,))
    assert rows(Discovery((found,)), TODAY) == [
        Row(
            "ollama",
            "http://127.0.0.1:11434",
            "llama-3.1-8b-instruct",
            "llama3.1:8b",
            "q4_k_m",
            "own hardware",
            "-",
        )
    ]


def test_a_hosted_account_has_a_variable_and_a_price() -> None:
    model = FoundModel("llama-3.3-70b-instruct", "x", price=Price(0.59, 0.79), retires=date(2027, 3, 30))
    found = Found("bedrock", "bedrock", None, "hosted", "AWS_BEARER_TOKEN_BEDROCK", (model,))
    (row,) = rows(Discovery((found,)), TODAY)
    assert (row.where, row.price, row.retires) == (
        "hosted (AWS_BEARER_TOKEN_BEDROCK)",
        "0.59/0.79 $ per M",
        "retires in 126 days",
    )


@pytest.mark.parametrize(
    ("day", "said"),
    [
        (None, "-"),
        (date(2026, 11, 23), "retired"),
        (TODAY, "retired"),
        (date(2026, 11, 25), "retires in 1 day"),
        (date(2026, 12, 4), "retires in 10 days"),
    ],
)
def test_a_model_is_gone_on_the_day_it_retires(day: date | None, said: str) -> None:
    assert retires(day, TODAY) == said


def test_a_price_that_nobody_knows_is_unknown() -> None:
    assert price(None) == "unknown"


def found(*days: date | None) -> Discovery:
    """An account with one model for each day of retirement."""
    models = tuple(FoundModel(f"acme-{place}", f"x{place}", retires=day) for place, day in enumerate(days))
    return Discovery((Found("groq", "groq", None, "hosted", "GROQ_API_KEY", models),))


def test_what_is_far_off_stands_in_the_table_only() -> None:
    assert retiring(found(None, date(2027, 1, 24)), TODAY, Catalogue.load()) == ""


def test_one_line_tells_the_nearest_retirement_and_counts_the_others() -> None:
    line = retiring(found(date(2027, 1, 10), date(2026, 11, 29), None), TODAY, Catalogue.load())
    assert line == (
        "warning: The provider of groq/acme-1 retires `x1` in 5 days: from 2026-11-29 on every request to it fails. "
        "Replace it now. Retired within 60 days, besides: 1."
    )
