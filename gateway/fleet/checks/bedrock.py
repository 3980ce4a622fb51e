"""Bedrock: a region, credentials that can be found, and the right to list models."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from gateway.errors import UpstreamError
from gateway.fleet.checks.finding import Finding, Subject
from gateway.fleet.checks.habits import Habits
from gateway.providers.port import Provider

if TYPE_CHECKING:
    from gateway.providers.bedrock import Bedrock

GEOGRAPHY = re.compile(r"^[a-z]{2,6}\.(?=meta\.)")  # of an inference profile: us.meta.llama..., eu.meta.llama...


async def lacks(subject: Subject, provider: Provider) -> list[Finding]:
    """A region or credentials that are not there; finding them may ask the machine's own metadata service."""
    bedrock = cast("Bedrock", provider)
    if not bedrock.region:
        what = "It has no region: neither the policy nor AWS_REGION says where its models are."
        return [Finding("error", "region", subject.name, what, "Write `region: us-east-1`, or the one you use.")]
    if bedrock.signer is None:
        return []  # a bearer key, which the list of models will prove
    try:
        await bedrock.signer.wallet.keys()
    except UpstreamError as exc:
        advice = "`aws sts get-caller-identity` with the same environment tells whether AWS's own tools find any."
        return [Finding("error", "key", subject.name, exc.message, advice)]
    return []


def permission(headers: Mapping[str, str]) -> str:
    """The right that a refusal says is missing."""
    denied = headers.get("x-amzn-errortype", "").startswith("AccessDenied")
    return "bedrock:ListFoundationModels" if denied else ""


def name(id: str) -> str:
    """An id without the geography of its inference profile, or the path of its ARN."""
    return GEOGRAPHY.sub("", id.rpartition("/")[2])


BEDROCK = Habits(lacks=lacks, permission=permission, name=name, chain="AWS's chain of credentials")
