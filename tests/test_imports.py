"""What a gateway does not need, it does not load."""

import subprocess
import sys

HEAVY = (
    *("litellm", "boto3", "botocore", "numpy", "gguf", "xllamacpp", "pandas", "aiohttp", "openai"),
    *("cel", "prompt_toolkit", "jsonschema_rs", "lingua", "ruamel", "redis"),
)


def loaded(*modules: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after these."""
    code = f"import {', '.join(modules)}, sys; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    return set(ended.stdout.split())


def test_serving_loads_nothing_heavy() -> None:
    assert loaded("gateway.app", "gateway.cli.serve", "gateway.providers.vllm").isdisjoint(HEAVY)


def test_looking_around_loads_nothing_heavy() -> None:
    assert loaded("gateway.cli.up", "gateway.providers.ollama", "gateway.providers.groq").isdisjoint(HEAVY)


def test_the_network_is_not_touched_by_an_import() -> None:
    code = (
        "import socket\n"
        "def refuse(*_, **__): raise AssertionError('an import has opened a connection')\n"
        "socket.socket.connect = refuse\n"
        "import gateway.app, gateway.cli.main, gateway.cli.up, gateway.cli.serve, gateway.cli.check\n"
    )
    subprocess.run([sys.executable, "-c", code], timeout=60, check=True)
