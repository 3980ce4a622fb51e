"""The doctor on Bedrock: region, credentials, rights and ids; and on backends that only their provider can reach."""

from datetime import date
from typing import Any

import pytest

from gateway.catalogue import Catalogue
from gateway.demo.fleet import RunningServer
from gateway.demo.standins import bedrock
from gateway.demo.standins.faults import Refuse
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from gateway.fleet.checks.finding import Finding, Subject
from gateway.fleet.doctor import Doctor
from gateway.types import Backend
from tests.fleet.pages import pages
from tests.fleet.test_doctor import PATIENT, findings, self_hosted

pytestmark = pytest.mark.asyncio

TODAY = date(2026, 11, 24)
PROFILE = "us.meta.llama3-3-70b-instruct-v1:0"
KEYS = {"AWS_ACCESS_KEY_ID": bedrock.ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": bedrock.SECRET_KEY}
DENIED = {"x-amzn-errortype": "AccessDeniedException:http://internal.amazon.com/coral/com.amazon.bedrock/"}


def of_bedrock(url: str) -> dict[str, Any]:
    """A Bedrock with one model."""
    served = {"llama-3.3-70b-instruct": {"id": PROFILE}}
    return {"aws": {"provider": "bedrock", "url": url, "region": "us-east-1", "models": served}}


async def test_a_bedrock_that_takes_the_signature_is_fine(
    llama: RunningServer, catalogue: Catalogue, aws: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        aws.setenv(name, value)
    async with Served(bedrock.app(llama.url)) as served:
        assert await findings(catalogue, of_bedrock(served.url)) == []


async def unaddressed(catalogue: Catalogue, kind: str, region: str | None = None) -> list[Finding]:
    """What the doctor says of a backend whose address only its provider knows."""
    subject = Subject(Backend("aws", kind, "", region=region), ())
    return list((await Doctor(catalogue, TODAY, patience=PATIENT).report([subject], [])).findings)


async def test_a_bedrock_without_credentials_or_region_is_an_error_and_nobody_is_asked(
    catalogue: Catalogue, aws: pytest.MonkeyPatch
) -> None:
    (found,) = await unaddressed(catalogue, "bedrock", "us-east-1")
    assert (found.severity, found.check) == ("error", "key")
    assert "finds no AWS credentials" in found.what
    (found,) = await unaddressed(catalogue, "bedrock")
    assert (found.severity, found.check) == ("error", "region")


async def test_a_profile_that_is_none_is_an_error(catalogue: Catalogue, aws: pytest.MonkeyPatch) -> None:
    aws.setenv("AWS_PROFILE", "nobody")
    (found,) = await unaddressed(catalogue, "bedrock", "us-east-1")
    assert "ProfileNotFound" in found.what


async def test_a_wrong_secret_of_aws_is_refused(
    llama: RunningServer, catalogue: Catalogue, aws: pytest.MonkeyPatch
) -> None:
    for name in KEYS:
        aws.setenv(name, "wrong-0123456789")
    async with Served(bedrock.app(llama.url)) as served:
        (found,) = await findings(catalogue, of_bedrock(served.url))
    assert (found.severity, found.check) == ("error", "key")
    assert "refuses the credentials" in found.what
    assert "wrong-0123456789" not in repr(found)


async def test_a_right_of_aws_that_is_missing_is_named(
    llama: RunningServer, catalogue: Catalogue, aws: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        aws.setenv(name, value)
    script = Script(otherwise=Refuse(403, DENIED), everywhere=True)
    async with Served(bedrock.app(llama.url, script=script)) as served:
        (found,) = await findings(catalogue, of_bedrock(served.url))
    assert found.severity == "warning"
    assert "`bedrock:ListFoundationModels` is missing" in found.what


async def test_an_id_that_bedrock_does_not_list(
    llama: RunningServer, catalogue: Catalogue, aws: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        aws.setenv(name, value)
    async with Served(bedrock.app(llama.url)) as served:
        backends = of_bedrock(served.url)
        backends["aws"]["models"] = {"llama-3-8b-instruct": {"id": "meta.llama3-8b-instruct-v1:0"}}
        found = [one for one in await findings(catalogue, backends) if one.check == "models"]
    assert [one.severity for one in found] == ["warning"]


async def test_a_provider_without_an_address_is_a_note(catalogue: Catalogue) -> None:
    (found,) = await unaddressed(catalogue, "litellm")
    assert (found.severity, found.check) == ("info", "models")


async def test_a_provider_without_a_list_is_not_blamed_for_an_empty_one(catalogue: Catalogue) -> None:
    async with pages({}) as served:
        assert await findings(catalogue, self_hosted("litellm", served.url, "acme-8b", id="azure/acme")) == []
