"""`llama-gateway up`: no configuration; serves what this machine and the environment have, or a demo."""

import os
import sys
from contextlib import AsyncExitStack
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.api.hosts import is_loopback
from gateway.app import Doors
from gateway.catalogue import Catalogue
from gateway.cli.flags import with_flags
from gateway.cli.start import FAILED, CannotStart, Started, doors, run, serve
from gateway.cli.tables import print_demo, print_found
from gateway.config.live import LivePolicy
from gateway.config.loading import read
from gateway.config.settings import Settings, SettingsError
from gateway.demo.fleet import DemoError, DemoFleet, RunningServer, ServerSpec
from gateway.fleet.annotated import DemoBackend, demo_text, policy_text
from gateway.fleet.discovery import discover
from gateway.fleet.table import retiring
from gateway.policytools.check import render
from gateway.telemetry.redaction import Redaction

TOY = "gateway.demo.provider:Toy"
# The demo's models with their slots and US dollars per million tokens: unlike one another, so that routing shows.
DEMO = (("llama-3.2-1b-instruct", 4, 0.06), ("llama-3.1-8b-instruct", 4, 0.22), ("llama-3.3-70b-instruct", 2, 0.72))
QUESTION = '{"model": "auto", "stream": true, "messages": [{"role": "user", "content": "What does a gateway do?"}]}'


def up(
    *,
    host: Annotated[str | None, Parameter(help="Where callers connect; else GATEWAY_HOST.")] = None,
    port: Annotated[int | None, Parameter(help="Else GATEWAY_PORT, 4080.")] = None,
    admin_host: Annotated[str | None, Parameter(help="Else GATEWAY_ADMIN_HOST.")] = None,
    admin_port: Annotated[int | None, Parameter(help="Else GATEWAY_ADMIN_PORT, 4081.")] = None,
    write: Annotated[Path | None, Parameter(help="Save what was found as a policy file with comments.")] = None,
    demo: Annotated[bool, Parameter(help="Start the demo fleet without looking around.", negative=())] = False,
) -> int:
    """The verb `up`; its exit code."""
    try:
        settings = with_flags(Settings.from_env(os.environ), None, host, port, admin_host, admin_port)
        check_loopback(settings)
        opened = doors(settings)
    except (SettingsError, CannotStart) as exc:
        print(exc, file=sys.stderr)
        return FAILED
    return run(lambda hidden: look_and_serve(settings, opened, write, demo, hidden), settings)


def check_loopback(settings: Settings) -> None:
    """Raises CannotStart for an open address: what `up` makes has no callers, so it would let everybody in."""
    if not is_loopback(settings.host):
        raise CannotStart(
            f"`up` serves this machine only, and {settings.host} is open to others. Save what it finds with "
            "`llama-gateway up --write FILE`, add `callers:` to it, and run `llama-gateway serve --policy FILE`."
        )


async def look_and_serve(settings: Settings, opened: Doors, write: Path | None, demo: bool, hidden: Redaction) -> None:
    """Look around, then serve until the end; the demo's servers end with it."""
    catalogue, today = Catalogue.load(), datetime.now(UTC).date()
    async with AsyncExitStack() as stack:
        text = None if demo else await found_text(catalogue, today)
        if text is None:
            backends = await demo_backends(stack, settings.state_dir)
            text = demo_text(backends)
            print_demo(backends, demo, sys.stdout)
        live = policy_of(text, catalogue, today)
        if write is not None:
            save(write, text)
        await serve(settings, live, opened, tell, hidden)


async def found_text(catalogue: Catalogue, today: date) -> str | None:
    """The policy of what is there, printed as a table on the way; None when nothing is."""
    discovery = await discover(os.environ, catalogue, today)
    print_found(discovery, today, sys.stdout)
    if line := retiring(discovery, today, catalogue):
        print(line)
    return policy_text(discovery, today) if discovery.found else None


async def demo_backends(stack: AsyncExitStack, state: Path) -> list[DemoBackend]:
    """The running demo fleet; raises CannotStart."""
    specs = tuple(ServerSpec(f"demo-{index}", (model,), slots) for index, (model, slots, _) in enumerate(DEMO, 1))
    fleet = DemoFleet()
    stack.push_async_callback(fleet.stop)
    try:
        servers = await fleet.start(specs, state / "demo")
    except (DemoError, OSError) as exc:
        kept = f"The demo keeps its model and logs in {state / 'demo'}; GATEWAY_STATE_DIR names another directory."
        raise CannotStart(f"{exc}\n{kept}") from exc
    return [demo_backend(server, price) for server, (_, _, price) in zip(servers, DEMO, strict=True)]


def demo_backend(server: RunningServer, price: float) -> DemoBackend:
    """One of the demo's servers as a backend; the price is for tokens in and out."""
    spec = server.spec
    return DemoBackend(spec.name, server.url, spec.models[0], spec.slots, spec.context, price, price, TOY)


def policy_of(text: str, catalogue: Catalogue, today: date) -> LivePolicy:
    """The policy of a text that was just made; raises CannotStart with its errors."""
    loaded = read(text.encode(), "the policy that was made", os.environ, catalogue, today)
    if loaded.policy is None:
        raise CannotStart(render(loaded.problems, "text", sys.stderr.isatty()).rstrip())
    return LivePolicy(loaded)


def save(path: Path, text: str) -> None:
    """Write the policy to a new file; raises CannotStart rather than overwrite one."""
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError as exc:
        raise CannotStart(f"{path} exists; remove it or give another name to --write.") from exc
    except OSError as exc:
        raise CannotStart(f"{path} cannot be written ({exc.strerror}).") from exc
    print(f"Saved as {path}; serve it with: llama-gateway serve --policy {path}")


def tell(started: Started) -> None:
    """Say where the gateway is and how to ask it something."""
    print(f"\nServing on {started.data}/v1, admin and metrics on {started.admin} (Ctrl-C ends it). Try:\n")
    print(f"  curl -N {started.data}/v1/chat/completions -H 'content-type: application/json' \\\n    -d '{QUESTION}'\n")
    if started.admin_key:
        print(f"Admin key of this run (set GATEWAY_ADMIN_KEY to keep one): {started.admin_key}")
    sys.stdout.flush()
