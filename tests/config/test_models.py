"""Facts on the models of a policy: the file goes before the catalogue, and a fine-tune has what its base has."""

from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.catalogue.facts import ModelFacts
from gateway.config.loading import Loaded, read
from gateway.config.models import item
from gateway.routing.policy import Policy
from gateway.types import Deployment

TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
SCOUT = "llama-4-scout-17b-16e-instruct"
VISION = "llama-3.2-11b-vision-instruct"

TEXT = """\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    models: {llama-3.1-8b-instruct: {}, llama-4-scout-17b-16e-instruct: {}, acme-8b: {id: acme/a}, acme-see: {id: b}}
  other:
    provider: ollama
    url: http://10.0.0.6:11434
    models: {acme-8b: {id: "acme:8b", retires: 2027-05-01}, deepseek-r1-distill-llama-8b: {id: "deepseek-r1:8b"}}
models:
  acme-8b: {base: llama-3.1-8b-instruct, size: 8.5b, successor: llama-3.3-70b-instruct, retires: 2027-06-01}
  acme-see: {base: llama-3.2-11b-vision-instruct, languages: [de]}
"""
ROUTE = "routes:\n  - name: all\n    models: [acme-8b, acme-see, llama-4-scout-17b-16e-instruct]\n"


def loaded(text: str) -> Loaded:
    return read(text.encode(), "p.yaml", {}, CATALOGUE, TODAY)


def policy(text: str = TEXT) -> Policy:
    found = loaded(text)
    assert found.policy is not None, found.problems
    return found.policy


def facts(name: str, text: str = TEXT) -> ModelFacts:
    return policy(text).models[name]


def deployment(name: str, text: str = TEXT) -> Deployment:
    return next(one for one in policy(text).deployments if one.name == name)


def test_a_model_of_the_catalogue_has_the_catalogue_s_facts() -> None:
    found = facts(SCOUT)
    assert (found.family, found.generation, found.size, found.active) == ("llama", "4", 109, 17)
    assert len(found.languages) == 12
    assert found.modalities == {"text", "image"}
    assert (found.licence, found.successor, found.replacement) == ("llama4", None, "gpt-oss-120b")


def test_a_fine_tune_has_what_its_base_has_and_what_is_written_of_it() -> None:
    found = facts("acme-8b")
    assert (found.base, found.size, found.active, found.context) == ("llama-3.1-8b-instruct", 8.5, 8.5, 131072)
    assert (found.licence, found.successor) == ("llama3.1", "llama-3.3-70b-instruct")
    assert found.languages == facts("llama-3.1-8b-instruct").languages
    assert facts("acme-see").languages == {"de"}
    assert facts("acme-see").modalities == {"text", "image"}


def test_a_fine_tune_on_several_backends_is_one_model() -> None:
    found = policy()
    assert [one.deployment.name for one in found.model_routes["acme-8b"].candidates] == ["gpu/acme-8b", "other/acme-8b"]
    assert found.canonical("acme:8b") == "acme-8b"
    for name in ("gpu/acme-8b", "other/acme-8b"):
        one = deployment(name)
        assert (one.base, one.licence, len(one.languages)) == ("llama-3.1-8b-instruct", "llama3.1", 8)


def test_a_day_at_the_backend_goes_before_the_model_s_own() -> None:
    assert deployment("gpu/acme-8b").retires == date(2027, 6, 1)
    assert deployment("other/acme-8b").retires == date(2027, 5, 1)


def test_a_successor_has_facts_even_if_nobody_serves_it() -> None:
    assert facts("llama-3.3-70b-instruct").size == 70


def test_a_distilled_llama_is_under_both_licences() -> None:
    found = facts("deepseek-r1-distill-llama-8b")
    assert found.licence == "mit AND llama3.1"
    assert any("Built with Llama" in sentence for terms in found.licences for sentence in terms.asks)


def test_every_fact_can_be_corrected() -> None:
    more = "{size: 100b, active: 16b, context: 9, capabilities: [tools], languages: [en], licence: mit, base: phi-4}"
    found = facts(SCOUT, f"{TEXT}  {SCOUT}: {more}\n")
    assert (found.size, found.active, found.context) == (100, 16, 9)
    assert (found.licence, found.base) == ("mit", "phi-4")
    assert found.capabilities == {"tools"}
    assert found.languages == {"en"}


def test_a_mixture_keeps_its_active_parameters_when_its_size_is_corrected() -> None:
    assert facts(SCOUT, f"{TEXT}  {SCOUT}: {{size: 100b}}\n").active == 17


def test_without_an_org_nothing_is_barred() -> None:
    assert "LG049" not in [problem.code for problem in loaded(TEXT + ROUTE).problems]
    assert len(policy(TEXT + ROUTE).routes[0].candidates) == 4


def test_in_the_eu_multimodal_models_of_those_licences_are_out_with_a_reason() -> None:
    text = TEXT + ROUTE + "org: {region: eu}\n"
    route = policy(text).routes[0]
    assert {one.deployment.model for one in route.candidates} == {"acme-8b"}
    assert {one.deployment.model for one in route.excluded} == {SCOUT, "acme-see"}
    assert all("not granted to organisations in the EU" in one.reason for one in route.excluded)
    told = [problem for problem in loaded(text).problems if problem.code == "LG049"]
    assert [problem.severity for problem in told] == ["warning", "warning"]
    assert policy(text).model_routes[SCOUT].candidates == ()


def test_an_agreement_of_one_s_own_lets_a_model_in() -> None:
    text = f"{TEXT}  {SCOUT}: {{licence: Our agreement with Meta}}\n{ROUTE}org: {{region: eu}}\n"
    assert SCOUT in {one.deployment.model for one in policy(text).routes[0].candidates}
    assert facts(SCOUT, text).licence == "Our agreement with Meta"


def test_elsewhere_than_in_the_eu_nothing_is_barred() -> None:
    assert "LG049" not in [problem.code for problem in loaded(TEXT + "org: {region: other}\n").problems]


@pytest.mark.parametrize(
    ("wanted", "models"),
    [
        ("llama3.1", {"acme-8b"}),
        ("[llama3.1, llama4]", {"acme-8b", SCOUT}),
        ("mit", set()),
        ("[mit, llama3.1]", {"acme-8b", "deepseek-r1-distill-llama-8b"}),
    ],
)
def test_a_route_takes_models_whose_licences_are_all_allowed(wanted: str, models: set[str]) -> None:
    names = f"[acme-8b, {SCOUT}, deepseek-r1-distill-llama-8b]"
    text = f"{TEXT}routes:\n  - name: all\n    models: {names}\n    require: {{licence: {wanted}}}\n"
    found = loaded(text)
    if not models:
        assert "LG056" in [problem.code for problem in found.problems]
    else:
        assert {one.deployment.model for one in policy(text).routes[0].candidates} == models


def test_the_name_of_an_own_agreement_can_be_required() -> None:
    own = f"  {SCOUT}: {{licence: ours}}\n"
    text = f"{TEXT}{own}routes:\n  - name: all\n    models: [{SCOUT}]\n    require: {{licence: ours}}\n"
    assert policy(text).routes[0].candidates


def test_the_header_of_a_licence_is_made_only_where_it_is_wanted() -> None:
    text = f"{TEXT}org: {{licence_header: true}}\n"
    assert facts("acme-8b").licence_header is None
    assert facts("acme-8b", text).licence_header == 'llama3.1; built-with="Built with Llama"'
    both = 'mit, llama3.1; built-with="Built with Llama"'
    assert facts("deepseek-r1-distill-llama-8b", text).licence_header == both


@pytest.mark.parametrize(
    ("text", "said"), [("mit", "mit"), ("two words", '"two words"'), ('a "b" \\', '"a \\"b\\" \\\\"'), ("ü", '"?"')]
)
def test_what_is_no_token_is_a_quoted_string(text: str, said: str) -> None:
    assert item(text) == said
