"""What the gateway learns by looking after its servers, end to end."""

import asyncio
import re
from pathlib import Path

from tests.background import Background
from tests.faults.policies import alone
from tests.faults.runner import PATIENCE, Stage, staged

METRICS = """vllm:num_requests_running{engine="0"} 3.0
vllm:num_requests_waiting{engine="0"} 7.0
vllm:kv_cache_usage_perc{engine="0"} 0.5
vllm:generation_tokens_total{engine="0"} 100.0
"""
GAUGE = re.compile(
    r'^gateway_backend_load\{backend="busy-primary",model="[^"]+",signal="(\w+)"\} ([\d.]+)$', re.MULTILINE
)


def test_load_that_a_server_tells_is_seen_in_the_metrics_and_does_not_keep_the_gateway_from_ending(
    tmp_path: Path,
) -> None:
    async def part(stage: Stage) -> dict[str, str]:
        assert (await stage.ask("busy")).success
        async with asyncio.timeout(PATIENCE):
            while not (found := GAUGE.findall((await stage.admin.get("/metrics")).text)):
                await asyncio.sleep(0.05)
        return dict(found)

    with Background() as background:
        stage = background.run(
            staged([alone("busy", "ok")], tmp_path, pages={"/metrics": METRICS}, GATEWAY_HEALTH_CHECKS="on")
        )
        try:
            found = background.run(part(stage))
        finally:
            background.run(stage.close())
    assert found == {"running": "3.0", "waiting": "7.0", "kv_usage": "0.5"}
    assert stage.gateway.process.returncode == 0
