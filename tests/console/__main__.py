"""Measures the console's first paint and size, and makes the README's pictures: `python -m tests.console [FOLDER]`."""

import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, sync_playwright

from tests.console.gateways import PAINT, WIRE, ask, serving
from tests.process import GatewayProcess
from tests.world import KEY, LARGE, SECRET, SMALL, backend, world

LOADS = 20
SECONDS = 45  # of traffic before the pictures
SHOTS = (("overview", 1280, 612, "light"), ("requests/{id}", 1280, 1060, "dark"), ("backends", 375, 700, "light"))


def pictured(urls: dict[str, str]) -> dict[str, Any]:
    """A policy like a real one, over the servers of a test world."""
    own = {"location": "self_hosted"}
    return {
        "version": 1,
        "backends": {
            "gpu-a": backend(urls["small"], SMALL, **own, limits={"concurrency": 16}),
            "gpu-b": backend(urls["large"], LARGE, **own, limits={"concurrency": 8}),
            "gpu-c": backend(urls["closed"], SMALL, **own),
            "together": backend(urls["shaky"], SMALL, "vllm", location="hosted", api_key=SECRET),
        },
        "routes": [
            {"name": "chat", "match": {"model": ["auto"]}, "models": [SMALL, LARGE], "prefer": ["gpu-c", "gpu-a"]},
            {"name": "large", "match": {"model": ["large"]}, "models": [LARGE], "cache": {"ttl": "1m"}},
        ],
        "callers": {"team-search": {"key": KEY}},
    }


@contextmanager
def pleasant() -> Iterator[GatewayProcess]:
    """A gateway that looks like a real one."""
    with tempfile.TemporaryDirectory() as folder, world(Path(folder)) as made:
        found = json.loads(made.policy.read_text())["backends"]
        with serving(pictured({name: found[name]["url"] for name in found}), Path(folder)) as gateway:
            yield gateway


def traffic(gateway: GatewayProcess, over: threading.Event) -> None:
    """Requests of several kinds, some of which fail."""
    names, number = ("auto", "auto", SMALL, "large", "auto", SMALL, LARGE, "llama-2-70b"), 0
    while not over.wait(0.05 + 0.1 * (number % 7 == 0)):
        number += 1
        ask(gateway, names[number % len(names)], f"Question {number % 40}", max_tokens=8 + number % 24)


def measure(browser: Browser, gateway: GatewayProcess) -> None:
    """First paint and bytes on the wire, each load with an empty cache."""
    paints, sizes = [], []
    for _ in range(LOADS):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{gateway.admin}/")
        page.locator("#live[data-state=on]").wait_for()
        paints.append(page.evaluate(PAINT))
        sizes.append(page.evaluate(WIRE))
        context.close()
    paints.sort()
    print(f"first paint: median {statistics.median(paints):.0f} ms, worst of {LOADS} {paints[-1]:.0f} ms")
    print(f"transferred: {max(sizes) / 1000:.1f} kB")


def shoot(browser: Browser, gateway: GatewayProcess, folder: Path) -> None:
    """The pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    over = threading.Event()
    asking = threading.Thread(target=traffic, args=(gateway, over))
    asking.start()
    time.sleep(SECONDS)
    id = failed_over(gateway)
    for where, width, height, scheme in SHOTS:
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]  # a word of Playwright's
        page = context.new_page()
        page.goto(f"{gateway.admin}/#/{where.format(id=id)}")
        page.locator("#live[data-state=on]").wait_for()
        page.wait_for_timeout(2500)
        page.screenshot(path=str(folder / f"{where.split('/')[0]}.png"))
        context.close()
    over.set()
    asking.join()


def failed_over(gateway: GatewayProcess) -> str:
    """The id of a request that took more than one attempt; the latest one where none did."""
    rows = httpx.get(f"{gateway.admin}/admin/requests?limit=1000", timeout=30).json()
    again = (row["id"] for row in rows if row["attempts"] > 1 and row["outcome"] == "success")
    return str(next(again, rows[0]["id"]))


def main(arguments: list[str]) -> None:
    """Measure; with a folder also make pictures there."""
    with pleasant() as gateway, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        measure(browser, gateway)
        if arguments:
            shoot(browser, gateway, Path(arguments[0]))
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
