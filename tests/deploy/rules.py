"""The rules for Prometheus, as they are committed."""

import re
from typing import Any

import yaml

from tests.deploy.queries import ROOT

WHERE = ROOT / "deploy" / "prometheus"
NAME = re.compile(r"\b(?:gateway_\w+|gen_ai_\w+|up|(?:gateway|route|model):\w+(?::\w+)+)\b")
FILTERS = re.compile(r"\{[^}]*\}|\bby \([^)]*\)|\"[^\"]*\"")


def rules(kind: str) -> list[dict[str, Any]]:
    """All alerts, or all records."""
    files = [yaml.safe_load(path.read_text()) for path in sorted(WHERE.joinpath("rules").glob("*.yml"))]
    return [rule for file in files for group in file["groups"] for rule in group["rules"] if kind in rule]


def metrics(expression: str) -> set[str]:
    """The metrics that an expression reads."""
    return set(NAME.findall(FILTERS.sub("", expression)))


ALERTS, RECORDS = rules("alert"), rules("record")
