"""vLLM's OpenAI-compatible server."""

from math import isfinite

from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Load, Timeouts

RUNNING, WAITING = b"vllm:num_requests_running", b"vllm:num_requests_waiting"
CACHE = (b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc")  # the older name last
TOKENS = (  # those of prompts count when they are read; the last one has them step by step, where it is there
    b"vllm:generation_tokens_total",
    b"vllm:prompt_tokens_total",
    b"vllm:iteration_tokens_total_sum",
)
NAMES = frozenset({RUNNING, WAITING, *CACHE, *TOKENS})


def load_of(text: bytes) -> Load | None:
    """The load in vLLM's /metrics: the sum of its engines, the fullest cache of them; None where it is not told."""
    found: dict[bytes, list[float]] = {}
    for line in text.split(b"\n"):
        name = line.partition(b"{")[0].partition(b" ")[0]
        if name in NAMES and (value := number(line.rpartition(b" ")[2])) is not None:
            found.setdefault(name, []).append(value)
    if RUNNING not in found or WAITING not in found:
        return None
    cache = [value for name in CACHE for value in found.get(name, ())]
    tokens = sum(value for name in TOKENS for value in found.get(name, ()))
    return Load(sum(found[RUNNING]), sum(found[WAITING]), max(cache, default=0.0), tokens)


def number(text: bytes) -> float | None:
    """A sample's value; None for what is none, or not finite."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if isfinite(value) else None


class Vllm(OpenAICompatible):
    """Takes everything OpenAI's API has and more; closes idle connections after 5 s."""

    kind = Kind(
        "vllm",
        telemetry="vllm",
        location="self_hosted",
        timeouts=Timeouts(connect=2, first_token=12, first_token_last=120, idle=20, total=600),
        keepalive=3,
        health="/health",
        load=load_of,
        prefill={"continue_final_message": True, "add_generation_prompt": False},
    )
