"""No proxy at all: the upstream itself, the zero that added latency is counted from."""

from collections.abc import Sequence
from pathlib import Path

from .base import Launch


class Direct:
    """The caller speaks to the upstream."""

    name = "direct"

    def prepare(self) -> None:
        """Nothing is needed."""

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Return the upstream's own port."""
        return Launch(argv=(), port=ports[0])
