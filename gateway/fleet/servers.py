"""The servers that run on one's own machine: where each usually is, and what only it says. Pure."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from gateway.fleet.answers import MODELS, Answers, listed, mapping, owned, parsed, text, version, whole
from gateway.fleet.naming import Listed
from gateway.types import Json

UNLOADED_CONTEXT = 4096  # tokens with which LM Studio loads a model, unless told otherwise
OLLAMA_CONTEXT = 32768  # tokens to ask of Ollama at most: what its models could hold would fill the memory
# Providers of OGX that run beside it; what the others serve leaves the house.
BESIDE = ("ollama", "vllm", "tgi", "llama-cpp", "llama_cpp", "lmstudio", "ramalama", "meta-reference", "inline")


class Seen(NamedTuple):
    """What a server that was recognised says: its models, how many requests it works on, what is left out."""

    models: list[Listed]
    slots: int | None = None
    notes: tuple[str, ...] = ()


class Probe(NamedTuple):
    """One kind of server: where it usually is, what to ask, and how to know it by the answers."""

    name: str
    product: str
    kind: str
    port: int
    paths: tuple[str, ...]
    recognise: Callable[[Answers], Seen | None]


def ollama(answers: Answers) -> Seen | None:
    """Ollama says that it is running, and its version; its list says of each model what it can do."""
    root, rows = answers.get("/"), listed(answers, "/api/tags", "models")
    if root is None or root.body.strip() != b"Ollama is running" or not version(answers, "/api/version"):
        return None
    here = [row for row in rows or () if not row.get("remote_host") and not row.get("remote_model")]
    away = len(rows or ()) - len(here)
    notes = (f"Models of Ollama left out: {away}, which run in its cloud and not here.",) if away else ()
    return Seen([model for row in here if (model := ollama_model(row)) is not None], notes=notes)


def ollama_model(row: Json) -> Listed | None:
    """One row of /api/tags; None when it does not chat."""
    details, can = mapping(row.get("details")), row.get("capabilities")
    if isinstance(can, list) and can and "completion" not in can:
        return None
    if "bert" in text(details.get("family")):
        return None
    told = ("json_schema", *(word for word in ("tools", "vision") if isinstance(can, list) and word in can))
    return Listed(
        id=text(row.get("name")),
        precision=text(details.get("quantization_level")) or None,
        context=OLLAMA_CONTEXT,
        size=billions(text(details.get("parameter_size"))),
        capabilities=told,
    )


def vllm(answers: Answers) -> Seen | None:
    """vLLM owns its models, and says its version; `root` is what a served name stands for."""
    rows = listed(answers, MODELS)
    if not rows or not owned(rows, "vllm") or not version(answers, "/version"):
        return None
    return Seen([vllm_model(row) for row in rows])


def vllm_model(row: Json) -> Listed:
    """One row; an adapter's root is a path of its own, and it is not its parent."""
    root = "" if row.get("parent") else text(row.get("root"))
    return Listed(
        id=text(row.get("id")),
        also=(root,) if root else (),
        context=whole(row.get("max_model_len")),
        capabilities=("json_schema", "logprobs"),
    )


def llama_cpp(answers: Answers) -> Seen | None:
    """llama.cpp owns its models; /props has the file, the slots and the context of each."""
    rows = listed(answers, MODELS)
    if not rows or not owned(rows, "llamacpp"):
        return None
    props = mapping(parsed(answers, "/props"))
    file = text(props.get("model_path")) if len(rows) == 1 else ""
    context = whole(mapping(props.get("default_generation_settings")).get("n_ctx"))
    models = [llama_cpp_model(row, file, context) for row in rows]
    return Seen(models, whole(props.get("total_slots")))


def llama_cpp_model(row: Json, file: str, context: int | None) -> Listed:
    """One row; any of its aliases, or its file, may say which model it is."""
    others = row.get("aliases")
    aliases = [alias for alias in others if isinstance(alias, str)] if isinstance(others, list) else []
    params = mapping(row.get("meta")).get("n_params")
    return Listed(
        id=text(row.get("id")),
        also=tuple(name for name in (*aliases, file) if name),
        context=context,
        size=params / 1e9 if isinstance(params, int | float) else None,
        capabilities=("json_schema", "logprobs"),
    )


def lmstudio(answers: Answers) -> Seen | None:
    """LM Studio lists its models with their format and state, under a path of its own."""
    rows = listed(answers, "/api/v0/models")
    if rows is None or not all("compatibility_type" in row and "state" in row for row in rows):
        return None
    return Seen([lmstudio_model(row) for row in rows if row.get("type") in ("llm", "vlm")])


def lmstudio_model(row: Json) -> Listed:
    """One row; a model that is not loaded yet will be with a small context."""
    most, loaded = whole(row.get("max_context_length")), whole(row.get("loaded_context_length"))
    can = row.get("capabilities")
    tools = ("tools",) if isinstance(can, list) and "tool_use" in can else ()
    return Listed(
        id=text(row.get("id")),
        precision=text(row.get("quantization")) or None,
        context=loaded or min(most or UNLOADED_CONTEXT, UNLOADED_CONTEXT),
        capabilities=("json_schema", *tools, *(("vision",) if row.get("type") == "vlm" else ())),
    )


def ogx(answers: Answers) -> Seen | None:
    """OGX, once Llama Stack, owns its models or lists them in its older shape; it may pass on to hosted providers."""
    rows = listed(answers, MODELS)
    if not rows or not version(answers, "/v1/version"):
        return None
    if not (owned(rows, "ogx", "llama_stack") or all("identifier" in row and "provider_id" in row for row in rows)):
        return None
    facts = [{**row, **mapping(row.get("custom_metadata"))} for row in rows]
    chat = [row for row in facts if row.get("model_type", "llm") == "llm"]
    here = [row for row in chat if ogx_provider(row).startswith(BESIDE)]
    away = len(chat) - len(here)
    notes = (f"Models of OGX left out: {away}, whose answers it gets elsewhere.",) if away else ()
    return Seen([Listed(ogx_id(row), (text(row.get("provider_resource_id")),)) for row in here], notes=notes)


def ogx_id(row: Json) -> str:
    """The id, in either shape."""
    return text(row.get("id")) or text(row.get("identifier"))


def ogx_provider(row: Json) -> str:
    """Which of its providers serves a model: where it does not say, ids begin with it."""
    return (text(row.get("provider_id")) or ogx_id(row).partition("/")[0]).lower()


PROBES = (
    Probe("ollama", "Ollama", "ollama", 11434, ("/", "/api/version", "/api/tags", MODELS), ollama),
    Probe("vllm", "vLLM", "vllm", 8000, ("/version", MODELS), vllm),
    Probe("llama-cpp", "llama.cpp", "llama_cpp", 8080, ("/health", "/props", MODELS), llama_cpp),
    Probe("lmstudio", "LM Studio", "lmstudio", 1234, ("/api/v0/models", MODELS), lmstudio),
    Probe("ogx", "OGX", "ogx", 8321, ("/v1/version", MODELS), ogx),
)
ADDRESSES: Mapping[str, str] = {probe.name: f"http://127.0.0.1:{probe.port}" for probe in PROBES}


def billions(size: str) -> float | None:
    """`8.0B`, `137M` in billions of parameters; None for anything else."""
    units = {"B": 1.0, "M": 1e-3}
    try:
        value = float(size[:-1]) * units[size[-1:].upper()]
    except (ValueError, KeyError):
        return None
    return value if 0 < value < 1e6 else None
