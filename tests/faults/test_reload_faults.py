"""A policy that changes under load: what is under way ends as it began."""

import asyncio
from pathlib import Path

import httpx

from tests.background import Background
from tests.faults.client import Reply
from tests.faults.policies import alone, pair, policy
from tests.faults.runner import PATIENCE, Stage, staged
from tests.process import ADMIN_KEY

MANY = 100  # streams at once


def test_streams_of_a_backend_that_a_reload_removes_come_to_their_end(tmp_path: Path) -> None:
    stays, goes = pair("stays", "ok"), alone("goes", "drip-300")

    async def part(stage: Stage) -> tuple[list[Reply], Reply, Reply]:
        streams = [asyncio.ensure_future(stage.ask("goes")) for _ in range(MANY)]
        async with asyncio.timeout(PATIENCE):
            while sum(b"w0001" in reply.raw for reply in stage.replies) < MANY:
                await asyncio.sleep(0.01)
        (tmp_path / "policy.yaml").write_text(policy([stays], stage.wall.url, stage.scale))
        async with httpx.AsyncClient(base_url=stage.gateway.admin, timeout=PATIENCE) as admin:
            headers = {"authorization": f"Bearer {ADMIN_KEY}"}
            assert (await admin.post("/admin/policy/reload", headers=headers)).status_code == 200
        assert not all(stream.done() for stream in streams)
        after, gone = await stage.ask("stays"), await stage.ask("goes")
        return list(await asyncio.gather(*streams)), after, gone

    with Background() as background:
        stage = background.run(staged([stays, goes], tmp_path))
        try:
            streams, after, gone = background.run(part(stage))
            assert background.run(stage.quiet()) == []
        finally:
            background.run(stage.close())
    assert [reply.success for reply in streams] == [True] * MANY
    assert after.success
    assert gone.status == 404
