"""Writes the dashboards, or checks that those that are committed are what the code makes."""

import sys
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.source import backends, callers, hardware, models, overview, policy
from deploy.grafana.source.board import built

BOARDS = tuple(module.BOARD for module in (overview, backends, models, policy, hardware, callers))
WHERE = Path(__file__).parents[1] / "dashboards"


def files() -> dict[Path, str]:
    """What each file should hold."""
    return {
        WHERE / f"{board.file}.json": JSONEncoder(sort_keys=True, indent=2).encode(built(board)) + "\n"
        for board in BOARDS
    }


def stale() -> list[Path]:
    """The files that are not what the code makes, and those that it does not make."""
    made = files()
    wrong = [path for path, text in made.items() if not path.exists() or path.read_text() != text]
    return wrong + sorted(set(WHERE.glob("*.json")) - set(made))


def main(arguments: list[str]) -> int:
    """Write, or with `--check` say what is stale; the exit code."""
    if arguments == ["--check"]:
        for path in stale():
            sys.stderr.write(f"{path} is stale; run: python -m deploy.grafana.source\n")
        return 1 if stale() else 0
    WHERE.mkdir(exist_ok=True)
    for path, text in files().items():
        path.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
