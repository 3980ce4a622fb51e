"""llama.cpp's own server."""

from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Json, Timeouts


class LlamaCpp(OpenAICompatible):
    """One model and a few slots; closes idle connections after 5 s and every one after 100 requests."""

    kind = Kind(
        "llama_cpp",
        telemetry="llama_cpp",
        location="self_hosted",
        timeouts=Timeouts(connect=2, first_token=30, first_token_last=120, idle=60, total=1800),
        keepalive=3,
        prefill={},
        slots=4,
        health="/health",
    )

    odd: tuple[str, ...] = ("tool_choice",)

    def reword(self, body: Json) -> None:
        """It knows no named tool choice, and its templates show tools also when none is wanted."""
        choice = body.get("tool_choice")
        if choice == "none":
            body.pop("tools", None)
        elif isinstance(choice, dict):
            name = (choice.get("function") or {}).get("name")
            body["tools"] = [
                tool for tool in body.get("tools") or [] if (tool.get("function") or {}).get("name") == name
            ]
            body["tool_choice"] = "required"
