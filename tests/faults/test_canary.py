"""Secrets go nowhere but to their upstream, whatever breaks: not into logs, metrics, files, stores or answers."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import redis

from gateway.routing.policy import key_digest
from tests.background import Background
from tests.faults.conftest import Running
from tests.faults.exchange import Attempt, Exchange
from tests.faults.policies import KEY, SECRET, alone, pair, policy
from tests.faults.runner import PATIENCE, Stage
from tests.faults.speech import OpenAI, Said, sse
from tests.faults.wall import Wall
from tests.faults.wire import Request, Wire
from tests.process import GatewayProcess
from tests.redis_server import RedisServer

SCALE = 0.05
SECONDS = 200  # for all of it, on a busy machine
HEADER = 'canary-header-"q\\b/é+&-71c2d95ae0f34b68'
PROXY = "canary-proxy-password-4d81b07f"
STORE = "canary-store-password-9f1c6e2b"
ADMIN = "canary-admin-key-e5b7a1904c3d2f68"
PEPPER = "canary-gateway-secret-0f9e8d7c6b5a49382716f5e4"
AWS = "canary/aws+secret/77f0aa31c9e24d58b6e0"
SESSION = "canary//aws+session/token==5be1d2c3f4a59687"
CALLER = "canary-second-caller-key-a8b7c6d5e4f3"
LATER = "canary-later-upstream-secret-60d1f2"  # of the policy that takes over
HIDDEN = (KEY, SECRET, HEADER, PROXY, STORE, ADMIN, PEPPER, AWS, SESSION, CALLER, LATER)
ENDS = 14  # characters of a secret that tell that it was cut
STATUSES = (400, 401, 403, 404, 408, 409, 413, 418, 422, 429, 451, 498, 500, 502, 503, 504, 529)
FAULTS = (
    *(f"status-{status}" for status in STATUSES),
    *("quota-429", "window-openai", "filtered", "gone", "ratelimit-600", "html-500", "mistyped", "truncated"),
    *("gzipped", "event-0", "event-5", "close-5", "cut-5", "malformed-5-2", "long-0", "short-20", "reset"),
    *("mute", "usage-none"),
)
ECHOES = ("heads", "model", "page", "json", "broken", "frame", "finish", "typed", "field", "cut", "ids")
KINDS = ("vllm", "groq", "together", "fireworks", "huggingface", "ollama", "bedrock")
OTHERS = ("status-401", "status-500", "event-5", "close-5", "heads", "page", "json", "broken", "cut")
SIGNED = "signed"  # cells whose backend has AWS's own credentials
CELLS = [
    *(alone(f"alone-{fault}", fault) for fault in (*FAULTS, *ECHOES)),
    *(pair(f"pair-{fault}", fault) for fault in ("status-401", "status-503", "event-0", "json", "broken")),
    *(alone(f"{kind}-{fault}", fault, kind) for kind in KINDS[1:] for fault in OTHERS),
    *(alone(f"{SIGNED}-{fault}", fault, "bedrock") for fault in OTHERS),
    alone("proxied", "ok"),
    alone("careless", "ok", "tests.faults.careless:Careless"),
]
ROOT = Path(__file__).parents[2]


class Echo(Wall):
    """A wall that quotes every header of a request wherever it can."""

    def noted(self, wire: Wire, request: Request) -> Attempt:
        """The attempt, with all that was sent with it."""
        attempt = super().noted(wire, request)
        quoted = {"authorization": request.headers.get("authorization", ""), **request.headers}
        attempt.secret = " ".join(value for name, value in quoted.items() if name not in ("host", "content-length"))
        return attempt

    async def play(self, exchange: Exchange, fault: str) -> None:
        """Quote it in a way of our own, or fail as usual."""
        if fault not in ECHOES:
            return await super().play(exchange, fault)
        with contextlib.suppress(ConnectionError):  # whoever sees a secret hangs up
            await quoted(exchange, fault, exchange.attempt.secret)
        exchange.attempt.over.set()
        exchange.wire.close()
        return None


async def quoted(x: Exchange, how: str, secret: str) -> None:
    """An answer that quotes a secret."""
    voice, said = OpenAI(), Said(x.attempt.model)
    error = {"error": {"message": "It failed.", "type": "server_error", "param": None, "code": "failed"}}
    ok = {**voice.top(said, "chat.completion"), "choices": []}
    flat = secret.encode("latin-1", "replace").decode("latin-1")
    if how == "heads":
        await x.body(429, json.dumps(error).encode(), flat, retry_after=flat, x_request_id=flat, server=flat)
    elif how == "model":
        await x.answer(model=secret)
    elif how == "page":
        await x.body(500, f"<html><body>{secret}</body></html>".encode(), "text/html")
    elif how == "json":
        fields = dict.fromkeys(("message", "type", "param", "code"), secret)
        await x.body(500, json.dumps({"error": fields, "detail": secret}, ensure_ascii=len(secret) % 2 == 0).encode())
    elif how == "broken":
        await x.body(200, f'{{"choices": "{secret}'.encode())
    elif how == "frame":
        await x.head()
        await x.send(f'data: {{"{secret}\n\ndata: {secret}\n\nevent: {secret}\n\n'.encode())
        await x.finish()
    elif how == "finish":
        x.say(finish=secret)
        await x.begin()
        await x.speak(0)
    elif how == "typed":
        await x.body(200, b"?", flat)
    elif how == "field":
        await x.body(200, json.dumps({**ok, "error": secret, "object": secret}).encode())
    elif how == "cut":
        await x.body(400, json.dumps({"error": {"message": "x" * 380 + secret, "code": "bad"}}).encode())
    else:
        x.say()
        odd = {"id": secret, "system_fingerprint": secret, "service_tier": secret}
        x.frames[0] = sse({**voice.chunk(said, {"role": "assistant", "content": ""}), **odd})
        whole = json.dumps({**json.loads(voice.whole(said)), **odd}).encode()
        await (x.head() if x.stream else x.body(200, whole))
        if x.stream:
            await x.speak(0)


def written(url: str) -> str:
    """The policy, with each kind of credential in it."""
    text = json.loads(policy(CELLS, url, SCALE))
    for name, backend in text["backends"].items():
        backend["headers"] = {"x-credential": HEADER, "x-bearer": f"Bearer {SECRET}"}
        if name.startswith(SIGNED):
            del backend["api_key"]
        if name.startswith("proxied"):
            backend["proxy"] = url.replace("http://", f"http://user:{PROXY}@")
    text["callers"]["second"] = {"key": CALLER}
    return json.dumps(text)


@pytest.fixture(scope="module")
def store() -> Iterator[RedisServer]:
    """A Redis with a password."""
    with RedisServer("--requirepass", STORE, "--rdbcompression", "no") as server:
        yield server


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, store: RedisServer) -> Iterator[Running]:
    """The stage, all of whose secrets are canaries; its gateway says as much as it can."""
    file = tmp_path_factory.mktemp("canary") / "policy.yaml"
    with Background() as background:
        wall = background.run(Echo(SCALE).start())
        file.write_text(written(wall.url))
        env = {
            "GATEWAY_ADMIN_KEY": ADMIN,
            "GATEWAY_SECRET": PEPPER,
            "GATEWAY_STORE_URL": f"redis://:{STORE}@127.0.0.1:{store.port}/0",
            "GATEWAY_LOG_LEVEL": "debug",
            "PYTHONPATH": str(ROOT),
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": AWS,
            "AWS_SESSION_TOKEN": SESSION,
        }
        with GatewayProcess("serve", "--policy", str(file), env=env) as gateway:
            admin = httpx.AsyncClient(base_url=gateway.admin, timeout=PATIENCE)
            stage = Stage(wall, gateway, {cell.name: cell for cell in CELLS}, SCALE, admin, 0)
            yield Running(stage, background)
            background.run(admin.aclose())
        background.run(wall.stop())


def pieces() -> Iterator[tuple[str, str]]:
    """Each secret's name, and a text that gives it away."""
    for secret in HIDDEN:
        name = secret[:ENDS]
        yield from ((name, secret), (name, secret[:ENDS]), (name, secret[-ENDS:]))
    for key in (KEY, CALLER, ADMIN):
        yield from ((f"{key[:ENDS]} hashed", sha256(key.encode()).hexdigest()), (key[:ENDS], key_digest(key).hex()))


def found_in(places: dict[str, str]) -> list[str]:
    """What is where it must not be."""
    return [
        f"{name} in {place}: {text[max(0, at - 200) : at + 80]!r}"
        for (place, text), (name, piece) in itertools.product(places.items(), pieces())
        if (at := text.find(piece)) >= 0
    ]


async def everything_asked(stage: Stage) -> dict[str, str]:
    """Each route in both forms, a few at a time; what the callers got."""
    gate = asyncio.Semaphore(8)

    async def asked(name: str) -> tuple[str, str]:
        async with gate:
            both = await stage.both(name)
        return f"the answers of {name}", "".join(reply.raw.decode("utf-8", "replace") for reply in both)

    return dict(await asyncio.gather(*(asked(cell.name) for cell in CELLS)))


async def everything_shown(stage: Stage) -> dict[str, str]:
    """All pages of both planes that can be read, with the admin key and a caller's."""
    document = (await stage.admin.get("/admin/openapi.json")).json()
    ids = [row["id"] for row in (await stage.admin.get("/admin/requests", params={"limit": 1000})).json()]
    paths = [path for path, item in document["paths"].items() if "get" in item and "{" not in path]
    paths += [f"/admin/requests/{id}" for id in ids]
    paths += ["/admin/callers/tests", "/admin/callers/second", "/admin/callers/nobody", "/admin/requests/nothing"]
    pages = {}
    for path in paths:
        if not path.endswith("/events"):  # which never ends
            answer = await stage.admin.get(path, headers={"authorization": f"Bearer {ADMIN}"})
            pages[path] = answer.text + str(answer.headers)
    metrics = await stage.admin.get("/metrics", headers={"accept": "application/openmetrics-text"})
    wrong = await stage.admin.post("/admin/policy/reload", headers={"authorization": f"Bearer {ADMIN}x"})
    async with httpx.AsyncClient(base_url=stage.gateway.data, headers={"authorization": f"Bearer {KEY}"}) as caller:
        for path in ("/v1/models", "/readyz?verbose", f"/v1/models/{STORE[:4]}"):
            pages[path] = (await caller.get(path)).text
        refused = await caller.post("/v1/chat/completions", headers={"authorization": f"Bearer {CALLER}x"}, json={})
    return {**pages, "OpenMetrics": metrics.text, "a refusal": wrong.text, "a caller's refusal": refused.text}


def kept(gateway: GatewayProcess, store: RedisServer) -> dict[str, str]:
    """The files of the state directory, and all that is in the store."""
    files = [path for path in Path(gateway.state.name).rglob("*") if path.is_file()]
    client = redis.Redis(port=store.port, password=STORE)
    held = {f"the key {key!r}": repr(key) + (client.dump(key) or b"").decode("latin-1") for key in client.scan_iter()}
    return {**{str(path): path.read_bytes().decode("latin-1") for path in files}, **held}


async def changed(stage: Stage) -> str:
    """What a reload with another secret answers; a request that tells its own comes before and after it."""
    file = Path((await stage.admin.get("/admin/policy")).json()["file"])
    await stage.ask("careless")
    file.write_text(file.read_text().replace(SECRET, LATER))
    answer = await stage.admin.post("/admin/policy/reload", headers={"authorization": f"Bearer {ADMIN}"})
    assert answer.status_code == 200
    await stage.ask("careless")
    return answer.text


def test_no_secret_is_anywhere_after_every_fault(running: Running, store: RedisServer) -> None:
    stage = running.stage

    async def part() -> dict[str, str]:
        places = {**await everything_asked(stage), "the reload": await changed(stage)}
        await stage.rows()
        return {**places, **await everything_shown(stage)}

    places = asyncio.run_coroutine_threadsafe(part(), running.background.loop).result(SECONDS)
    told = "".join(attempt.secret for attempt in stage.wall.attempts)
    assert all(secret in told for secret in (SECRET, HEADER, SESSION))
    places |= kept(stage.gateway, store)
    assert any(place.endswith(".db") for place in places) and any(place.startswith("the key") for place in places)
    stage.gateway.stop()
    places["the log"] = log = stage.gateway.output
    assert log.count("request.answered") >= 2 * len(CELLS)
    assert "careless.called" in log and "in a thread: " in log and "in the request: " in log and "calls with " in log
    assert found_in(places) == []
