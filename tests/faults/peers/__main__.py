"""`python -m tests.faults.peers`: LiteLLM's proxy and Portkey's gateway through the sixteen faults, beside ours.

Installs both into build/peers. Every request is given up after 60 s; a column takes about 80 s.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench.peers import BUILD
from tests.faults.failover_bench import FAULTS, STREAM, Fault, cells, seen_of
from tests.faults.peers.report import as_json, markdown
from tests.faults.peers.stage import HUNG, Judged, judged
from tests.faults.peers.systems import SYSTEMS
from tests.faults.runner import staged

OURS = "llama-gateway"


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.peers", description=__doc__)
    names = [OURS, *SYSTEMS]
    parser.add_argument("--systems", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    parser.add_argument("--only", nargs="+", default=[], metavar="S08", help="these faults alone")
    parser.add_argument("--repeats", type=int, default=3, help="of each fault, all at once (3)")
    parser.add_argument("--out", type=Path, default=BUILD / "peers-faults", help="writes OUT.md and OUT.json")
    return parser.parse_args()


async def ours(faults: tuple[Fault, ...], repeats: int, folder: Path) -> dict[str, Judged]:
    """The same for our gateway."""
    asked = tuple(replace(fault, forms=(STREAM,)) for fault in faults)
    stage = await staged(cells(asked, repeats), folder, 1.0)
    stage.hung = HUNG
    try:
        found = await asyncio.gather(*(seen_of(stage, fault, repeats, timed=True) for fault in asked))
    finally:
        await stage.close()
    return {
        fault.id: ([fault.judge(one) for one in seen[STREAM]], max(one.slowest() for one in seen[STREAM]))
        for fault, seen in zip(asked, found, strict=True)
    }


async def column(name: str, faults: tuple[Fault, ...], repeats: int) -> dict[str, Judged]:
    """One gateway through all faults; raises RuntimeError when it cannot be had."""
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        if name == OURS:
            return await ours(faults, repeats, Path(folder))
        if reason := SYSTEMS[name].peer.install():
            raise RuntimeError(reason)
        return await judged(SYSTEMS[name], faults, repeats, Path(folder))


def facts(columns: Mapping[str, object], repeats: int) -> dict[str, str]:
    """When, how often, and which versions."""
    found = {SYSTEMS[name].peer.package.partition("[")[0]: SYSTEMS[name].peer for name in columns if name in SYSTEMS}
    versions = {package.partition("@1")[0]: peer.version() for package, peer in found.items()}
    mine = {OURS: version("llama-gateway")} if OURS in columns else {}
    return {"measured": f"{datetime.now(UTC):%Y-%m-%d}", "repeats": str(repeats), **mine, **versions}


async def main(asked: argparse.Namespace) -> int:
    """Run all, one after the other; print and write; 1 if one could not be run."""
    faults = tuple(fault for fault in FAULTS if not asked.only or fault.id in asked.only)
    columns: dict[str, dict[str, Judged]] = {}
    problems: dict[str, str] = {}
    for name in asked.systems:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            columns[name] = await column(name, faults, asked.repeats)
        except (RuntimeError, OSError) as error:
            problems[name] = str(error)
    told = facts(columns, asked.repeats)
    text = markdown(columns, faults, told) + "".join(
        f"\n{name} could not be run: {why}\n" for name, why in problems.items()
    )
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{asked.out}.md").write_text(text)
    Path(f"{asked.out}.json").write_text(as_json(columns, told, problems))
    print(text)
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(asyncio.run(main(arguments())))
