"""Which provider kinds have habits that the doctor knows."""

from collections.abc import Mapping

from gateway.fleet.checks.bedrock import BEDROCK
from gateway.fleet.checks.habits import Habits
from gateway.fleet.checks.llama_cpp import LLAMA_CPP
from gateway.fleet.checks.ollama import OLLAMA
from gateway.fleet.checks.openai_compatible import OPENAI_COMPATIBLE
from gateway.fleet.checks.vllm import VLLM


def without_host(id: str) -> str:
    """Hugging Face's `org/name:host` without the host behind it, which its list does not have."""
    return id.partition(":")[0]


KINDS: Mapping[str, Habits] = {
    "bedrock": BEDROCK,
    "huggingface": Habits(name=without_host),
    "litellm": Habits(lists=False),
    "replicate": Habits(lists=False),
    "llama_cpp": LLAMA_CPP,
    "ollama": OLLAMA,
    "openai_compatible": OPENAI_COMPATIBLE,
    "vllm": VLLM,
}
PLAIN = Habits()


def habits(kind: str) -> Habits:
    """The habits of a provider kind."""
    return KINDS.get(kind, PLAIN)
