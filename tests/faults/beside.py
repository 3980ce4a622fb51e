"""A wall in a process of its own, which can be stopped, continued and killed."""

import signal
import subprocess
import sys
from types import TracebackType


class Beside:
    """Started with the test, ended with it; `url` says where it listens."""

    def __init__(self, scale: float) -> None:
        command = [sys.executable, "-m", "tests.faults.wall", str(scale)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.url = ""

    def __enter__(self) -> "Beside":
        """Wait until it listens."""
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError("The wall beside did not start.")
        return self

    def send(self, number: signal.Signals) -> None:
        """Stop, continue or kill it."""
        self.process.send_signal(number)

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it, also when it is stopped."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
