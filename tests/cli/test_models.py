"""`llama-gateway models` shows the catalogue, as plain lines where there is no terminal."""

import json
from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.cli.models import rows, table
from tests.process import run

TODAY = date(2026, 11, 24)


def test_without_names_the_llama_models_that_chat_are_listed_a_place_a_line() -> None:
    done = run("models")
    assert done.returncode == 0, done.stderr
    head, *lines = done.stdout.splitlines()
    assert head.split() == ["model", "size", "context", "at", "id", "in", "$/M", "out", "$/M", "retires"]
    names = {line.split()[0] for line in lines}
    assert {"llama-3.3-70b-instruct", "llama-4-scout-17b-16e-instruct", "llama-2-7b-chat"} <= names
    assert not {"llama-guard-3-8b", "gemma-3-4b-it", "llama-prompt-guard-2-86m"} & names
    assert "\x1b" not in done.stdout


def test_all_shows_the_others_too() -> None:
    names = {line.split()[0] for line in run("models", "--all").stdout.splitlines()}
    assert {model.name for model in Catalogue.load().models} <= names


def test_any_spelling_names_a_model() -> None:
    done = run("models", "llama3.3:70b", "us.meta.llama3-3-70b-instruct-v1:0")
    assert {line.split()[0] for line in done.stdout.splitlines()[1:]} == {"llama-3.3-70b-instruct"}
    assert "meta-llama/Llama-3.3-70B-Instruct" in done.stdout


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    done = run("models", "llama-3.3-70b-instrct", "llama3.3", "zzz")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Nearest: llama-3.3-70b-instruct" in done.stderr
    assert "no model 'zzz' in the catalogue. All there are: `llama-gateway models --all`." in done.stderr


def test_licences_say_what_each_asks_and_the_eu_clause_only_where_it_holds() -> None:
    said = run("models", "llama-3.2-11b-vision-instruct", "llama-3.2-3b-instruct", "--licences").stdout
    vision, text = said.split("Models: llama-3.2-3b-instruct")
    assert "Llama 3.2 Community License (LicenseRef-llama3.2, version of 2024-09-25)" in vision
    assert '"Built with Llama"' in vision
    assert "European Union" in vision
    assert "European Union" not in text
    assert "no legal advice" in text


def test_a_model_without_a_known_licence_says_so() -> None:
    assert "Licence unknown" in run("models", "llama-3.3-8b-instruct", "--licences").stdout


def test_a_distilled_llama_shows_both_licences() -> None:
    said = run("models", "deepseek-r1-distill-llama-8b", "--licences").stdout
    assert "MIT License" in said
    assert "Llama 3.1 Community License" in said


def test_json_has_everything() -> None:
    (model,) = json.loads(run("models", "llama-4-scout-17b-16e-instruct", "--licences", "--format", "json").stdout)
    assert (model["name"], model["size"], model["active"], model["multimodal"]) == (
        "llama-4-scout-17b-16e-instruct",
        109,
        17,
        True,
    )
    assert [licence["eu_multimodal"] for licence in model["licence_facts"]] == [True]
    assert any("European Union" in sentence for sentence in model["licence_asks"]["llama4"])
    assert (model["licences"], len(model["languages"])) == (["llama4"], 12)
    bedrock = model["hosts"]["bedrock"][0]
    assert (bedrock["price"], bedrock["retires"]) == ({"input": 0.17, "output": 0.66}, "2027-03-30")
    assert all(isinstance(host["retired"], bool) for hosts in model["hosts"].values() for host in hosts)


def test_retirement_is_a_day_a_distance_or_a_past() -> None:
    catalogue = Catalogue.load()
    model = catalogue.get("llama-3.3-70b-instruct")
    assert model is not None
    at = {row.at: row.retires for row in rows(model, catalogue, TODAY, all=False)}
    assert at["bedrock"] == "2027-03-30 (in 126 days)"
    assert at["groq"] == "retired 2026-08-16"
    assert at["ollama"] == "-"


def test_a_place_that_takes_the_model_s_own_name_is_shown_only_among_all() -> None:
    catalogue = Catalogue.load()
    model = catalogue.get("llama-3.3-70b-instruct")
    assert model is not None
    assert "llama_cpp" not in {row.at for row in rows(model, catalogue, TODAY, all=False)}
    assert "llama_cpp" in {row.at for row in rows(model, catalogue, TODAY, all=True)}


@pytest.mark.parametrize("name", ["llama-3.3-70b-instruct", "llama-prompt-guard-2-86m"])
def test_the_table_of_a_terminal_has_every_place(name: str) -> None:
    catalogue = Catalogue.load()
    model = catalogue.get(name)
    assert model is not None
    found = list(rows(model, catalogue, TODAY, all=True))
    assert table(found).row_count == len(found) > 0
