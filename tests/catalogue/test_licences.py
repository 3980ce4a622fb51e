"""The licences: facts for every model, and what each asks in sentences."""

from datetime import date
from pathlib import Path

import orjson
import pytest

from gateway.catalogue import Catalogue, Licence, build
from gateway.catalogue.licence import asks, terms

COMMUNITY = ("llama2", "llama3", "llama3.1", "llama3.2", "llama3.3", "llama4")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue.load()


def licence(catalogue: Catalogue, id: str) -> Licence:
    found = catalogue.licence(id)
    assert found is not None, id
    return found


def said(catalogue: Catalogue, id: str, multimodal: bool = False) -> str:
    return "\n".join(asks(licence(catalogue, id), multimodal))


def test_every_model_s_licence_has_facts(catalogue: Catalogue) -> None:
    for model in catalogue.models:
        assert all(licence(catalogue, id).spdx for id in model.licences), model.name
    assert catalogue.licence("proprietary") is None


def test_a_build_without_a_model_s_licence_fails(tmp_path: Path) -> None:
    for path in build.SNAPSHOTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    data = orjson.loads(max(tmp_path.glob("licences-*.json")).read_bytes())
    data["rows"] = [row for row in data["rows"] if row["id"] != "llama4"]
    (tmp_path / "licences-2999-01-01.json").write_bytes(orjson.dumps(data))
    with pytest.raises(ValueError, match="llama4"):
        build.build(tmp_path)


def test_multimodal_models_are_those_that_take_images(catalogue: Catalogue) -> None:
    several = {model.name for model in catalogue.models if model.multimodal}
    assert {"llama-3.2-11b-vision-instruct", "llama-4-scout-17b-16e-instruct", "llama-guard-4-12b"} <= several
    assert not {"llama-3.2-3b-instruct", "llama-3.3-70b-instruct", "llama-prompt-guard-2-86m"} & several


@pytest.mark.parametrize(
    ("id", "words", "due"),
    [
        ("llama2", None, None),
        ("llama3", "Built with Meta Llama 3", "product or service that uses it"),
        ("llama3.1", "Built with Llama", "product or service that contains it"),
        ("llama4", "Built with Llama", "product or service that contains it"),
        ("mit", None, None),
    ],
)
def test_what_to_show_depends_on_the_version(catalogue: Catalogue, id: str, words: str | None, due: str | None) -> None:
    found = licence(catalogue, id)
    assert found.built_with == words
    assert (found.built_with_if is None) if due is None else (found.built_with_if or "").endswith(due)
    assert ("Display:" in said(catalogue, id)) is (words is not None)


def test_only_llama_2_and_3_forbid_to_improve_others_with_outputs(catalogue: Catalogue) -> None:
    assert [id for id in COMMUNITY if not licence(catalogue, id).outputs_improve_others] == ["llama2", "llama3"]
    assert "must not be used to improve" in said(catalogue, "llama3")
    assert "may be used to improve" in said(catalogue, "llama3.3")


@pytest.mark.parametrize("id", COMMUNITY)
def test_users_are_counted_once_in_the_month_before_the_release_of_that_version(catalogue: Catalogue, id: str) -> None:
    found = licence(catalogue, id)
    assert found.monthly_users == 700_000_000
    assert found.released is not None
    assert f"in the calendar month before {found.released}" in said(catalogue, id)
    assert str(found.use_policy) in said(catalogue, id)


def test_releases_are_in_the_order_of_the_versions(catalogue: Catalogue) -> None:
    dates = [licence(catalogue, id).released or date.min for id in COMMUNITY]
    assert dates == sorted(dates)


@pytest.mark.parametrize(
    ("id", "multimodal", "excluded"),
    [
        ("llama3.1", True, False),
        ("llama3.2", True, True),
        ("llama3.2", False, False),
        ("llama3.3", True, False),
        ("llama4", True, True),
        ("llama4", False, False),
    ],
)
def test_the_eu_clause_is_of_multimodal_models_of_3_2_and_4(
    catalogue: Catalogue, id: str, multimodal: bool, excluded: bool
) -> None:
    assert ("European Union" in said(catalogue, id, multimodal)) is excluded


def test_each_notice_names_its_own_version(catalogue: Catalogue) -> None:
    for id in COMMUNITY:
        assert f"Llama {id.removeprefix('llama')} is licensed under" in (licence(catalogue, id).notice or "")


def test_a_remark_is_told_too(catalogue: Catalogue) -> None:
    assert "trained on its outputs" in said(catalogue, "gemma")


@pytest.mark.parametrize(
    ("name", "ids"),
    [
        ("deepseek-r1-distill-llama-8b", ("mit", "llama3.1")),
        ("deepseek-r1-distill-llama-70b", ("mit", "llama3.3")),
        ("deepseek-r1", ("mit",)),
        ("llama-3.3-8b-instruct", ()),
    ],
)
def test_a_model_made_from_a_llama_is_under_the_llama_s_licence_too(
    catalogue: Catalogue, name: str, ids: tuple[str, ...]
) -> None:
    found = catalogue.get(name)
    assert found is not None
    assert found.licences == ids


@pytest.mark.parametrize(("multimodal", "outside"), [(True, True), (False, False)])
def test_terms_say_whether_a_model_is_outside_the_eu(catalogue: Catalogue, multimodal: bool, outside: bool) -> None:
    found = terms(licence(catalogue, "llama4"), multimodal)
    assert (found.id, found.built_with, found.outside_eu) == ("llama4", "Built with Llama", outside)
    assert any("European Union" in sentence for sentence in found.asks) is outside
