"""Which class speaks for a provider kind; imported when a policy first uses it."""

from importlib import import_module
from typing import cast

from gateway.providers.port import Provider

KINDS = {
    "vllm": "gateway.providers.vllm:Vllm",
    "llama_cpp": "gateway.providers.llama_cpp:LlamaCpp",
    "ollama": "gateway.providers.ollama:Ollama",
    "openai_compatible": "gateway.providers.openai_compatible:OpenAICompatible",
    "together": "gateway.providers.together:Together",
    "groq": "gateway.providers.groq:Groq",
    "fireworks": "gateway.providers.fireworks:Fireworks",
    "replicate": "gateway.providers.replicate:Replicate",
    "bedrock": "gateway.providers.bedrock:Bedrock",
    "sglang": "gateway.providers.sglang:Sglang",
    "tgi": "gateway.providers.tgi:Tgi",
    "lmstudio": "gateway.providers.lmstudio:LmStudio",
    "ogx": "gateway.providers.ogx:Ogx",
    "huggingface": "gateway.providers.huggingface:HuggingFace",
    "litellm": "gateway.providers.litellm_sdk:LiteLlm",
}


def provider_class(kind: str) -> type[Provider]:
    """The class of a kind, or of `package.module:Class`; raises LookupError when there is none of that name."""
    place = KINDS.get(kind, kind)
    module, colon, name = place.partition(":")
    if not colon:
        raise LookupError(f"no provider kind '{kind}'")
    try:
        return cast(type[Provider], getattr(import_module(module), name))
    except Exception as exc:  # whatever a module of somebody else's raises when it is imported
        raise LookupError(f"no class '{name}' in module '{module}' ({str(exc)[:200] or type(exc).__name__})") from exc
