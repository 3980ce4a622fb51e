"""The models a stand-in Ollama has on its disk, which of them are loaded, and how it describes them."""

import asyncio
import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from gateway.demo.standins.wire import Json

MODIFIED = "2026-09-01T08:00:00.000000000Z"
KEEP_ALIVE = "5m"
FOR_EVER = timedelta(days=365 * 100)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A pulled model; sizes in bytes, context in tokens."""

    name: str
    size: int
    parameters: str
    quantization: str = "Q4_K_M"
    context: int = 131_072
    capabilities: tuple[str, ...] = ("completion", "tools")

    @property
    def digest(self) -> str:
        """A stable digest."""
        return hashlib.sha256(self.name.encode()).hexdigest()

    @property
    def details(self) -> Json:
        """What every listing says of it."""
        kind = {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"]}
        return {**kind, "parameter_size": self.parameters, "quantization_level": self.quantization}


MODELS = (
    LocalModel("llama3.1:8b", 4_920_753_328, "8.0B"),
    LocalModel("llama3.2:1b", 1_321_098_329, "1.2B", "Q8_0"),
    LocalModel("llama3:8b", 4_661_224_676, "8.0B", "Q4_0", context=8192, capabilities=("completion",)),
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model in memory: until when, and with which context."""

    model: LocalModel
    until: datetime
    num_ctx: int


class Shelf:
    """The models on disk and those in memory."""

    def __init__(self, models: Iterable[LocalModel], load_seconds: float) -> None:
        self._models = {model.name: model for model in models}
        self._loaded: dict[str, Loaded] = {}
        self._load_seconds = load_seconds

    def find(self, name: str) -> LocalModel | None:
        """The model of a name; without a tag it means the tag latest."""
        return self._models.get(name if ":" in name else f"{name}:latest")

    async def load(self, model: LocalModel, num_ctx: int, keep_alive: timedelta) -> int:
        """Bring a model to memory; how long that took, in ns: next to nothing if it was there already."""
        warm = any(entry.model is model for entry in self._running())
        if not warm:
            await asyncio.sleep(self._load_seconds)
        self._loaded[model.name] = Loaded(model, datetime.now(UTC) + keep_alive, num_ctx)
        return 20_000_000 if warm else max(1_500_000_000, int(self._load_seconds * 1e9))

    def unload(self, model: LocalModel) -> None:
        """Free a model's memory."""
        self._loaded.pop(model.name, None)

    def tags(self) -> Json:
        """The body of /api/tags."""
        return {"models": [_listed(model) | {"modified_at": MODIFIED} for model in self._models.values()]}

    def running(self) -> Json:
        """The body of /api/ps."""
        return {"models": [_running(entry) for entry in self._running()]}

    def _running(self) -> list[Loaded]:
        now = datetime.now(UTC)
        return [entry for entry in self._loaded.values() if entry.until > now]


def _listed(model: LocalModel) -> Json:
    names = {"name": model.name, "model": model.name}
    return {**names, "size": model.size, "digest": model.digest, "details": model.details}


def _running(entry: Loaded) -> Json:
    memory = {"size_vram": entry.model.size, "context_length": entry.num_ctx}
    return {**_listed(entry.model), "expires_at": stamp(entry.until), **memory}


def shown(model: LocalModel) -> Json:
    """The body of /api/show."""
    info = {
        "general.architecture": "llama",
        "general.parameter_count": int(float(model.parameters.rstrip("B")) * 1e9),
        "llama.context_length": model.context,
        "llama.embedding_length": 4096,
    }
    texts = {"modelfile": f"FROM {model.name}\n", "parameters": 'stop "<|eot_id|>"', "template": "{{ .Prompt }}"}
    own = {"capabilities": list(model.capabilities), "modified_at": MODIFIED}
    return {**texts, "details": model.details, "model_info": info, **own}


def keep_alive(value: object) -> timedelta:
    """How long a model stays loaded: "5m", seconds, or for ever below zero; ValueError in Go's words otherwise."""
    if isinstance(value, str):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value)
        if "".join(number + unit for number, unit in parts) != value.lstrip("-"):
            raise ValueError(f'time: invalid duration "{value}"')
        seconds = sum(float(number) * UNITS[unit] for number, unit in parts) * (-1 if value.startswith("-") else 1)
    elif isinstance(value, int | float):
        seconds = float(value)
    else:
        raise ValueError(f"unsupported keep_alive type: {type(value).__name__}")
    return FOR_EVER if seconds < 0 else min(timedelta(seconds=seconds), FOR_EVER)


def stamp(moment: datetime) -> str:
    """A time as Go writes it: RFC 3339 with nanoseconds."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
