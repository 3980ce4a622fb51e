"""Drafts: checked, explained, compared; and the file's text as it is shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.operators import Admin
from tests.config.reloading import BAD, KEYED, OPEN

ASKED = {"model": "llama-3.1-8b-instruct", "messages": [{"role": "user", "content": "Hello"}]}
DEARER = OPEN.replace("{id: x}", "{id: x, price: {input: 1, output: 2}}")


@pytest.fixture
def admin(tmp_path: Path) -> Iterator[Admin]:
    """A gateway whose policy has a credential in it."""
    yield Admin(tmp_path / "policy.yaml", KEYED)


def test_source_shows_the_file_and_covers_its_keys(admin: Admin) -> None:
    found = admin.get("/admin/policy/source")
    (file,) = found["files"]
    assert (found["in_force"], file["file"]) == (True, str(admin.path))
    assert "a-key-of-sixteen-c" not in file["text"]
    assert [line.strip() for line in file["text"].splitlines()][:2] == ["version: 1", "backends:"]


def test_source_of_a_refused_file_is_the_file_with_its_findings(admin: Admin) -> None:
    admin.reload(BAD)
    found = admin.get("/admin/policy/source")
    (file,) = found["files"]
    assert (found["in_force"], [one["code"] for one in file["problems"]]) == (False, ["LG030"])
    assert "vlm" in file["text"]


def test_check_says_what_is_wrong_with_a_draft(admin: Admin) -> None:
    status, found = admin.post("/admin/policy/check", {"text": BAD})
    assert (status, found["errors"], found["problems"][0]["code"]) == (200, 1, "LG030")


def test_draft_reads_no_variable_and_no_file(admin: Admin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OWN_SECRET", "never-to-be-seen-0123")
    held = tmp_path / "held"
    held.write_text("never-to-be-seen-4567")
    text = KEYED.replace("a-key-of-sixteen-c", '"${OWN_SECRET}"') + f'  other: {{key: "file:{held}"}}\n'
    for path, body in (
        ("check", {"text": text}),
        ("diff", {"text": text}),
        ("explain", {"text": text, "request": ASKED}),
    ):
        assert "never-to-be-seen" not in str(admin.post(f"/admin/policy/{path}", body))


def test_draft_as_it_was_shown_means_the_same(admin: Admin) -> None:
    (file,) = admin.get("/admin/policy/source")["files"]
    status, found = admin.post("/admin/policy/diff", {"text": file["text"]})
    assert (status, found["changes"], found["privacy"]) == (200, [], [])


def test_difference_is_told_in_words_with_the_last_requests_planned_by_both(admin: Admin) -> None:
    (file,) = admin.get("/admin/policy/source")["files"]
    draft = file["text"].replace("{id: x}", "{id: x, price: {input: 1, output: 2}}")
    status, found = admin.post("/admin/policy/diff", {"text": draft})
    assert (status, found["requests"]["requests"]) == (200, 0)
    assert any("price" in change["text"] for change in found["changes"])
    assert admin.live.current.generation == admin.get("/admin/policy")["generation"]


def test_draft_with_errors_is_refused_with_its_problems(admin: Admin) -> None:
    for path, more in (("diff", {}), ("explain", {"request": ASKED})):
        status, found = admin.post(f"/admin/policy/{path}", {"text": BAD, **more})
        assert (status, [one["code"] for one in found["problems"]]) == (422, ["LG030"])


def test_explain_plans_by_the_policy_in_force_or_by_a_draft(admin: Admin) -> None:
    _, ours = admin.post("/admin/policy/explain", {"request": ASKED})
    _, theirs = admin.post("/admin/policy/explain", {"request": ASKED, "text": DEARER})
    assert ours["choices"][0]["usd"] == 0.0
    assert theirs["choices"][0]["usd"] > 0.0


def test_explain_of_an_unknown_model_is_a_404_that_says_so(admin: Admin) -> None:
    status, found = admin.post("/admin/policy/explain", {"request": {**ASKED, "model": "gpt-9"}})
    assert (status, found["code"], "gpt-9" in found["detail"]) == (404, "model_not_found", True)


@pytest.mark.parametrize("number", [10**30, -(10**30), 1e308])
def test_number_of_any_size_is_explained(admin: Admin, number: float) -> None:
    status, _ = admin.post("/admin/policy/explain", {"request": {**ASKED, "seed": number, "metadata": {"n": number}}})
    assert status in (200, 400)


@pytest.mark.parametrize("body", [None, {}, {"text": 3}, {"text": "x", "more": 1}, []])
def test_body_that_does_not_fit_is_a_problem_document(admin: Admin, body: object) -> None:
    status, found = admin.post("/admin/policy/check", body)
    assert (status, found["status"]) == (422, 422)
    assert "does not fit" in found["detail"]
