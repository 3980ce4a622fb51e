"""Broken policies: a head that is well, what is put behind it, and what must be said of each."""

from typing import NamedTuple

HEAD = """\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    models:
      llama-3.3-70b-instruct: {id: meta-llama/Llama-3.3-70B-Instruct, precision: fp8}
"""
LARGE = "llama-3.3-70b-instruct"
ROUTE = "  - name: large\n    models: [llama-3.3-70b-instruct]\n"


class Broken(NamedTuple):
    """A policy, and what must be said about it."""

    name: str
    text: str
    code: str
    line: int
    part: str
    hint: str = ""


def routes(text: str = "") -> str:
    """HEAD with one route from line 8 on, and more of it."""
    return f"{HEAD}routes:\n{ROUTE}{text}"


def backend(text: str) -> str:
    """HEAD with a second backend from line 8 on, its content in line 9."""
    return f"{HEAD}  other:\n    {text}\n"


def hosted(text: str, own: str = LARGE, more: str = "") -> str:
    """HEAD with a hosted backend in lines 8 to 11 (`MODEL` is its model), and one route from line 13 on."""
    found = (
        f"{HEAD}  out:\n    provider: fireworks\n    api_key: k\n    models: {{MODEL: {{}}}}\n"
        f"routes:\n  - name: large\n    models: [{own}]\n{text}{more}"
    )
    return found.replace("MODEL", "llama-3.1-405b-instruct")
