"""The look-ups of the catalogue, against the snapshots it was compiled from."""

from datetime import date
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gateway.catalogue
from gateway.catalogue import Catalogue, Host, Model
from gateway.types import Json

SNAPSHOTS = Path(gateway.catalogue.__file__).parent / "snapshots"
TODAY = date(2026, 11, 24)
KINDS = {
    *("vllm", "llama_cpp", "ollama", "sglang", "tgi", "lmstudio", "ogx", "openai_compatible"),
    *("together", "groq", "fireworks", "bedrock", "replicate", "huggingface"),
}
CAPABILITIES = {"tools", "parallel_tools", "json_schema", "vision", "logprobs"}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


def snapshot(sort: str) -> list[Json]:
    rows: list[Json] = orjson.loads(max(SNAPSHOTS.glob(f"{sort}-*.json")).read_bytes())["rows"]
    return rows


def named(catalogue: Catalogue, name: str) -> Model:
    model = catalogue.get(name)
    assert model is not None, name
    return model


def of(catalogue: Catalogue, spelling: str) -> str | None:
    model = catalogue.resolve(spelling)
    return model.name if model else None


def test_every_canonical_name_is_lower_case_and_resolves_to_itself(catalogue: Catalogue) -> None:
    for model in catalogue.models:
        assert model.name == model.name.lower()
        assert catalogue.resolve(model.name) is catalogue.get(model.name) is model


@pytest.mark.parametrize("row", [row for row in snapshot("hosts") if not row.get("base")], ids=lambda row: row["id"])
def test_every_id_in_the_snapshot_resolves_to_its_model_in_any_case(catalogue: Catalogue, row: Json) -> None:
    assert of(catalogue, row["id"]) == row["model"]
    assert of(catalogue, row["id"].upper()) == row["model"]


def test_every_repository_and_ollama_tag_resolves_to_its_model(catalogue: Catalogue) -> None:
    for row in snapshot("models"):
        tags = row.get("ollama", {"tag": row["name"], "same": []})
        for spelling in [*row["hugging_face"], *row["hugging_face_other"], tags["tag"], *tags["same"]]:
            assert of(catalogue, spelling) == row["name"], spelling


def test_every_host_of_the_catalogue_resolves_to_its_model_and_every_kind_is_one_we_have(catalogue: Catalogue) -> None:
    for model in catalogue.models:
        assert set(model.hosts) <= KINDS
        assert all(of(catalogue, host.id) == model.name for hosts in model.hosts.values() for host in hosts)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("llama3.1:8b", "llama-3.1-8b-instruct"),
        ("llama3.1:8b-instruct-q4_K_M", "llama-3.1-8b-instruct"),
        ("llama3.1:latest", "llama-3.1-8b-instruct"),
        ("registry/ns/llama3.3", "llama-3.3-70b-instruct"),
        ("registry.ollama.ai/library/llama3.2-vision:90b-instruct-q8_0", "llama-3.2-90b-vision-instruct"),
        ("META-LLAMA/llama-3.3-70b-INSTRUCT", "llama-3.3-70b-instruct"),
        ("meta-llama/Meta-Llama-3.1-405B-Instruct-FP8", "llama-3.1-405b-instruct"),
        ("RedHatAI/Llama-4-Scout-17B-16E-Instruct-quantized.w4a16", "llama-4-scout-17b-16e-instruct"),
        ("/models/Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "llama-3.1-8b-instruct"),
        ("Llama-3.3-70B-Instruct.Q6_K-00001-of-00002.gguf", "llama-3.3-70b-instruct"),
        ("hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q8_0", "llama-3.2-3b-instruct"),
        ("meta.llama3-3-70b-instruct-v1:0", "llama-3.3-70b-instruct"),
        ("eu.meta.llama3-3-70b-instruct-v1:0", "llama-3.3-70b-instruct"),
        ("us.meta.llama4-maverick-17b-instruct", "llama-4-maverick-17b-128e-instruct"),
        ("arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-1-8b-instruct-v1:0", "llama-3.1-8b-instruct"),
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo-Free", "llama-3.3-70b-instruct"),
        ("llama-3.3-70b-versatile", "llama-3.3-70b-instruct"),
        ("accounts/fireworks/models/llama-v3p2-11b-vision-instruct", "llama-3.2-11b-vision-instruct"),
        ("meta/meta-llama-3-70b-instruct:" + "0123456789abcdef" * 4, "llama-3-70b-instruct"),
        ("meta-llama/Meta-Llama-Guard-2-8B", "llama-guard-2-8b"),
        (" llama-3.1-8b ", "llama-3.1-8b-instruct"),
    ],
)
def test_a_spelling_resolves_to_the_model_it_means(catalogue: Catalogue, spelling: str, name: str) -> None:
    assert of(catalogue, spelling) == name


@pytest.mark.parametrize(
    "spelling",
    [
        "meta-llama/Llama-3.1-8B",
        "unsloth/Llama-3.2-1B",
        "llama3.1:8b-text-q4_0",
        "accounts/fireworks/models/llama-v3-8b",
        "codellama:7b-python",
        "Meta-Llama-3.1-8B.Q4_K_M.gguf",
    ],
)
def test_a_base_model_does_not_answer_in_its_tuned_siblings_place(catalogue: Catalogue, spelling: str) -> None:
    assert catalogue.resolve(spelling) is None


@pytest.mark.parametrize("spelling", ["", "/", ":", "auto", "gpt-4o-mini", "llama-70b", "acme/llama-3.1-8b-support"])
def test_what_is_not_a_known_model_resolves_to_none(catalogue: Catalogue, spelling: str) -> None:
    assert catalogue.resolve(spelling) is None


@given(text=st.text() | st.from_regex(r"[a-z./:-]*llama-?v?[0-9]([p.-][0-9])?[-:@/][0-9a-zA-Z_.:-]*"))
def test_no_text_makes_a_look_up_fail(catalogue: Catalogue, text: str) -> None:
    model = catalogue.resolve(text)
    assert model is None or model in catalogue.models
    catalogue.precision_of(text)
    assert set(catalogue.nearest(text, ["llama-3.1-8b-instruct", text])) <= {"llama-3.1-8b-instruct", text}


@pytest.mark.parametrize(
    ("spelling", "precision"),
    [
        ("llama3.1:8b-instruct-q4_K_M", "q4_k_m"),
        ("llama3.2:1b", "q8_0"),
        ("llama3.3", "q4_k_m"),
        ("registry.ollama.ai/library/llama3.3:latest", "q4_k_m"),
        ("someone/llama3.3", None),
        ("Llama-3.3-70B-Instruct-IQ4_XS.gguf", "iq4_xs"),
        ("Meta-Llama-3.1-8B-Instruct.f16.gguf", "fp16"),
        ("meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", "fp8"),
        ("meta-llama/Llama-3.3-70B-Instruct-Turbo", "fp8"),
        ("meta-llama/Meta-Llama-3-8B-Instruct-Lite", "int4"),
        ("mlx-community/Llama-3.2-3B-Instruct-4bit", "int4"),
        ("meta-llama/Llama-3.3-70B-Instruct", None),
        ("llama2:7b", None),
    ],
)
def test_precision_comes_from_the_spelling_or_the_provider(
    catalogue: Catalogue, spelling: str, precision: str | None
) -> None:
    assert catalogue.precision_of(spelling) == precision


def test_nearest_puts_the_same_model_first_and_nothing_far_off(catalogue: Catalogue) -> None:
    names = [model.name for model in catalogue.models]
    assert catalogue.nearest("llama3.3-70b", names)[0] == "llama-3.3-70b-instruct"
    assert catalogue.nearest("llama-3.3-70b-instrct", names)[0] == "llama-3.3-70b-instruct"
    assert catalogue.nearest("scout", names) == ["llama-4-scout-17b-16e-instruct"]
    assert catalogue.nearest("gpt-4o-mini", names) == []
    assert len(catalogue.nearest("llama", names, limit=2)) == 2


def test_nearest_suggests_names_that_are_no_models(catalogue: Catalogue) -> None:
    assert catalogue.nearest("lama-70b", ["auto", "llama-70b"]) == ["llama-70b"]


def test_a_retired_host_is_not_preferred_while_another_serves(catalogue: Catalogue) -> None:
    model = named(catalogue, "llama-3-8b-instruct")
    assert any(host.retires and host.retires <= TODAY for host in model.hosts["together"])
    assert catalogue.host(model, "together", TODAY) == Host(
        id="meta-llama/Meta-Llama-3-8B-Instruct-Lite",
        price=None,
        context=8192,
        max_output=None,
        precision="int4",
        retires=None,
    )


def test_no_retired_host_is_given_where_one_still_serves(catalogue: Catalogue) -> None:
    for model in catalogue.models:
        for kind, hosts in model.hosts.items():
            given = catalogue.host(model, kind, TODAY)
            serving = [host for host in hosts if host.retires is None or host.retires > TODAY]
            assert given in (serving or hosts)


def test_a_host_retires_on_its_day_and_is_still_told_when_no_other_is_left(catalogue: Catalogue) -> None:
    model = named(catalogue, "llama-3.3-70b-instruct")
    gone = catalogue.host(model, "groq", date(2026, 8, 16))
    assert gone is not None
    assert gone.retires == date(2026, 8, 16)
    assert catalogue.host(model, "replicate", TODAY) is None


def test_bedrock_hosts_come_with_price_limits_and_retirement(catalogue: Catalogue) -> None:
    host = catalogue.host(named(catalogue, "llama-3.3-70b-instruct"), "bedrock", TODAY)
    assert host is not None
    assert host.price is not None
    assert (host.id, host.price.input, host.price.output) == ("us.meta.llama3-3-70b-instruct-v1:0", 0.72, 0.72)
    assert (host.context, host.max_output, host.retires) == (128000, 4096, date(2027, 3, 30))


def test_prices_are_dollars_per_million_tokens_within_bounds(catalogue: Catalogue) -> None:
    hosts = [host for model in catalogue.models for kind in model.hosts.values() for host in kind]
    prices = [host.price for host in hosts if host.price]
    assert len(prices) > 50
    assert all(0.001 <= price.input <= 100 and 0.001 <= price.output <= 100 for price in prices)


def test_own_servers_have_neither_price_nor_retirement(catalogue: Catalogue) -> None:
    for model in catalogue.models:
        for kind in ("vllm", "sglang", "tgi", "ollama", "llama_cpp", "openai_compatible"):
            assert all(host.price is None and host.retires is None for host in model.hosts.get(kind, ()))


def test_facts_of_a_mixture_of_experts(catalogue: Catalogue) -> None:
    model = named(catalogue, "llama-4-maverick-17b-128e-instruct")
    assert (model.family, model.generation, model.size, model.active) == ("llama", "4", 400, 17)
    assert (model.context, model.licences) == (1048576, ("llama4",))
    assert model.capabilities == CAPABILITIES
    assert model.hosts["vllm"][0].id == "meta-llama/Llama-4-Maverick-17B-128E-Instruct"
    assert model.hosts["vllm"][1].precision == "fp8"


def test_a_dense_model_uses_all_its_parameters(catalogue: Catalogue) -> None:
    model = named(catalogue, "llama-3.1-8b-instruct")
    assert model.size == model.active == 8
    assert model.capabilities == {"tools", "json_schema", "logprobs"}


def test_guards_and_classifiers_are_not_offered_for_tools(catalogue: Catalogue) -> None:
    assert named(catalogue, "llama-guard-3-8b").capabilities == {"logprobs"}
    assert named(catalogue, "llama-prompt-guard-2-86m").capabilities == frozenset()
    assert "vllm" not in named(catalogue, "llama-prompt-guard-2-86m").hosts


def test_hosts_cannot_be_changed(catalogue: Catalogue) -> None:
    with pytest.raises(TypeError):
        named(catalogue, "llama-3.1-8b-instruct").hosts["vllm"] = ()  # type: ignore[index]  # that is the test
