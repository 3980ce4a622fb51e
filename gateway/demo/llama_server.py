"""One real llama.cpp server in a process of its own: `python -m gateway.demo.llama_server SETTINGS`, these as JSON.

It says its address on standard output, in one line, once the model is loaded. It lives as long as somebody holds its
standard input open: the operating system closes that also for a parent that was killed.
"""

import json
import os
import signal
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import xllamacpp  # type: ignore[import-untyped]  # a compiled module without stubs

HTTP_THREADS: Final = 64  # llama.cpp pins one to each open connection, idle or not


@dataclass(frozen=True, slots=True)
class Settings:
    """What to serve, and how."""

    path: str  # of the GGUF file
    models: tuple[str, ...]  # the names it answers to
    slots: int = 4  # requests answered at once
    context: int = 8192  # tokens a slot
    host: str = "127.0.0.1"
    port: int = 0  # 0: any free one
    threads: int = 1  # that compute; a toy gains nothing from more
    embeddings: bool = False  # vectors of texts, and no answers

    @classmethod
    def read(cls, text: str) -> "Settings":
        """The settings in a JSON object."""
        fields = json.loads(text)
        return cls(**{**fields, "models": tuple(fields["models"])})

    def written(self) -> str:
        """The JSON object that `read` reads."""
        return json.dumps(asdict(self))


def serve(settings: Settings) -> None:
    """Serve until standard input ends."""
    answer = _own_stdout()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle; it reaches the whole group
    server = _started(settings)
    os.write(answer, f"{server.listening_address}\n".encode())
    os.close(answer)
    sys.stdin.buffer.read()
    os._exit(0)  # the server's own end waits for requests in flight


def _own_stdout() -> int:
    """A descriptor of standard output that only we write to: what llama.cpp prints goes to standard error."""
    answer = os.dup(1)
    os.dup2(2, 1)
    return answer


def _started(settings: Settings) -> "xllamacpp.Server":
    from xllamacpp import Server

    try:
        return Server(_parameters(settings))
    except RuntimeError as exc:  # llama.cpp has just written the reason to standard error
        raise SystemExit(f"llama.cpp refused {settings.written()}") from exc


def _parameters(settings: Settings) -> "xllamacpp.CommonParams":
    from xllamacpp import CommonParams, llama_pooling_type

    params = CommonParams()
    params.model.path = settings.path
    params.model_alias = set(settings.models)
    params.hostnames = [settings.host]
    params.port = settings.port
    params.n_parallel = settings.slots
    params.n_ctx = settings.context * settings.slots
    params.n_threads_http = HTTP_THREADS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings.threads
    if settings.embeddings:
        params.embedding, params.pooling_type = True, llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
        params.n_ubatch = params.n_batch  # or a long text is refused
    params.use_jinja = True  # or tools are refused
    params.endpoint_metrics = params.endpoint_slots = True
    params.cache_ram_mib = 0  # old prompts, by default up to 8 GB of them
    params.n_gpu_layers = 0
    params.fit_params = params.warmup = params.ui = False
    params.verbosity = 1  # errors
    return params


if __name__ == "__main__":
    serve(Settings.read(sys.argv[1]))
