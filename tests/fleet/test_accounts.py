"""Which accounts the environment shows: those that are meant for chatting are used, others are only named."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import httpx
import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import read
from gateway.demo.fleet import RunningServer
from gateway.demo.standins import bedrock
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.serve import Served
from gateway.fleet.annotated import policy_text
from gateway.fleet.discovery import Discovery, Patience, discover
from gateway.fleet.hosted import accounts, unused
from gateway.fleet.table import rows

TODAY = date(2026, 11, 24)
PATIENT = Patience(20, 20)
KEYS = {"AWS_ACCESS_KEY_ID": bedrock.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": bedrock.SECRET_KEY}
TOKEN = {"AWS_BEARER_TOKEN_BEDROCK": KEY}


async def look(catalogue: Catalogue, aws: pytest.MonkeyPatch, url: str, env: Mapping[str, str]) -> Discovery:
    """What is found with variables that the process has too, since AWS's chain reads them there."""
    for name, value in env.items():
        aws.setenv(name, value)
    return await discover(env, catalogue, TODAY, addresses={"bedrock": url}, patience=PATIENT)


@pytest.mark.asyncio
@pytest.mark.parametrize("env", [KEYS, TOKEN, KEYS | TOKEN], ids=["keys", "token", "both"])
async def test_bedrock_is_found_by_aws_credentials_with_the_llamas_of_its_region(
    llama: RunningServer, catalogue: Catalogue, aws: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    async with Served(bedrock.app(llama.url)) as served:
        discovery = await look(catalogue, aws, served.url, env | {"AWS_REGION": "us-east-1"})
    (found,) = discovery.found
    assert (found.name, found.kind, found.location, found.credential) == ("bedrock", "bedrock", "hosted", None)
    assert (found.region, discovery.notes) == ("us-east-1", ())
    assert {model.canonical for model in found.models} >= {"llama-3.1-8b-instruct", "llama-3.3-70b-instruct"}
    assert {row.where for row in rows(discovery, TODAY)} == {served.url}


@pytest.mark.asyncio
async def test_what_was_found_of_bedrock_is_a_policy_without_a_secret(
    llama: RunningServer, catalogue: Catalogue, aws: pytest.MonkeyPatch
) -> None:
    async with Served(bedrock.app(llama.url)) as served:
        discovery = await look(catalogue, aws, served.url, KEYS)
    text = policy_text(discovery, TODAY)
    loaded = read(text.encode(), "found.yaml", {}, catalogue, TODAY)
    assert loaded.policy is not None, loaded.problems
    assert loaded.policy.backends["bedrock"].region == "us-east-1"
    assert bedrock.SECRET_KEY not in text and bedrock.ACCESS_KEY not in text


@pytest.mark.asyncio
async def test_a_region_that_nobody_has_named_is_said(
    llama: RunningServer, catalogue: Catalogue, aws: pytest.MonkeyPatch
) -> None:
    async with Served(bedrock.app(llama.url)) as served:
        discovery = await look(catalogue, aws, served.url, KEYS)
    assert discovery.notes == ("AWS_REGION or AWS_DEFAULT_REGION is not set, so bedrock is used in us-east-1.",)


@pytest.mark.asyncio
async def test_aws_credentials_that_are_refused_or_lead_nowhere_are_noted_without_them(
    llama: RunningServer, catalogue: Catalogue, aws: pytest.MonkeyPatch
) -> None:
    async with Served(bedrock.app(llama.url)) as served:
        wrong = await look(catalogue, aws, served.url, KEYS | {"AWS_SECRET_ACCESS_KEY": "wrong-secret-0123456789"})
        for name in KEYS:
            aws.delenv(name)
        none = await look(catalogue, aws, served.url, {"AWS_PROFILE": "nobody"})
    for discovery, name in ((wrong, "AWS_ACCESS_KEY_ID"), (none, "AWS_PROFILE")):
        said = "is set, but bedrock refuses the credentials, or there are none. Set valid ones."
        assert discovery == Discovery(notes=(f"{name} {said}",))


@pytest.mark.parametrize(
    ("env", "region", "guessed"),
    [
        ({"AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-west-2"}, "eu-west-1", False),
        ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "us-west-2"}, "us-west-2", False),
        ({}, "us-east-1", True),
    ],
)
def test_a_region_is_that_of_the_environment(env: dict[str, str], region: str, guessed: bool) -> None:
    (found,) = accounts(env | {"AWS_PROFILE": "work"})
    assert (found.variable, found.key, found.region, found.guessed) == ("AWS_PROFILE", None, region, guessed)
    assert found.backend(None).region == region


def test_a_region_alone_is_no_account() -> None:
    assert accounts({"AWS_REGION": "us-east-1", "AWS_SECRET_ACCESS_KEY": "x"}) == []


def test_an_account_with_a_key_has_no_region() -> None:
    (found,) = accounts({"GROQ_API_KEY": "gsk-1", "AWS_REGION": "us-east-1"})
    assert (found.variable, found.key, found.region) == ("GROQ_API_KEY", "gsk-1", None)


@pytest.mark.asyncio
async def test_a_token_that_is_often_for_downloads_is_sent_to_nobody_and_named(catalogue: Catalogue) -> None:
    def answer(request: httpx.Request) -> Any:
        raise AssertionError(f"{request.url} was asked")

    env = {"HF_TOKEN": "hf_0123456789"}
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        discovery = await discover(env, catalogue, TODAY, client, {})
    assert accounts(env) == [] and discovery.found == ()
    (note,) = discovery.notes
    assert note == (
        "HF_TOKEN is set, but often for other ends, so huggingface is not used. "
        "If it is meant for that, write a backend with `provider: huggingface` into a policy."
    )
    assert list(unused({})) == []
