"""The console's files: what they may do, how they are cached, and that all of them are there."""

import re
from pathlib import Path

import pytest

from gateway.api import console
from tests.api.operators import Admin
from tests.config.reloading import OPEN

FOLDER = Path(console.__file__).parents[1] / "console"
FILES = sorted(str(file.relative_to(FOLDER)) for file in FOLDER.rglob("*") if file.is_file())
SCRIPTS = [name for name in FILES if name.endswith(".js")]


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    """A gateway that is not started."""
    return Admin(tmp_path / "policy.yaml", OPEN)


@pytest.mark.parametrize("name", ["", *(f"console/{name}" for name in FILES)])
def test_file_is_served_with_a_policy_that_allows_nothing_foreign(admin: Admin, name: str) -> None:
    answer = admin.client.get(f"/{name}")
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_file_that_a_browser_has_is_not_sent_again(admin: Admin) -> None:
    first = admin.client.get("/console/main.js")
    again = admin.client.get("/console/main.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize("path", ["nope.js", "../app.py", "%2e%2e/app.py", "..%2fapp.py", "__init__.py", "pages", ""])
def test_nothing_else_is_served(admin: Admin, path: str) -> None:
    answer = admin.client.get(f"/console/{path}")
    assert answer.status_code == 404
    assert "class Gateway" not in answer.text


@pytest.mark.parametrize("name", SCRIPTS)
def test_script_writes_no_markup_and_runs_no_text(name: str) -> None:
    text = (FOLDER / name).read_text()
    assert (
        re.findall(r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function|localStorage", text) == []
    )
    assert re.findall(r"https?://(?!www\.w3\.org)", text) == []


def test_page_has_nothing_inline_and_nothing_from_elsewhere() -> None:
    page = (FOLDER / "index.html").read_text()
    assert re.findall(r"\son\w+=|\sstyle=|<style|javascript:|https?://", page) == []
    assert re.findall(r"<script(?![^>]*\ssrc=)", page) == []


def test_all_that_is_named_is_there() -> None:
    named = re.findall(r'"/console/([\w./]+)"', (FOLDER / "index.html").read_text())
    for name in SCRIPTS:
        inner = re.findall(r'(?:from|import\()\s*"(\.[\w./]+)"', (FOLDER / name).read_text())
        named += [str((FOLDER / name).parent.joinpath(one).resolve().relative_to(FOLDER)) for one in inner]
    assert sorted(set(named) - set(FILES)) == []


def test_all_of_it_is_small() -> None:
    assert sum((FOLDER / name).stat().st_size for name in FILES) <= 150_000
