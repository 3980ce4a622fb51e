"""The demo fleet's provider: llama.cpp as it is, with every answer marked as a toy's."""

from dataclasses import replace

from gateway.providers.llama_cpp import LlamaCpp
from gateway.types import Json

FINGERPRINT = "toy-model-of-the-demo-fleet"


class Toy(LlamaCpp):
    """llama.cpp with a toy model."""

    kind = replace(LlamaCpp.kind, name="gateway.demo.provider:Toy")

    def mend(self, body: Json) -> bool:
        """Say in each answer and chunk that a toy wrote it."""
        body["system_fingerprint"] = FINGERPRINT
        return True
