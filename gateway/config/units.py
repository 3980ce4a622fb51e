"""Durations, sizes of models, shares and precisions, as they are written in a policy."""

import re

DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)b", re.IGNORECASE)
PERCENT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?%")
MOMENT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2})?(Z|[+-][0-9]{2}:[0-9]{2})?)?")
LONGEST = 16  # characters of a duration, size or share

# From the most exact to the least; those in one row count as equal.
PRECISIONS = (
    ("fp32", "f32"),
    ("bf16", "fp16", "f16"),
    ("fp8", "q8_0", "int8"),
    ("q6_k",),
    ("q5_k_m", "q5_k_s", "q5_1", "q5_0"),
    ("q4_k_m", "q4_k_s", "q4_1", "q4_0", "iq4_xs", "iq4_nl", "int4", "awq", "gptq", "nvfp4", "mxfp4"),
    ("q3", "q3_k_l", "q3_k_m", "q3_k_s", "iq3_m", "iq3_s", "iq3_xs", "iq3_xxs"),
    ("q2", "q2_k", "q2_k_s", "iq2_m", "iq2_s", "iq2_xs", "iq2_xxs"),
)


def seconds(text: str) -> float | None:
    """A duration in seconds; None when it is none."""
    found = DURATION.fullmatch(text) if len(text) <= LONGEST else None
    value = float(found[1]) * SECONDS[found[2]] if found else 0.0
    return value if value > 0 else None


def billions(text: str) -> float | None:
    """A model's size in billions of parameters; None when it is none."""
    found = SIZE.fullmatch(text) if len(text) <= LONGEST else None
    value = float(found[1]) if found else 0.0
    return value if value > 0 else None


def share(value: object) -> float | None:
    """`5%` or 0.05 as a part of one; None when it is neither, or more than all."""
    if isinstance(value, str):
        found = PERCENT.fullmatch(value) if len(value) <= LONGEST else None
        value = float(found[1]) / 100 if found else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value <= 1 else None


def precisions() -> list[str]:
    """Every precision there is, the most exact first."""
    return [name for row in PRECISIONS for name in row]


def exactness(precision: str) -> int | None:
    """A rank that is higher for the more exact precision; None for one we do not know."""
    for rank, row in enumerate(reversed(PRECISIONS)):
        if precision in row:
            return rank
    return None
