"""Errors of the admin plane, whatever has raised them."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway.api.problem import speak_problems


@pytest.fixture
def client() -> TestClient:
    """An app with a defect."""
    app = FastAPI()
    speak_problems(app)

    @app.get("/defect")
    async def defect() -> None:
        raise ZeroDivisionError("api_key=sk-never-to-be-shown")

    return TestClient(app, raise_server_exceptions=False)


def test_defect_is_a_problem_document_that_tells_nothing_of_its_cause(client: TestClient) -> None:
    answer = client.get("/defect")
    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.json()["status"] == 500
    assert "sk-never" not in answer.text
    assert "log" in answer.json()["detail"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("POST", "/defect", 405)])
def test_path_and_method_that_are_not_there_are_told_in_a_sentence(
    client: TestClient, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path)
    assert (answer.status_code, answer.json()["status"]) == (status, status)
    assert f"{method} {path} is not served here" in answer.json()["detail"]
