"""What is true of every backend of one provider kind, unless its YAML says otherwise."""

from dataclasses import dataclass

from gateway.types import Timeouts

CHAT = frozenset({"tools", "json_schema", "logprobs"})


@dataclass(frozen=True, slots=True)
class Kind:
    """Defaults and habits of a provider kind; `credential` names the environment variable its own SDK reads."""

    name: str
    telemetry: str  # gen_ai.provider.name of OpenTelemetry
    url: str | None = None  # its own address, where it has one
    location: str = "hosted"
    credential: str | None = None
    needs_key: bool = False
    needs_url: bool = True  # unless it has an address of its own
    timeouts: Timeouts = Timeouts()
    keepalive: float = 50.0  # seconds; below the server's own, so that it never closes under a request
    cold: float = 0.0  # seconds that a model may take to load before its first token
    slots: int = 64  # requests that it is assumed to work on at once
    capabilities: frozenset[str] | None = None  # what it can pass on of a model's; None: all of it
