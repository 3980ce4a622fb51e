"""The gateway as its users run it: a process of its own."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from types import TracebackType

COMMAND = Path(sys.executable).with_name("llama-gateway")
START_SECONDS = 30
ADMIN_KEY = "admin-key-of-the-tests-0123456789abcdef"


class GatewayProcess:
    """`llama-gateway VERB ...` on ports that the system chooses; everything it prints is kept."""

    def __init__(
        self,
        *arguments: str,
        env: dict[str, str] | None = None,
        before: tuple[str, ...] = (),
        command: Path = COMMAND,
    ) -> None:
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OTEL_"))}
        self.state = tempfile.TemporaryDirectory(prefix="gateway-state-", ignore_cleanup_errors=True)
        usual = {"GATEWAY_ADMIN_KEY": ADMIN_KEY, "GATEWAY_DRAIN_ACCEPT_SECONDS": "0", "GATEWAY_HEALTH_CHECKS": "off"}
        self.process = subprocess.Popen(
            [*before, str(command), *arguments, "--port", "0", "--admin-port", "0"],
            env={**clean, "GATEWAY_STATE_DIR": self.state.name, **usual, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.printed: list[str] = []
        self.data = self.admin = ""
        self.started = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self) -> None:
        """Keep what it prints; note where it listens."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed.append(line)
            if found := re.search(r"[Ss]erv(?:es|ing) on (http://[\d.:]+).*(http://[\d.:]+)", line):
                self.data, self.admin = found.group(1), found.group(2)
                self.started.set()
        self.started.set()

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return "".join(self.printed)

    def __enter__(self) -> "GatewayProcess":
        """Wait until it listens."""
        if not self.started.wait(START_SECONDS) or not self.data:
            self.process.kill()
            raise RuntimeError(f"The gateway did not start:\n{self.output}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it as an operator would."""
        self.stop()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.reader.join(START_SECONDS)
        self.state.cleanup()
        return code


def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """A verb that ends by itself."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("GATEWAY_", "OTEL_"))}
    with tempfile.TemporaryDirectory(prefix="gateway-state-") as state:
        return subprocess.run(
            [str(COMMAND), *arguments],
            env={**clean, "GATEWAY_STATE_DIR": state, **(env or {})},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
