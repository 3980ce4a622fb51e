"""What a server lists becomes models of ours: one for each name, with what is known, and only those that chat."""

from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.fleet.found import FoundModel
from gateway.fleet.naming import MOST_MODELS, Listed, Naming, Picked, safe, usable_id

TODAY = date(2026, 11, 24)


def pick(catalogue: Catalogue, kind: str, *rows: Listed) -> Picked:
    return Naming(catalogue, kind, TODAY).pick(kind, rows)


def only(catalogue: Catalogue, kind: str, row: Listed) -> FoundModel:
    (model,) = pick(catalogue, kind, row).models
    return model


def test_a_served_alias_is_known_by_what_it_stands_for(catalogue: Catalogue) -> None:
    model = only(catalogue, "vllm", Listed("prod", ("meta-llama/Llama-3.3-70B-Instruct",)))
    assert (model.canonical, model.id, model.size) == ("llama-3.3-70b-instruct", "prod", 70)


def test_the_precision_is_the_servers_else_the_ids_else_the_catalogues(catalogue: Catalogue) -> None:
    assert only(catalogue, "ollama", Listed("llama3.1:8b", precision="Q8_0")).precision == "q8_0"
    assert only(catalogue, "ollama", Listed("llama3.1:8b-instruct-q5_K_M", precision="unknown")).precision == "q5_k_m"
    assert only(catalogue, "ollama", Listed("llama3.1:8b")).precision == "q4_k_m"
    assert only(catalogue, "vllm", Listed("meta-llama/Llama-3.1-8B-Instruct")).precision is None


def test_of_several_ids_of_a_model_the_catalogues_own_is_used(catalogue: Catalogue) -> None:
    rows = Listed("llama3.1:8b-instruct-q8_0"), Listed("llama3.1:8b"), Listed("llama3.1:latest")
    picked = pick(catalogue, "ollama", *rows)
    assert [model.id for model in picked.models] == ["llama3.1:8b"]
    assert picked.notes == (
        "ollama serves llama-3.1-8b-instruct twice: `llama3.1:8b` is used, `llama3.1:8b-instruct-q8_0` is not.",
    )


def test_aliases_of_one_model_need_no_note(catalogue: Catalogue) -> None:
    root = ("meta-llama/Llama-3.1-8B-Instruct",)
    picked = pick(catalogue, "vllm", Listed("a", root), Listed("b", root))
    assert ([model.id for model in picked.models], picked.notes) == (["a"], ())


def test_guards_and_embeddings_do_not_chat(catalogue: Catalogue) -> None:
    rows = Listed("llama-guard3:1b"), Listed("nomic-embed-text:latest"), Listed("mxbai-rerank"), Listed("whisper-1")
    assert pick(catalogue, "ollama", *rows).models == ()


def test_an_unknown_model_keeps_its_name_and_its_servers_facts(catalogue: Catalogue) -> None:
    row = Listed("Qwen/Qwen3-8B", context=40960, size=8.2, capabilities=("tools",))
    assert only(catalogue, "vllm", row) == FoundModel(
        "qwen/qwen3-8b", "Qwen/Qwen3-8B", context=40960, size=8.2, known=False, capabilities=("tools",)
    )


def test_an_untuned_model_does_not_stand_for_its_tuned_sibling(catalogue: Catalogue) -> None:
    assert not only(catalogue, "vllm", Listed("meta-llama/Llama-3.1-8B")).known


def test_a_hosted_id_has_price_and_retirement_from_the_catalogue(catalogue: Catalogue) -> None:
    model = only(catalogue, "together", Listed("meta-llama/Llama-3.3-70B-Instruct-Turbo"))
    assert model.price is not None
    assert model.retires == date(2026, 10, 22)


def test_a_context_of_nonsense_is_none(catalogue: Catalogue) -> None:
    assert only(catalogue, "vllm", Listed("mine", context=-1)).context is None


def test_a_flood_of_models_is_cut_and_noted(catalogue: Catalogue) -> None:
    flood = (Listed(f"model-{number}") for number in range(MOST_MODELS + 5))
    picked = pick(catalogue, "vllm", *flood, Listed("meta-llama/Llama-3.1-8B-Instruct"))
    assert len(picked.models) == MOST_MODELS
    assert picked.models[0].canonical == "llama-3.1-8b-instruct"  # what is known comes first
    assert picked.notes == ("Models of vllm left out: 6; there are too many, or their ids are of no use.",)


@pytest.mark.parametrize(
    "id", ["", "x" * 201, "a\nb", "\x1b[31m", "${KEY}", "$x", "file:/etc/passwd", "env.A", "os.environ/A", "///"]
)
def test_an_id_that_would_mean_something_else_in_a_policy_is_of_no_use(id: str) -> None:
    assert not usable_id(id)


@pytest.mark.parametrize(
    ("id", "name"),
    [("Qwen3:8B", "qwen3:8b"), ("C:\\models\\x.gguf", "c:-models-x.gguf"), ("/m/ä", "m"), ("@cf/x", "@cf/x")],
)
def test_a_name_is_made_safe(id: str, name: str) -> None:
    assert safe(id) == name
