"""What is true of every backend of one provider kind, unless its YAML says otherwise."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.types import ChatRequest, Deployment, Load, Timeouts

CHAT = frozenset({"tools", "json_schema", "logprobs"})
SERVED = frozenset({"n", "json_object", "tool_choice"})  # what a server can do with any model


def streams(request: ChatRequest, deployment: Deployment) -> bool:
    """A stream that is asked for comes piece by piece."""
    return False


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
    queue: int | None = None  # requests that may wait for it; None: twice as many as it works on
    queue_wait: float = 2.0  # seconds that each of them may wait
    capabilities: frozenset[str] | None = None  # what it can pass on of a model's; None: all of it
    offers: frozenset[str] = SERVED  # what it can do whatever the model
    whole: Callable[[ChatRequest, Deployment], bool] = streams  # whether a stream shows nothing before it is whole
    signs: tuple[str, ...] = ()  # variables any of which shows an account that has no `credential`
    shared: bool = False  # its `credential` is set on many machines for other ends: an account is not used unasked
    regions: tuple[str, ...] = ()  # variables that say in which region an account is used
    region: str | None = None  # which one, where they do not
    region_form: str | None = None  # what the name of a region matches, where it becomes part of an address
    prefill: Mapping[str, bool] | None = None  # of a body whose last message is to be continued; None: it cannot
    health: str | None = None  # path at which a server says that it is well: 200 within 2 s
    load: Callable[[bytes], Load | None] | None = None  # what its /metrics say; None: nothing of use
    transport: bool = True  # goes through the gateway's transport, which honours `proxy` and `tls`
