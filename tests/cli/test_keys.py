"""`llama-gateway keys`: a gateway that runs follows what is created, rotated and revoked."""

import asyncio
import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import pytest

from gateway.cli.main import app
from gateway.config.keys import Keys, NewCallerSpec
from gateway.stores.callers import CALLER_KEYS, FileCallers, StoredCaller
from gateway.stores.secret import derived, secret_of
from gateway.stores.state import StateFile
from tests.process import ADMIN_KEY, GatewayProcess, run
from tests.redis_server import RedisServer

POLICY = """version: 1
backends:
  a: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
routes:
  - {name: chat, match: {model: [auto]}, models: [llama-3.1-8b-instruct]}
teams:
  research: {limits: {rpm: 50}}
"""
BODY = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
KEY = re.compile(r"^lg-[\w-]{43}\n$")
LOOKS = 3000  # each is a request; the gateway looks for changes once a second


class Place:
    """A state directory and a policy in a directory of their own."""

    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch) -> None:
        self.capsys = capsys
        self.patch = patch
        self.env = {"GATEWAY_STATE_DIR": str(directory / "state")}
        self.policy = directory / "policy.yaml"
        self.policy.write_text(POLICY)

    def keys(self, *arguments: str) -> str:
        """What `keys` prints to those who pipe it on."""
        ended = run("keys", *arguments, env=self.env)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def refused(self, *arguments: str, env: dict[str, str] | None = None) -> str:
        """The sentence with which `keys` refuses, in this process."""
        for name, value in {**self.env, **(env or {})}.items():
            self.patch.setenv(name, value)
        self.capsys.readouterr()
        code = app()(["keys", *arguments], result_action="return_value", exit_on_error=False)
        said = self.capsys.readouterr()
        assert (code, said.out) == (2, "")
        return said.err

    def given(self, name: str) -> None:
        """Make a caller without a process."""
        secret = secret_of(None, self.state.path.parent)
        keys = Keys(FileCallers(self.state), derived(secret, CALLER_KEYS))
        asyncio.run(keys.create(NewCallerSpec(name=name), None))

    def kept(self) -> list[StoredCaller]:
        """Who has a key."""
        return asyncio.run(FileCallers(self.state).all())

    @property
    def state(self) -> StateFile:
        """The state file."""
        return StateFile.open(Path(self.env["GATEWAY_STATE_DIR"]))

    def gateway(self, *arguments: str) -> GatewayProcess:
        """A gateway in this place."""
        return GatewayProcess("serve", "--policy", str(self.policy), *arguments, env=self.env)


@pytest.fixture
def place(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Place:
    for name in [name for name in os.environ if name.startswith("GATEWAY_")]:
        monkeypatch.delenv(name)
    return Place(tmp_path, capsys, monkeypatch)


@pytest.fixture
def gateway(place: Place) -> Iterator[GatewayProcess]:
    with place.gateway() as running:
        yield running


def status(gateway: GatewayProcess, key: str = "", path: str = "/v1/models") -> int:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.get(f"{gateway.data}{path}", headers=headers).status_code


def becomes(look: Callable[[], bool]) -> bool:
    """Whether something is so before long."""
    return any(look() for _ in range(LOOKS))


def test_a_running_gateway_follows_a_key_from_its_creation_to_its_end(place: Place, gateway: GatewayProcess) -> None:
    assert status(gateway) == 200  # without any key, this machine needs none
    key = place.keys("create", "search", "--rpm", "60", "--routes", "chat")
    assert KEY.fullmatch(key)
    key = key.strip()
    assert becomes(lambda: refuses(gateway, ""))
    assert status(gateway, key) == 200
    other = place.keys("rotate", "search", "--grace", "1").strip()
    assert becomes(lambda: status(gateway, other) == 200)
    assert status(gateway, key) == 200
    place.keys("rotate", "search", "--grace", "0")
    assert becomes(lambda: refuses(gateway, other))
    assert refuses(gateway, key)
    place.keys("revoke", "search")
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    assert becomes(lambda: httpx.get(f"{gateway.admin}/admin/callers", headers=headers).json() == [])
    assert refuses(gateway, "")  # what was locked stays so: a revoked key must not open the gateway
    assert gateway.stop() == 0
    assert key not in gateway.output and other not in gateway.output


def test_an_open_address_is_served_once_there_is_a_key(place: Place) -> None:
    arguments = ("--policy", str(place.policy), "--host", "0.0.0.0", "--port", "0", "--admin-port", "0")
    ended = run("serve", *arguments, env=place.env)
    assert (ended.returncode, "keys create" in ended.stderr) == (2, True)
    key = place.keys("create", "search").strip()
    with place.gateway("--host", "0.0.0.0") as gateway:
        url = gateway.data.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{url}/v1/models").status_code == 401
        assert httpx.get(f"{url}/v1/models", headers={"x-api-key": key}).status_code == 200


def test_keys_are_listed_and_never_shown(place: Place) -> None:
    assert "keys create" in place.keys("list")
    key = place.keys("create", "search", "--usd-per-day", "2.5", "--class", "batch", "--metadata.owner", "anna").strip()
    text, rows = place.keys("list"), place.keys("list", "--format", "json")
    assert "search" in text and "usd_per_day 2.5" in text and "batch" in text
    (row,) = json.loads(rows)
    assert (row["name"], row["limits"]["usd_per_day"], row["metadata"]) == ("search", 2.5, {"owner": "anna"})
    kept = b"".join(file.read_bytes() for file in Path(place.env["GATEWAY_STATE_DIR"]).iterdir())
    assert key not in text + rows
    assert key.encode() not in kept and key[3:].encode() not in kept


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("create", "search"), "already"),
        (("create", "a b"), "name"),
        (("create", "x'; DROP TABLE callers; --"), "name"),
        (("create", ""), "name"),
        (("create", "a" * 65), "name"),
        (("create", "new", "--rpm", "0"), "greater than or equal to 1"),
        (("create", "new", "--rpm", "-5"), "greater than or equal to 1"),
        (("create", "new", "--tpm", "99999999999"), "less than or equal to"),
        (("create", "new", "--usd-per-day", "0"), "greater than 0"),
        (("create", "new", "--usd-per-month", "nan"), "usd_per_month"),
        (("create", "new", "--expires", "2020-01-01"), "in the past"),
        (("create", "new", "--expires", "soon"), "a date"),
        (("create", "new", "--metadata.a", "x" * 300), "256"),
        (("create", "new", "--routes", "no", "--policy", "POLICY"), "no route 'no'"),
        (("create", "new", "--models", "no", "--policy", "POLICY"), "no model 'no'"),
        (("create", "new", "--team", "no", "--policy", "POLICY"), "no team 'no'"),
        (("rotate", "nobody"), "no caller 'nobody'"),
        (("rotate", "search", "--grace", "-1"), "--grace"),
        (("rotate", "search", "--grace", "nan"), "--grace"),
        (("revoke", "nobody"), "no caller 'nobody'"),
        (("revoke", "search' OR '1'='1"), "no caller"),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_changes_nothing(
    place: Place, arguments: tuple[str, ...], part: str
) -> None:
    place.given("search")
    before = place.kept()
    words = [str(place.policy) if word == "POLICY" else word for word in arguments]
    assert part in place.refused(*words)
    assert place.kept() == before


def test_another_secret_is_noticed_before_it_locks_everybody_out(place: Place) -> None:
    first, second = "0123456789abcdef" * 2, "fedcba9876543210" * 2
    ended = run("keys", "create", "search", env={**place.env, "GATEWAY_SECRET": first})
    assert ended.returncode == 0, ended.stderr
    assert "another secret" in place.refused("list", env={"GATEWAY_SECRET": second})
    assert "another secret" in place.refused("list")
    ended = run("serve", "--policy", str(place.policy), env={**place.env, "GATEWAY_SECRET": second})
    assert (ended.returncode, "another secret" in ended.stderr) == (2, True)


@pytest.mark.parametrize("secret", ["", "0123456789", "a" * 64, "abc" * 20])
def test_a_weak_secret_is_refused(place: Place, secret: str) -> None:
    said = place.refused("list", env={"GATEWAY_SECRET": secret})
    assert "GATEWAY_SECRET" in said and "openssl rand -hex 32" in said


def test_keys_in_a_shared_store_are_followed_by_every_gateway(place: Place) -> None:
    with RedisServer() as server, ExitStack() as stack:
        place.env |= {"GATEWAY_STORE_URL": server.url, "GATEWAY_SECRET": "0123456789abcdef" * 2}
        gateways = [stack.enter_context(place.gateway()) for _ in range(2)]
        key = place.keys("create", "search").strip()
        for gateway in gateways:
            assert becomes(partial(lets, gateway, key))
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        assert httpx.delete(f"{gateways[0].admin}/admin/callers/search", headers=headers).status_code == 200
        for gateway in gateways:
            assert becomes(partial(refuses, gateway, key))
        kept = b"".join(server.client.dump(name) or b"" for name in server.client.scan_iter())
        assert key.encode() not in kept
        assert json.loads(place.keys("list", "--format", "json")) == []


def lets(gateway: GatewayProcess, key: str) -> bool:
    """Whether a key is known, and needed."""
    return status(gateway, key) == 200 and refuses(gateway, "")


def refuses(gateway: GatewayProcess, key: str) -> bool:
    """Whether a key is not known."""
    return status(gateway, key) in (401, 429)
