"""The script that compiles the snapshots, and the file it left in the tree."""

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
