"""A policy that is written again and again under load: no request fails, and each sees one version of it."""

import asyncio
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.process import ADMIN_KEY, GatewayProcess
from tests.providers.raw import Exchange, RawServer
from tests.world import KEY, World

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}
PACE = 0.1  # seconds between two writes
CALLERS = 3
PATIENCE = 60  # seconds no test needs


class Caller:
    """Asks one thing after another, and keeps what each answer says of the policy."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.over = threading.Event()
        self.seen: list[tuple[int, str, str]] = []
        self.threads = [threading.Thread(target=self.work) for _ in range(CALLERS)]

    def work(self) -> None:
        """Until it is over."""
        with httpx.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=PATIENCE) as client:
            stream = False
            while not self.over.is_set():
                messages = [{"role": "user", "content": "What does a gateway do?"}]
                body = {"model": "auto", "max_tokens": 2, "stream": stream, "messages": messages}
                answer = client.post(f"{self.url}/v1/chat/completions", json=body)
                whole = not stream or answer.text.endswith("data: [DONE]\n\n")
                headers = answer.headers
                status = answer.status_code if whole else 0
                self.seen.append((status, headers.get("x-gateway-policy", ""), headers.get("x-gateway-route", "")))
                stream = not stream

    @contextmanager
    def asking(self) -> Iterator[None]:
        """The same beside the block."""
        for thread in self.threads:
            thread.start()
        try:
            yield
        finally:
            self.over.set()
            for thread in self.threads:
                thread.join()


class Editor:
    """Everything that people and machines do to a policy file."""

    def __init__(self, path: Path, first: str, second: str) -> None:
        self.path = path
        self.texts = (first, second)
        self.turn = 0

    def next(self) -> str:
        """The other one of two good policies."""
        self.turn += 1
        return self.texts[self.turn % 2]

    def rename(self, text: str) -> None:
        """Write beside, put into place."""
        beside = self.path.with_suffix(".new")
        beside.write_text(text)
        beside.rename(self.path)

    def link(self, text: str) -> None:
        """Put a link into place."""
        target = self.path.with_name(f"policy-{self.turn}.yaml")
        target.write_text(text)
        beside = self.path.with_suffix(".link")
        beside.symlink_to(target.name)
        beside.rename(self.path)

    def steps(self) -> list[Callable[[], object]]:
        """One thing after another."""
        return [
            lambda: self.rename(self.next()),
            lambda: self.path.write_text(self.next()),
            lambda: self.path.write_text(self.next()[: len(self.texts[0]) * 2 // 3]),
            lambda: self.rename(self.next()),
            lambda: self.rename("version: 1\nbackends: {a: {provider: vlm}}\n"),
            lambda: self.path.unlink(),
            lambda: self.rename(self.next()),
            lambda: self.path.write_text(""),
            lambda: self.link(self.next()),
        ]


def versions(whole: World) -> tuple[str, str]:
    """Two policies in which the same name leads to routes of different names."""
    policy: dict[str, Any] = json.loads(whole.policy.read_text())
    texts = []
    for name in ("first", "second"):
        routes = [{**route, "name": name} if route["name"] == "auto" else route for route in policy["routes"]]
        callers = {**policy["callers"], "limited": {"key": policy["callers"]["limited"]["key"], "routes": [name]}}
        texts.append(json.dumps({**policy, "routes": routes, "callers": callers}))
    return texts[0], texts[1]


def generation(text: str) -> str:
    """The generation of a policy of one file."""
    return sha256(text.encode()).hexdigest()[:12]


def reload(whole: World) -> int:
    """Reload as an operator would; the status."""
    return httpx.post(f"{whole.gateway.admin}/admin/policy/reload", headers=ADMIN, timeout=PATIENCE).status_code


@pytest.mark.parametrize("writes", [20, pytest.param(180, marks=pytest.mark.soak)])
def test_no_request_fails_while_the_policy_is_written_ten_times_a_second(whole: World, writes: int) -> None:
    texts = versions(whole)
    editor, caller = Editor(whole.policy, *texts), Caller(whole.gateway.data)
    editor.rename(texts[0])
    assert reload(whole) == 200
    steps = editor.steps()
    with caller.asking():
        for number in range(writes):
            steps[number % len(steps)]()
            if number % len(steps) in (0, 3, 6):
                assert reload(whole) == 200
            elif number % len(steps) == 5:
                whole.gateway.process.send_signal(signal.SIGHUP)
            time.sleep(PACE)
    editor.rename(texts[1])
    assert reload(whole) == 200
    assert set(caller.seen) == {(200, generation(texts[0]), "first"), (200, generation(texts[1]), "second")}
    found = httpx.get(f"{whole.gateway.admin}/admin/policy").json()
    assert (found["generation"], found["problems"]) == (generation(texts[1]), [])
    assert "Traceback" not in whole.gateway.output


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
STREAMS = 100


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    """A chunk of a stream, framed."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    body = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "x", "choices": [choice]}
    data = f"data: {json.dumps(body)}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


END = event({}, "stop") + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def one_backend(name: str, url: str) -> str:
    """A policy of one backend."""
    models = {"llama-3.1-8b-instruct": {"id": "x"}}
    return json.dumps({"version": 1, "backends": {name: {"provider": "vllm", "url": url, "models": models}}})


async def read(client: httpx.AsyncClient, url: str) -> tuple[str, str]:
    """A stream to its end, and the backend it came from."""
    body = {"model": "llama-3.1-8b-instruct", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    answer = await client.post(f"{url}/v1/chat/completions", json=body, timeout=PATIENCE)
    return answer.headers["x-gateway-backend"], answer.text


@pytest.mark.asyncio
async def test_streams_of_a_backend_that_a_reload_removes_go_on_to_their_end(tmp_path: Path) -> None:
    go, begun = asyncio.Event(), asyncio.Semaphore(0)

    async def held(exchange: Exchange) -> None:
        await exchange.send(HEAD + event({"role": "assistant", "content": "Hello"}))
        begun.release()
        await go.wait()
        await exchange.send(event({"content": " world"}) + END)

    async def quick(exchange: Exchange) -> None:
        await exchange.send(HEAD + event({"role": "assistant", "content": "Hi"}) + END)

    file = tmp_path / "policy.yaml"
    limits = httpx.Limits(max_connections=None)
    async with asyncio.timeout(PATIENCE), RawServer(held) as old, RawServer(quick) as new:
        file.write_text(one_backend("old", old.url))
        gateway = await asyncio.to_thread(GatewayProcess("serve", "--policy", str(file)).__enter__)
        try:
            async with httpx.AsyncClient(limits=limits, timeout=PATIENCE) as client:
                streams = [asyncio.create_task(read(client, gateway.data)) for _ in range(STREAMS)]
                for _ in range(STREAMS):
                    await begun.acquire()
                file.write_text(one_backend("new", new.url))
                answer = await client.post(f"{gateway.admin}/admin/policy/reload", headers=ADMIN)
                assert answer.status_code == 200
                backend, text = await read(client, gateway.data)
                assert (backend, "Hi" in text) == ("new", True)
                assert len(old.exchanges) == STREAMS
                go.set()
                for backend, text in await asyncio.gather(*streams):
                    assert (backend, " world" in text, text.endswith("data: [DONE]\n\n")) == ("old", True, True)
                for _ in range(STREAMS):
                    await old.ended.acquire()
        finally:
            await asyncio.to_thread(gateway.stop)
