"""Callers in the admin plane: made, changed and revoked; never a key but the one that was just made."""

from pathlib import Path

import pytest

from gateway.stores.callers import digest_of
from tests.api.offices import Office
from tests.stores.books import asked, tell
from tests.stores.test_callers import INJECTIONS

TODAY = 86_400.0


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(tmp_path)


def create(office: Office, name: str = "search", **terms: object) -> str:
    answer = office.ask("POST", "/admin/callers", json={"name": name, **terms})
    assert answer.status_code == 201, answer.text
    key: str = answer.json()["key"]
    return key


def test_a_key_that_was_made_works_at_once_and_is_shown_once(office: Office) -> None:
    key = create(office, routes=["chat"], limits={"rpm": 5}, **{"class": "batch"}, metadata={"owner": "anna"})
    assert office.data(key).status_code == 200
    assert office.data(key + "x").status_code == 401
    listed = office.ask("GET", "/admin/callers")
    rows = {row["name"]: row for row in listed.json()}
    assert (rows["search"]["source"], rows["written"]["source"]) == ("stored", "policy")
    assert rows["search"]["limits"]["rpm"] == 5 and rows["search"]["class"] == "batch"
    assert rows["written"]["team"] == "research" and rows["written"]["class"] == "critical"
    digest = digest_of(office.gateway.keyring.pepper, key).hex()
    for text in (listed.text, office.ask("GET", "/admin/callers/search").text):
        assert key not in text and digest not in text and "a-key-of-the-policy" not in text


def test_a_rotated_key_works_beside_the_old_one_for_the_grace(office: Office) -> None:
    old = create(office)
    answer = office.ask("POST", "/admin/callers/search/rotate", json={"grace_hours": 1})
    new, until = answer.json()["key"], answer.json()["old_key_until"]
    assert until > 0
    assert [office.data(key).status_code for key in (old, new)] == [200, 200]
    office.gateway.keyring.lay_out(office.gateway.live.current)
    assert office.gateway.keyring.find(old, office.gateway.live.current, until) is None
    last = office.ask("POST", "/admin/callers/search/rotate", json={"grace_hours": 0}).json()["key"]
    assert [office.data(key).status_code for key in (old, new, last)] == [401, 401, 200]
    assert office.ask("POST", "/admin/callers/search/rotate").status_code == 200  # a day without a word


def test_a_revoked_key_is_refused_at_once(office: Office) -> None:
    key = create(office)
    assert office.ask("DELETE", "/admin/callers/search").json() == {"name": "search", "revoked": True}
    assert office.data(key).status_code == 401
    assert office.ask("DELETE", "/admin/callers/search").status_code == 404


@pytest.mark.parametrize(
    ("terms", "status", "part"),
    [
        ({"name": "written"}, 409, "policy has a caller"),
        ({"name": "a b"}, 422, "name"),
        ({"name": "new", "routes": ["no"]}, 422, "no route 'no'"),
        ({"name": "new", "models": ["no"]}, 422, "no model 'no'"),
        ({"name": "new", "team": "no"}, 422, "no team 'no'"),
        ({"name": "new", "limits": {"rpm": -1}}, 422, "limits.rpm"),
        ({"name": "new", "limits": {"usd_per_day": 0}}, 422, "usd_per_day"),
        ({"name": "new", "limits": {"usd_per_day": 1e300}}, 422, "usd_per_day"),
        ({"name": "new", "class": "urgent"}, 422, "class"),
        ({"name": "new", "expires": "2020-01-01"}, 422, "in the past"),
        ({"name": "new", "admin": True}, 422, "admin"),
        ({"name": "new", "key": "mine"}, 422, "key"),
        ({}, 422, "name"),
    ],
)
def test_terms_that_do_not_fit_are_refused_in_a_sentence(
    office: Office, terms: dict[str, object], status: int, part: str
) -> None:
    answer = office.ask("POST", "/admin/callers", json=terms)
    assert (answer.status_code, part in answer.text) == (status, True), answer.text
    assert [row["name"] for row in office.ask("GET", "/admin/callers").json()] == ["written"]


def test_a_name_is_taken_once(office: Office) -> None:
    create(office)
    answer = office.ask("POST", "/admin/callers", json={"name": "search"})
    assert (answer.status_code, "already" in answer.text) == (409, True)


@pytest.mark.parametrize("text", INJECTIONS)
def test_any_text_as_a_name_is_a_sentence_and_no_statement(office: Office, text: str) -> None:
    create(office)
    path = f"/admin/callers/{text.encode('latin-1', 'replace').hex()}"
    assert office.ask("POST", "/admin/callers", json={"name": text}).status_code == 422
    assert office.ask("GET", path).status_code == 404
    assert (
        office.data(text.encode("ascii", "replace").decode().replace("\r\n", "").replace("\x00", "")).status_code == 401
    )
    assert len(office.ask("GET", "/admin/callers").json()) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/admin/callers"), ("POST", "/admin/callers/search/rotate"), ("DELETE", "/admin/callers/search")],
)
def test_only_the_admin_key_changes_anything(office: Office, method: str, path: str) -> None:
    key = create(office)
    for wrong in (None, "", key, "a-key-of-the-policy"):
        assert office.ask(method, path, wrong, json={"name": "eve"}).status_code == 401
    assert office.data(key).status_code == 200
    assert len(office.ask("GET", "/admin/callers").json()) == 2


def test_spending_and_what_is_left_of_the_budgets_is_shown(office: Office) -> None:
    now = office.gateway.engine.tools.wall()
    tell(office.books, asked("req_1", at=now, caller="written"), asked("req_2", at=now, caller="search"))
    assert office.books.writer.flush()
    story = office.ask("GET", "/admin/callers/written").json()
    assert (story["caller"]["usd_today"], story["caller"]["usd_this_month"]) == (0.25, 0.25)
    assert story["budgets"] == [
        {"of": "caller", "period": "day", "limit": 2.0, "spent": 0.25, "left": 1.75},
        {"of": "team", "period": "month", "limit": 50.0, "spent": 0.25, "left": 49.75},
    ]
    assert [row["usd"] for row in story["days"]] == [0.25]
    assert office.ask("GET", "/admin/callers/nobody").status_code == 404


def test_the_document_describes_what_is_there(office: Office) -> None:
    paths = office.ask("GET", "/admin/openapi.json").json()["paths"]
    assert set(paths["/admin/callers"]) == {"get", "post"}
    assert set(paths["/admin/callers/{name}"]) == {"get", "delete"}
    assert "/admin/callers/{name}/rotate" in paths and "/admin/spend" in paths


def test_without_a_state_directory_keys_cannot_be_made(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    answer = Office(blocked / "state").ask("POST", "/admin/callers", json={"name": "search"})
    assert (answer.status_code, "cannot be changed now" in answer.text) == (503, True)
