"""The script that compiles the snapshots, and the file it left in the tree."""

from collections.abc import Callable
from datetime import date
from pathlib import Path

import orjson
import pytest

from gateway.catalogue import build
from gateway.types import Json


@pytest.fixture(scope="module")
def written() -> Json:
    data: Json = orjson.loads(build.TARGET.read_bytes())
    return data


def test_the_committed_file_is_in_step_with_its_snapshots(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["--check"]) == 0, capsys.readouterr().err


def test_building_twice_gives_the_same_bytes() -> None:
    assert build.build() == build.build()


def test_check_fails_and_says_what_to_run_when_a_snapshot_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stale = tmp_path / "models.json"
    stale.write_bytes(build.TARGET.read_bytes() + b"\n")
    monkeypatch.setattr(build, "TARGET", stale)
    assert build.main(["--check"]) == 1
    assert "python -m gateway.catalogue.build" in capsys.readouterr().err


def test_building_writes_the_file_and_names_what_it_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    committed = build.TARGET.read_bytes()
    monkeypatch.setattr(build, "TARGET", tmp_path / "models.json")
    assert build.main([]) == 0
    assert (tmp_path / "models.json").read_bytes() == committed
    assert "dropped: bedrock/us-gov-east-1/meta.llama3-8b-instruct-v1:0" in capsys.readouterr().out


def test_the_newest_snapshot_of_each_sort_wins(tmp_path: Path) -> None:
    for path in build.SNAPSHOTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    prices = orjson.loads(max(tmp_path.glob("prices-*.json")).read_bytes())
    (tmp_path / "prices-2999-01-01.json").write_bytes(orjson.dumps({**prices, "date": "2999-01-01"}))
    assert b"2999-01-01" in build.build(tmp_path).content


@pytest.mark.parametrize(
    ("price_in", "price_out", "active", "fault"),
    [
        (0.72, 0.72, 70, None),
        (0.05, 0.25, 8, None),
        (1.0, 1.0, None, None),
        (None, 1.0, 8, "no price"),
        (-0.1, 0.1, 8, "negative"),
        (720000, 720000, 70, "above"),
        (0.00000072, 0.00000072, 70, "per token"),
        (0, 0, 8, "free"),
        (0.1, 0.1, 405, "too cheap"),
        (0.3, 2.65, 8, "for output"),
    ],
)
def test_a_price_out_of_bounds_is_refused_with_its_reason(
    price_in: float | None, price_out: float | None, active: float | None, fault: str | None
) -> None:
    found = build.price_fault(price_in, price_out, active)
    assert (found is None) if fault is None else (found is not None and fault in found)


def test_every_price_row_is_used_or_dropped_with_a_reason() -> None:
    reasons = {drop.id: drop.reason for drop in build.build().drops}
    assert all(reasons.values())
    assert "too cheap" in reasons["fireworks/accounts/fireworks/models/llama-v3p1-405b-instruct-long"]
    assert "no price" in reasons["together/togethercomputer/CodeLlama-34b-Instruct"]
    assert not any("/meta.llama3-3-70b" in id for id in reasons)


def test_every_price_in_the_file_has_a_source_and_a_date(written: Json) -> None:
    hosts = [host for model in written["models"] for kind in model["hosts"].values() for host in kind]
    prices = [price for host in hosts for price in [host.get("price"), *host.get("regions", {}).values()] if price]
    assert len(prices) > 60
    for price in prices:
        assert price["source"] in written["sources"]
        assert date.fromisoformat(price["date"]) <= date.fromisoformat(written["date"])
        assert build.price_fault(price["input"], price["output"], None) is None


def test_regional_prices_are_noted_beside_the_id_they_belong_to(written: Json) -> None:
    model = next(model for model in written["models"] if model["name"] == "llama-3-70b-instruct")
    regions = model["hosts"]["bedrock"][0]["regions"]
    assert (regions["sa-east-1"]["input"], regions["sa-east-1"]["output"]) == (4.45, 5.88)


def test_models_are_sorted_and_named_once(written: Json) -> None:
    names = [model["name"] for model in written["models"]]
    assert names == sorted(set(names))
    assert set(written["spellings"].values()) == set(names)


def test_two_models_cannot_share_a_spelling(tmp_path: Path) -> None:
    for path in build.SNAPSHOTS.glob("*.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    hosts = orjson.loads(max(tmp_path.glob("hosts-*.json")).read_bytes())
    hosts["rows"].append({"model": "llama-3-70b-instruct", "at": "elsewhere", "id": "x/Llama-3.3-70B", "src": []})
    (tmp_path / "hosts-2999-01-01.json").write_bytes(orjson.dumps(hosts))
    with pytest.raises(ValueError, match="could mean"):
        build.build(tmp_path)


def copied(folder: Path) -> Path:
    for path in build.SNAPSHOTS.glob("*.json"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def changed(folder: Path, sort: str, change: Callable[[Json], None]) -> Path:
    """All snapshots in a folder, with a newer one of a sort."""
    data = orjson.loads(max(copied(folder).glob(f"{sort}-*.json")).read_bytes())
    change(data)
    (folder / f"{sort}-2999-01-01.json").write_bytes(orjson.dumps(data))
    return folder


def test_a_price_out_of_bounds_that_nobody_refused_fails_the_build(tmp_path: Path) -> None:
    def dear(data: Json) -> None:
        row = next(row for row in data["rows"] if row["id"].endswith("llama-v3p3-70b-instruct"))
        row |= {"input": 900000, "output": 900000}

    with pytest.raises(ValueError, match="llama-v3p3-70b-instruct is above 100 USD"):
        build.build(changed(tmp_path, "prices", dear))


def test_a_refusal_of_a_price_that_is_right_fails_the_build_too(tmp_path: Path) -> None:
    def more(data: Json) -> None:
        data["rows"].append({"place": "groq/llama-3.1-8b-instant", "why": "no reason"})

    with pytest.raises(ValueError, match=r"no longer out of bounds: groq/llama-3\.1-8b-instant"):
        build.build(changed(tmp_path, "refused", more))


def test_a_replacement_that_is_no_model_here_fails_the_build(tmp_path: Path) -> None:
    def unknown(data: Json) -> None:
        next(row for row in data["rows"] if "replacement" in row)["replacement"] = "nobody/knows-it"

    with pytest.raises(ValueError, match="nobody/knows-it"):
        build.build(changed(tmp_path, "hosts", unknown))


def test_every_fact_in_the_file_has_a_source_and_each_source_a_date(written: Json) -> None:
    hosts = [host for model in written["models"] for kind in model["hosts"].values() for host in kind]
    named = [*written["models"], *(host for host in hosts if "price" in host or "retires" in host)]
    for entry in named:
        assert entry["src"], entry
        assert set(entry["src"]) <= written["sources"].keys()
    for source in written["sources"].values():
        assert date.fromisoformat(source["date"]) <= date.fromisoformat(written["date"])
        assert source["is"]


@pytest.mark.parametrize(("generation", "count"), [("2", 1), ("3", 1), ("3.1", 8), ("3.2", 8), ("3.3", 8), ("4", 12)])
def test_the_languages_are_those_of_the_cards(written: Json, generation: str, count: int) -> None:
    rows = [row for row in written["models"] if row["family"] == "llama" and row["generation"] == generation]
    said = [row["languages"] for row in rows if "languages" in row]
    assert said
    assert {len(languages) for languages in said} == {count}
    assert all(len(code) == 2 and code.islower() for languages in said for code in languages)


def test_of_images_the_vision_models_of_3_2_speak_english_only(written: Json) -> None:
    limited = {row["name"]: row["image_languages"] for row in written["models"] if "image_languages" in row}
    assert limited == {name: ["en"] for name in ("llama-3.2-11b-vision-instruct", "llama-3.2-90b-vision-instruct")}


def test_hosts_that_name_different_models_leave_no_replacement(written: Json) -> None:
    named = {row["name"]: row["replacement"] for row in written["models"] if "replacement" in row}
    assert named["llama-3-8b-instruct"] == "llama-3.1-8b-instruct"
    assert "llama-3.1-8b-instruct" not in named
    assert set(named.values()) <= {row["name"] for row in written["models"]}
