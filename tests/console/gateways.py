"""Gateways for a browser to look at: with text that would run as markup, and with many backends."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Browser, BrowserContext, Dialog, Page

from tests.process import GatewayProcess
from tests.world import KEY, SMALL, World, backend, world

MARKUP = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "\"'><svg/onload=alert(1)>",
    "javascript:alert(1)",
    "{{constructor.constructor('alert(1)')()}}",
    "</textarea><iframe srcdoc='<script>alert(1)</script>'>",
    "<a href=//evil.example>x</a>",
)
BACKENDS = 500
WIRE = """() => performance.getEntriesByType("resource").concat(performance.getEntriesByType("navigation"))
    .reduce((total, entry) => total + entry.transferSize, 0)"""
PAINT = """() => new Promise((done) => new PerformanceObserver((list) =>
    done(list.getEntriesByName("first-contentful-paint")[0].startTime)).observe({type: "paint", buffered: true}))"""


def odd_backend(id: str) -> dict[str, Any]:
    """A backend that knows its model by a name of its own."""
    made = backend("http://127.0.0.1:9", SMALL)
    return {**made, "models": {SMALL: {**made["models"][SMALL], "id": id}}}


def hostile(text: dict[str, Any]) -> dict[str, Any]:
    """The policy with markup wherever a policy may have any text: ids at the upstream, values of headers."""
    odd = {f"odd-{place}": odd_backend(name) for place, name in enumerate(MARKUP)}
    routes = [
        {"name": f"odd-{place}", "match": {"headers": {"x-odd": name}}, "models": [SMALL], "prefer": ["small"]}
        for place, name in enumerate(MARKUP)
    ]
    return {**text, "backends": {**text["backends"], **odd}, "routes": [*text["routes"], *routes]}


def crowded() -> dict[str, Any]:
    """A policy with many backends that are never asked."""
    named = {f"gpu-{place:03}": backend("http://127.0.0.1:9", SMALL) for place in range(BACKENDS)}
    return {"version": 1, "backends": named}


@contextmanager
def hostile_world(directory: Path) -> Iterator[tuple[World, GatewayProcess]]:
    """A world whose second gateway serves a policy with markup in it."""
    with world(directory) as made, serving(hostile(json.loads(made.policy.read_text())), directory) as gateway:
        yield made, gateway


@contextmanager
def serving(policy: dict[str, Any], directory: Path, **env: str) -> Iterator[GatewayProcess]:
    """A gateway of its own with that policy."""
    file = directory / "odd.yaml"
    file.write_text(json.dumps(policy, indent=1))
    env = {"GATEWAY_STATE_DIR": str(directory / "state"), **env}
    with GatewayProcess("serve", "--policy", str(file), env=env) as gateway:
        yield gateway


def own_address() -> str:
    """An address of this machine by which it does not know itself; nothing where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return ""
        found: str = sock.getsockname()[0]
    return "" if found.startswith("127.") else found


def ask(
    gateway: GatewayProcess, model: str = "auto", text: str = "Hello", odd: str = "", **more: Any
) -> httpx.Response:
    """One request of a caller, with a header that routes match on; keys of `more` go into the body."""
    body = {"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 8, **more}
    headers = {"authorization": f"Bearer {KEY}", **({"x-odd": odd} if odd else {})}
    return httpx.post(f"{gateway.data}/v1/chat/completions", json=body, headers=headers, timeout=60)


class Seen:
    """Pages of a browser, and all that it complains of: errors of scripts, of the console, of the content policy."""

    def __init__(self, browser: Browser) -> None:
        self.browser = browser
        self.contexts: list[BrowserContext] = []
        self.complaints: list[str] = []
        self.dialogs: list[str] = []
        self.expected: tuple[str, ...] = ()

    def open(
        self,
        gateway: GatewayProcess,
        where: str = "",
        width: int = 1280,
        scheme: Any = "light",
        key: str = "",
        state: str = "on",
    ) -> Page:
        """A page of the console, in a context of its own; with the admin key where one is given."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        self.contexts.append(context)
        page = context.new_page()
        page.on("console", lambda said: self.complain(said.type, said.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", self.dismiss)
        if key:
            page.add_init_script(f"sessionStorage.setItem('llama-gateway-admin-key', {json.dumps(key)})")
        page.goto(f"{gateway.admin}/#/{where}")
        page.locator(f"#live[data-state={state}]").wait_for()
        return page

    def dismiss(self, dialog: Dialog) -> None:
        """Close a dialog that nobody has asked for, and keep what it said."""
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def complain(self, kind: str, text: str) -> None:
        """Keep an error or a warning, unless it was expected."""
        if kind in ("error", "warning") and not any(words in text for words in self.expected):
            self.complaints.append(text)

    def close(self) -> None:
        """Close all; nothing was wrong."""
        for context in self.contexts:
            context.close()
        assert (self.complaints, self.dialogs) == ([], [])
