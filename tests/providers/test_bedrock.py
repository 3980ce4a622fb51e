"""Bedrock's provider in front of its stand-in: signatures, a clock that is wrong, secrets, tools in a stream."""

import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import orjson
import pytest

from gateway.demo.standins import bedrock as standin
from gateway.demo.standins.bedrock import ACCESS_KEY, MODELS, PROFILES, REGION, SECRET_KEY, BadChecksum
from gateway.demo.standins.faults import Cut, ErrorEvent, Fault, Refuse
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from gateway.errors import (
    BadCredentials,
    ContextExceeded,
    Disconnected,
    InvalidResponse,
    ModelGone,
    RateLimited,
    Unreachable,
    UpstreamError,
)
from gateway.providers.bedrock import Bedrock
from gateway.providers.bedrock_access import Chain, Keys
from gateway.providers.transport import PooledTransport
from gateway.types import Backend, Deployment

from .asking import TOOL, Answer, ask
from .asking import question as asking
from .upstreams import Link

ROOT = Path(__file__).parents[2]
GOOD = Keys(ACCESS_KEY, SECRET_KEY)
LIMA = "What is the weather in Lima?"
AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_BEARER_TOKEN_BEDROCK")


@dataclass(slots=True)
class Purse:
    """Keys from nowhere."""

    held: Keys = GOOD
    forgotten: int = 0

    async def keys(self) -> Keys:
        return self.held

    def forget(self) -> None:
        self.forgotten += 1


@dataclass(slots=True)
class Clock:
    """Unix time, wrong by some seconds."""

    wrong: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.wrong


@dataclass(slots=True)
class How:
    """How a provider is made."""

    model: str = MODELS[0]
    wallet: Any = field(default_factory=Purse)
    clock: Callable[[], float] = field(default_factory=Clock)
    region: str | None = REGION


@asynccontextmanager
async def signed(llama_url: str, *faults: Fault | None, how: How | None = None) -> AsyncIterator[Link]:
    """A provider that signs, in front of its stand-in."""
    how = how or How()
    script = Script(*faults)
    async with Served(standin.app(llama_url, script=script)) as served:
        backend = Backend("main", "bedrock", served.url, region=how.region)
        transport = PooledTransport(keepalive=3)
        provider = Bedrock(backend, transport, how.clock, how.wallet)
        try:
            yield Link(provider, deployment(how.model), script)
        finally:
            await transport.close()


def deployment(id: str = MODELS[0]) -> Deployment:
    return Deployment("main/llama", "main", "llama", id, "bedrock", "hosted", context=8192)


@pytest.fixture(autouse=True)
def no_aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An environment in which AWS's chain finds nothing."""
    for name in (*AWS, "AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.asyncio
@pytest.mark.parametrize("stream", [False, True])
async def test_a_signature_is_found_right_whatever_the_models_id_holds(llama_url: str, stream: bool) -> None:
    async with signed(llama_url) as link:
        answer = await ask(link, asking(stream))
    assert answer.error is None and answer.text and answer.tally.complete
    assert answer.tally.model == MODELS[0]
    assert answer.chunks[0].body["created"] == pytest.approx(time.time(), abs=60)
    assert link.script.generations[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=" + ACCESS_KEY)


@pytest.mark.asyncio
async def test_a_session_token_is_signed_and_sent(llama_url: str) -> None:
    how = How(wallet=Purse(Keys(ACCESS_KEY, SECRET_KEY, "session-token-1234")))
    async with signed(llama_url, how=how) as link:
        answer = await ask(link, asking(False))
    (seen,) = link.script.generations
    assert answer.error is None
    assert seen.headers["x-amz-security-token"] == "session-token-1234"
    assert "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token," in seen.headers["authorization"]


@pytest.mark.asyncio
async def test_the_models_list_is_signed_and_names_profiles_of_the_region(llama_url: str) -> None:
    async with signed(llama_url) as link:
        served = await link.provider.models()
    assert [model.id for model in served] == [MODELS[0], *PROFILES]


@pytest.mark.asyncio
@pytest.mark.parametrize("wrong", [-600, 600], ids=["late", "early"])
async def test_a_wrong_clock_is_learned_of_once(llama_url: str, wrong: float) -> None:
    async with signed(llama_url, how=How(clock=Clock(wrong))) as link:
        answers = [await ask(link, asking(stream)) for stream in (True, False, True)]
    assert [answer.error for answer in answers] == [None] * 3
    assert [seen.status for seen in link.script.generations] == [403, 200, 200, 200]


@pytest.mark.asyncio
async def test_a_clock_that_is_set_right_later_is_learned_of_too(llama_url: str) -> None:
    clock = Clock(-600)
    async with signed(llama_url, how=How(clock=clock)) as link:
        first = await ask(link, asking(False))
        clock.wrong = 0
        second = await ask(link, asking(False))
    assert first.error is None and second.error is None
    assert [seen.status for seen in link.script.generations] == [403, 200, 403, 200]


@pytest.mark.asyncio
async def test_a_refusal_for_the_time_that_the_clock_does_not_explain_is_not_sent_again(llama_url: str) -> None:
    late = Refuse(403, {"x-amzn-errortype": "InvalidSignatureException"}, message="Signature expired: at once")
    async with signed(llama_url, late) as link:
        answer = await ask(link, asking(False))
    assert len(link.script.generations) == 1
    assert type(answer.error) is BadCredentials and "clock" in str(answer.error)


@pytest.mark.asyncio
async def test_keys_that_have_expired_are_looked_for_anew(llama_url: str) -> None:
    how = How()
    expired = Refuse(403, {"x-amzn-errortype": "ExpiredTokenException"}, message="The security token has expired")
    async with signed(llama_url, expired, how=how) as link:
        failed, answer = await ask(link, asking(False)), await ask(link, asking(False))
    assert type(failed.error) is BadCredentials and answer.error is None
    assert how.wallet.forgotten == 1


@pytest.mark.asyncio
@pytest.mark.parametrize("keys", [Keys(ACCESS_KEY, "wrong-secret-77aa"), Keys("AKIANOBODY0000000000", SECRET_KEY)])
async def test_wrong_keys_are_our_fault(llama_url: str, keys: Keys) -> None:
    async with signed(llama_url, how=How(wallet=Purse(keys))) as link:
        answer = await ask(link, asking(True))
    assert type(answer.error) is BadCredentials
    assert keys.secret not in repr(keys)


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
async def test_secrets_that_an_upstream_quotes_are_not_passed_on(llama_url: str, status: int) -> None:
    token = "session-token-1234"
    quoted = f"{SECRET_KEY} {token} of arn:aws:iam::123456789012:user/x in 123456789012 at http://127.0.0.1"
    faults = (Refuse(status, message=quoted), ErrorEvent(1, status, quoted))
    async with signed(llama_url, *faults, how=How(wallet=Purse(Keys(ACCESS_KEY, SECRET_KEY, token)))) as link:
        answers = [await ask(link, asking(True)) for _ in faults]
    shown = " ".join(f"{answer.error} {answer.error!r}" for answer in answers)
    assert all(answer.error for answer in answers)
    assert not any(word in shown for word in (SECRET_KEY, token, "123456789012", "arn:", "127.0.0.1"))


@pytest.mark.asyncio
async def test_the_missing_permission_is_named(llama_url: str) -> None:
    action = "bedrock:InvokeModelWithResponseStream"
    words = (
        f"User: arn:aws:iam::123456789012:user/x is not authorized to perform: {action} on resource: arn:aws:bedrock"
    )
    async with signed(llama_url, Refuse(403, message=words)) as link:
        answer = await ask(link, asking(True))
    assert type(answer.error) is BadCredentials and action in str(answer.error)


@pytest.mark.asyncio
async def test_a_bare_id_is_asked_for_by_the_regions_profile(llama_url: str) -> None:
    async with signed(llama_url, how=How(model="meta.llama3-3-70b-instruct-v1:0")) as link:
        answer = await ask(link, asking(False))
    assert answer.error is None
    assert link.script.generations[0].path == "/model/us.meta.llama3-3-70b-instruct-v1:0/converse"


@pytest.mark.asyncio
@pytest.mark.parametrize("model", MODELS)
async def test_a_stream_with_tools_is_a_whole_answer_replayed(llama_url: str, model: str) -> None:
    async with signed(llama_url, how=How(model=model)) as link:
        answer = await ask(link, asking(True, tools=[TOOL], max_tokens=200))
        text = await ask(link, asking(True, tools=[TOOL], tool_choice="none"))
    assert answer.error is None and answer.tally.usage is not None
    assert {chunk.body["object"] for chunk in answer.chunks} == {"chat.completion.chunk"}
    assert answer.arguments and all(orjson.loads(one).keys() == {"city"} for one in answer.arguments.values())
    assert answer.tally.finished == {0: "tool_calls"}
    assert text.text and not text.arguments
    assert [seen.path.rpartition("/")[2] for seen in link.script.generations] == ["converse", "converse-stream"]


@pytest.mark.asyncio
async def test_a_conversation_with_calls_fits_llamas_rules(llama_url: str) -> None:
    call = {"id": "a b", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Lima"}'}}
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": LIMA}]},
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a b", "content": ""},
        {"role": "user", "content": "And now?"},
    ]
    async with signed(llama_url) as link:
        answers = [await ask(link, asking(False, messages=messages, **more)) for more in ({}, {"tools": [TOOL]})]
    assert [answer.error for answer in answers] == [None, None]


@pytest.mark.asyncio
async def test_a_prompt_too_long_asks_for_a_larger_window(llama_url: str) -> None:
    messages = [{"role": "user", "content": "llama " * 9000}]
    async with signed(llama_url) as link:
        answers = [await ask(link, asking(stream, messages=messages)) for stream in (False, True)]
    assert [type(answer.error) for answer in answers] == [ContextExceeded] * 2


@pytest.mark.asyncio
async def test_a_damaged_event_is_an_invalid_response_after_what_came_before(llama_url: str) -> None:
    async with signed(llama_url, BadChecksum(after_chunks=4)) as link:
        answer = await ask(link, asking(True))
    assert type(answer.error) is InvalidResponse
    assert answer.text and not answer.tally.complete


@pytest.mark.asyncio
async def test_a_stream_that_is_cut_inside_an_event_is_never_finished(llama_url: str) -> None:
    async with signed(llama_url, Cut(after_bytes=500)) as link:
        answer = await ask(link, asking(True))
    assert type(answer.error) is Disconnected
    assert answer.text and not answer.tally.complete


@pytest.mark.asyncio
async def test_an_exception_in_a_stream_has_its_meaning(llama_url: str) -> None:
    faults = (ErrorEvent(2, 429), ErrorEvent(2, 400, "Input is too long for requested model."))
    async with signed(llama_url, *faults) as link:
        answers = [await ask(link, asking(True)) for _ in faults]
    assert [type(answer.error) for answer in answers] == [RateLimited, ContextExceeded]


async def error_of(provider: Bedrock) -> UpstreamError | None:
    answer: Answer = await ask(Link(provider, deployment(), Script()), asking(False))
    return answer.error


def made(**more: Any) -> Bedrock:
    backend = Backend("main", "bedrock", more.pop("url", "http://127.0.0.1:9"), **more)
    return Bedrock(backend, PooledTransport(keepalive=3))


@pytest.mark.asyncio
async def test_without_credentials_the_error_says_what_to_set() -> None:
    error = await error_of(made())
    assert type(error) is BadCredentials and "AWS_ACCESS_KEY_ID" in str(error)


@pytest.mark.asyncio
async def test_a_profile_that_is_not_there_is_bad_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    error = await error_of(made())
    assert type(error) is BadCredentials and "ProfileNotFound" in str(error)


@pytest.mark.asyncio
async def test_the_chain_finds_keys_and_finds_others_once_it_has_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain("main")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAFIRST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "first")
    assert await chain.keys() == Keys("AKIAFIRST", "first")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIASECOND")
    assert (await chain.keys()).access == "AKIAFIRST"
    chain.forget()
    assert (await chain.keys()).access == "AKIASECOND"


@pytest.mark.asyncio
async def test_a_profiles_process_is_asked_for_keys(tmp_path: Path) -> None:
    keys = {
        "AccessKeyId": "AKIAPROC",
        "SecretAccessKey": "s",
        "SessionToken": "t",
        "Expiration": "2099-01-01T00:00:00Z",
    }
    (tmp_path / "keys.json").write_bytes(orjson.dumps({"Version": 1, **keys}))
    (tmp_path / "config").write_text(f"[default]\ncredential_process = cat {tmp_path / 'keys.json'}\n")
    assert await Chain("main").keys() == Keys("AKIAPROC", "s", "t")


def test_a_bearer_key_of_the_environment_is_used_and_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer-1234567")
    provider = made()
    assert provider.headers["authorization"] == "Bearer bearer-1234567"
    assert provider.signer is None
    assert provider.redacted(b"for bearer-1234567") == b"for [redacted]"


@pytest.mark.parametrize(
    ("more", "url"),
    [
        ({"url": "", "region": "eu-west-1"}, "https://bedrock-runtime.eu-west-1.amazonaws.com"),
        ({"url": "https://vpce-1.bedrock-runtime.us-west-2.vpce.amazonaws.com/"}, None),
    ],
)
def test_the_address_comes_from_the_region_unless_it_is_written(more: dict[str, str], url: str | None) -> None:
    provider = made(**more)
    assert provider.call(asking(False), deployment()).url.startswith(url or more["url"].rstrip("/") + "/model/")
    assert provider.region == more.get("region", "us-west-2")


def test_the_models_are_listed_by_the_service_beside_the_runtime() -> None:
    provider = made(url="", region="eu-west-1")
    assert provider.models_call().url.startswith("https://bedrock.eu-west-1.amazonaws.com/foundation-models")


def test_the_environments_region_is_the_last_resort(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreachable, match="has no region"):
        made(url="").call(asking(False), deployment())
    monkeypatch.setenv("AWS_REGION", "us-east-2")
    url = made(url="").call(asking(False), deployment()).url
    assert unquote(url) == f"https://bedrock-runtime.us-east-2.amazonaws.com/model/us.{MODELS[0]}/converse"


@pytest.mark.asyncio
async def test_a_model_past_its_end_is_gone(llama_url: str) -> None:
    words = "This model version has reached the end of its life."
    async with signed(llama_url, Refuse(404, message=words)) as link:
        answer = await ask(link, asking(False))
    assert type(answer.error) is ModelGone


def test_botocore_is_not_imported_before_a_backend_signs() -> None:
    command = "import sys, gateway.app; print([m for m in sys.modules if m.startswith('botocore')])"
    shown = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, check=True)
    assert shown.stdout.strip() == b"[]"
    command = "import sys, gateway.providers.bedrock; print('botocore.session' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", command], cwd=ROOT, capture_output=True, check=True)
    assert shown.stdout.strip() == b"False"
