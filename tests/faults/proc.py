"""What the kernel says of a process."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

STATE = "/gateway-state-"  # in the path of a state directory, whose files stay open once they are


def fds(pid: int) -> int:
    """Open files, without those of the state directory."""
    return sum(STATE not in name for name in opened(pid))


def opened(pid: int) -> Iterator[str]:
    """What the open files of a process are."""
    for file in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since
            yield str(file.readlink())


def resident(pid: int) -> int:
    """Bytes of memory in use."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) << 10
    return 0
