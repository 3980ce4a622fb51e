"""An operator with a gateway that is not started, and what they ask of its admin plane."""

from pathlib import Path
from typing import Any

import orjson
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from gateway.app import build
from gateway.config.live import LivePolicy
from gateway.config.reader import Reader
from tests.config.reloading import CATALOGUE

KEY = "admin-key-that-is-long-enough"


class Admin:
    """An operator with a gateway that is not started."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.path.write_text(text)
        reader = Reader(path, {}, CATALOGUE)
        self.live = LivePolicy(reader.read(), reader)
        self.gateway = build(self.live, KEY, frozenset({"testserver"}))
        self.client = TestClient(self.gateway.admin, client=("127.0.0.1", 5000))

    def get(self, path: str) -> Any:
        return self.client.get(path).json()

    def post(self, path: str, body: object = None, key: str = KEY) -> tuple[int, Any]:
        answer = self.client.post(path, json=body, headers={"authorization": f"Bearer {key}"})
        return answer.status_code, answer.json()

    def reload(self, text: str) -> tuple[int, Any]:
        self.path.write_text(text)
        return self.post("/admin/policy/reload")

    def metric(self, name: str) -> list[tuple[dict[str, str], float]]:
        text = self.client.get("/metrics").text
        found = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
        return [(sample.labels, sample.value) for sample in found if sample.name == name]

    def ready(self) -> Any:
        answer = self.gateway.readiness.response(verbose=True)
        return orjson.loads(answer.body)["policy"]
