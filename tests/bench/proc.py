"""Processes as Linux shows them in /proc: who they are, the CPU they used, the memory they hold."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """Return the fields of /proc/PID/stat from the third on (the second, a name, may contain anything)."""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2 :].split()


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return user + system time the processes have used since they started, with a resolution of one tick."""
    fields = [_stat(pid) for pid in pids]
    return sum(int(f[11]) + int(f[12]) for f in fields) / TICKS_PER_SECOND


def resident_mb(pids: Iterable[int]) -> float:
    """Return the sum of VmRSS in MiB; pages shared between the processes count once for each."""
    lines = [line for pid in pids for line in Path(f"/proc/{pid}/status").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _parents() -> dict[int, int]:
    """Return the parent of every process that is still there."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int(_stat(int(entry.name))[1])
            except (FileNotFoundError, ProcessLookupError):
                continue  # it ended while we were looking
    return parents


def family(root: int) -> tuple[int, ...]:
    """Return a process and all its descendants."""
    parents, found = _parents(), [root]
    for pid in found:  # grows while it is read: children of children
        found += [child for child, parent in parents.items() if parent == pid]
    return tuple(found)


def cores() -> tuple[int, int]:
    """Return the core for the target and the core for load and upstream; the same one where there is but one."""
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[0], allowed[-1]


def free_port() -> int:
    """Return a port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def pinned(core: int, argv: Sequence[str]) -> list[str]:
    """Return the command that runs another on one core, under the same process id."""
    return ["taskset", "-c", str(core), *argv]


def spawn(argv: Sequence[str], core: int, env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a process of its own session on one core, with its output in a file."""
    with log.open("wb") as out:
        return subprocess.Popen(
            pinned(core, argv),
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], grace_seconds: float = 10) -> None:
    """End a process started by `spawn`, politely first, and whatever is left of its session after that."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    with contextlib.suppress(ProcessLookupError):  # nothing is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
