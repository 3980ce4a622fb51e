"""What the data plane answers besides chat."""

import asyncio
import re
from pathlib import Path

import httpx
import pytest

from gateway import app
from gateway.cli.serve import live_policy
from gateway.config.settings import Settings

POLICY = """version: 1
backends:
  a: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
callers:
  team: {key: a-key-of-sixteen-c}
"""


def asked(tmp_path: Path, path: str, **headers: str) -> httpx.Response:
    """The answer to a GET of a caller."""
    file = tmp_path / "policy.yaml"
    file.write_text(POLICY)

    async def answer() -> httpx.Response:
        plane = app.build(live_policy(Settings(policy=file), 1), "admin-key-0123456789abcdef").data
        transport = httpx.ASGITransport(plane, client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(answer())


@pytest.mark.parametrize(("path", "status"), [("/v1/models", 401), ("/v1/models/nobody", 404), ("/v1/nowhere", 404)])
def test_every_error_has_an_id_that_the_log_knows(
    tmp_path: Path, path: str, status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    key = {} if status == 401 else {"authorization": "Bearer a-key-of-sixteen-c"}
    answer = asked(tmp_path, path, **key)
    id = answer.headers["x-request-id"]
    assert answer.status_code == status
    assert re.fullmatch(r"req_[0-9a-f]{24}", id)
    assert answer.json()["error"]["gateway"]["request_id"] == id
    assert id in capsys.readouterr().out
