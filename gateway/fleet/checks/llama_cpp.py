"""llama.cpp: the context and the slots that its server really has."""

from collections.abc import Iterator

from gateway.catalogue import Catalogue
from gateway.fleet.answers import mapping, parsed, whole
from gateway.fleet.checks import listing, served
from gateway.fleet.checks.finding import Finding, Heard, Subject
from gateway.fleet.checks.habits import Habits
from gateway.providers.openai_compatible import headers_of
from gateway.providers.port import HttpCall

PROPS = "/props"
WIDEN = "start it with a larger --ctx-size (which all slots share)"


def ask(subject: Subject) -> dict[str, HttpCall]:
    """GET /props."""
    return {PROPS: HttpCall("GET", f"{subject.base}{PROPS}", headers_of(subject.backend))}


def judge(subject: Subject, heard: Heard, catalogue: Catalogue) -> Iterator[Finding]:
    """Slots and context; the list of models is open to everybody, so only this tells whether the key is right."""
    answer = heard.answers.get(PROPS)
    if answer is not None and answer.status in (401, 403):
        yield listing.refused(subject, answer.status)
        return
    props = mapping(parsed(heard.answers, PROPS))
    if (slots := whole(props.get("total_slots"))) is not None:
        yield from working(subject, slots)
    for deployment in subject.deployments:
        holds = whole(mapping(props.get("default_generation_settings")).get("n_ctx"))
        yield from served.context(deployment, holds, WIDEN)


def working(subject: Subject, slots: int) -> Iterator[Finding]:
    """What the difference between expected and real slots means."""
    counted = subject.backend.slots
    advice = f"Write `slots: {slots}`, or start it with --parallel {counted}."
    if slots < counted:
        what = f"It works on {slots} requests at once, and the policy counts on {counted}: the others will wait."
        yield Finding("warning", "slots", subject.name, what, advice)
    elif slots > counted:
        what = f"It works on {slots} requests at once, and the policy counts on {counted} only."
        yield Finding("info", "slots", subject.name, what, advice)


LLAMA_CPP = Habits(ask=ask, judge=judge, any_id=True, widen=WIDEN)
