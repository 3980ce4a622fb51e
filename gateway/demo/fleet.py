"""The demo fleet: real llama.cpp servers in child processes, all of them serving the toy model.

DemoError
├── DemoUnavailable   this machine cannot run it
└── ServerFailed      it can, but this time something did not start
"""

import asyncio
import contextlib
import hashlib
import re
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx

from gateway.demo.llama_server import Settings

START: Final = 30.0  # seconds until a server must answer
STOP: Final = 2.0  # seconds until a server is killed
TAIL: Final = 5  # lines of a log that an error quotes


class DemoError(Exception):
    """The demo fleet does not run; the message says why and what to do."""


class DemoUnavailable(DemoError):
    """This machine cannot run the demo fleet."""


class ServerFailed(DemoError):
    """A child process ended or stayed silent before it served."""


@dataclass(frozen=True, slots=True)
class ServerSpec:
    """One server to start: its name in logs and errors, the model names it answers to, its size."""

    name: str
    models: tuple[str, ...]
    slots: int = 4  # requests answered at once
    context: int = 8192  # tokens a slot
    embeddings: bool = False  # vectors of texts, and no answers


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answers, at `url` (without a path)."""

    spec: ServerSpec
    url: str
    pid: int


class DemoFleet:
    """Starts llama.cpp servers and ends them; they also end when this process does, however it does."""

    def __init__(self) -> None:
        self._processes: list[Process] = []

    async def start(self, specs: Iterable[ServerSpec], directory: Path) -> tuple[RunningServer, ...]:
        """The servers of `specs`, all answering (or DemoError, and none runs); model and logs are in `directory`."""
        require("xllamacpp")
        try:
            model = await written_model(directory)
            started = await asyncio.gather(*(self._run(spec, model) for spec in specs), return_exceptions=True)
            return tuple(_or_raise(server) for server in started)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End every server that `start` started."""
        processes, self._processes = self._processes, []
        await asyncio.gather(*map(_end, processes))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def _run(self, spec: ServerSpec, model: Path) -> RunningServer:
        log = model.with_name(re.sub(r"[^\w.-]", "-", spec.name) + ".log")
        settings = Settings(str(model), spec.models, slots=spec.slots, context=spec.context, embeddings=spec.embeddings)
        with log.open("wb") as errors:
            process = await _python("llama_server.py", settings.written(), stdout=PIPE, stderr=errors.fileno())
        self._processes.append(process)
        try:
            async with asyncio.timeout(START):
                url = await _address(process)
                await _healthy(url)
        except (EOFError, TimeoutError, httpx.HTTPError) as exc:
            raise ServerFailed(await _failure(spec, process, log)) from exc
        return RunningServer(spec, url, process.pid)


def require(module: str) -> None:
    """Raise DemoUnavailable unless `module` is installed."""
    if find_spec(module) is None:
        raise DemoUnavailable(
            f"The demo fleet needs the package {module}, which exists for Linux (x86-64, arm64) and macOS (arm64): "
            f"install it with `pip install {module}`, or start a real server (Ollama, vLLM, llama.cpp) instead."
        )


async def written_model(directory: Path) -> Path:
    """The toy model's file in `directory`: the one there, or a new one if it was written by another version of us."""
    path = directory / f"toy-llama-{_version()}.gguf"
    if not path.exists():
        for old in directory.glob("toy-llama-*.gguf"):
            with contextlib.suppress(OSError):  # some systems keep a file that somebody reads
                old.unlink()
        process = await _python("toy.py", str(path), stdout=DEVNULL, stderr=PIPE)
        _, complaint = await process.communicate()
        if process.returncode:
            raise ServerFailed(f"The toy model could not be written to {path}: {_last_lines(complaint)}")
    return path


def _version() -> str:
    """Changes whenever what the model is made of does."""
    parts = (Path(__file__).with_name(name).read_bytes() for name in ("toy.py", "toy.txt"))
    return hashlib.sha256(b"".join(parts)).hexdigest()[:8]


async def _python(script: str, argument: str, stdout: int, stderr: int) -> Process:
    path = str(Path(__file__).with_name(script))
    # -P: our neighbours' file names must not hide the standard library's.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-P", path, argument, stdin=PIPE, stdout=stdout, stderr=stderr
    )


async def _address(process: Process) -> str:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise EOFError
    return line.decode().strip()


async def _healthy(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False) as client:
        while (await client.get("/health")).status_code != httpx.codes.OK:
            await asyncio.sleep(0.05)


async def _failure(spec: ServerSpec, process: Process, log: Path) -> str:
    await _end(process)
    return (
        f"The demo server {spec.name} did not start (exit code {process.returncode}); "
        f"the end of {log}: {_last_lines(log.read_bytes()) or 'nothing'}"
    )


def _last_lines(text: bytes) -> str:
    return " | ".join(text.decode(errors="replace").strip().splitlines()[-TAIL:])


def _or_raise(server: RunningServer | BaseException) -> RunningServer:
    if isinstance(server, BaseException):
        raise server
    return server


async def _end(process: Process) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        async with asyncio.timeout(STOP):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
