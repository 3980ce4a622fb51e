"""The checks that only judge: clocks, keys, lists of models, retirement, licences."""

import socket
import ssl
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from gateway.catalogue import Catalogue
from gateway.errors import BadCredentials, InvalidResponse, RateLimited, ServerFault, Unreachable
from gateway.fleet.checks import clock, licences, listing, reach, retirement, served
from gateway.fleet.checks.clock import Reading
from gateway.fleet.checks.finding import Finding, Subject
from gateway.fleet.checks.habits import Habits
from gateway.fleet.checks.llama_cpp import LLAMA_CPP
from gateway.fleet.checks.ollama import OLLAMA
from gateway.fleet.checks.reach import Place, Trouble
from gateway.providers.port import ServedModel
from gateway.types import Backend, Deployment

TODAY = date(2026, 11, 24)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
PLACE = Place("gpu.example", 8443, True)


def subject(
    *deployments: Deployment, url: str = "https://gpu.example:8443", key: str | None = None, location: str = "hosted"
) -> Subject:
    backend = Backend("gpu", "vllm", url, key, location=location)
    return Subject(backend, deployments, "GROQ_API_KEY")


def deployment(
    id: str,
    model: str = "llama-3.3-70b-instruct",
    kind: str = "vllm",
    location: str = "self_hosted",
    context: int | None = None,
    retires: date | None = None,
) -> Deployment:
    return Deployment(f"gpu/{model}", "gpu", model, id, kind, location, context=context, retires=retires)


def reading(whom: str, seconds: float, near: bool = False, age: str = "") -> Reading:
    """An answer of somebody whose clock is so many seconds behind ours."""
    sent = (NOON - timedelta(seconds=seconds)).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return Reading(whom, sent, age, NOON, near)


def test_clocks_that_agree_within_a_minute_are_fine() -> None:
    assert clock.judge([reading("a", 59), reading("b", -30)]) == []
    assert clock.judge([]) == []


def test_a_clock_that_all_others_contradict_is_this_machine_s() -> None:
    (found,) = clock.judge([reading("a", 120), reading("b", 121), reading("near", 0, near=True)])
    assert (found.severity, found.whom) == ("warning", "this machine")
    assert "s fast" in found.what
    assert "AWS" not in found.advice


def test_a_clock_over_five_minutes_off_breaks_signatures() -> None:
    (found,) = clock.judge([reading("a", -400)])
    assert "400 s slow" in found.what
    assert "AWS" in found.advice


def test_one_server_with_another_clock_than_the_rest_is_its_own_finding() -> None:
    (found,) = clock.judge([reading("a", 0), reading("b", 1), reading("c", 3600)])
    assert (found.severity, found.whom) == ("info", "c")
    assert "3599 s slow" in found.what


def test_an_answer_out_of_a_cache_is_as_old_as_it_says() -> None:
    assert clock.judge([reading("a", 500, age="500")]) == []


@pytest.mark.parametrize(("sent", "age"), [("", ""), ("soon", ""), ("Tue, 24 Nov 2026 12:00:00 GMT", "old")])
def test_who_does_not_tell_the_time_is_no_witness(sent: str, age: str) -> None:
    assert clock.judge([Reading("a", sent, age, NOON)]) == []


def test_a_refused_key_is_named_by_its_variable_and_never_shown() -> None:
    ours = subject(key="gsk-secret-0123456789")._replace(key="GROQ_API_KEY")
    (found,) = listing.judge(ours, 401, BadCredentials("x"))
    assert (found.severity, found.check) == ("error", "key")
    assert "GROQ_API_KEY (401)" in found.what
    assert "secret" not in repr(found)


def test_a_key_that_is_wanted_and_not_given_is_asked_for() -> None:
    (found,) = listing.judge(subject(), 403, BadCredentials("x"))
    assert "there is none (403)" in found.what
    assert "${GROQ_API_KEY}" in found.advice


@pytest.mark.parametrize(
    ("status", "error", "severity", "words"),
    [
        (None, Unreachable("x"), "error", "no HTTP answer"),
        (404, ServerFault("x"), "error", "(404)"),
        (302, ServerFault("x"), "error", "(302)"),
        (429, RateLimited("x"), "warning", "rate limited"),
        (200, InvalidResponse("x"), "error", "none that a `vllm` gives"),
        (503, ServerFault("x"), "error", "answers 503"),
    ],
)
def test_a_list_that_cannot_be_had_says_why(status: int | None, error: ServerFault, severity: str, words: str) -> None:
    (found,) = listing.judge(subject(), status, error)
    assert found.severity == severity
    assert words in found.what
    assert found.advice


@pytest.mark.parametrize(
    ("url", "location", "warned"),
    [
        ("http://api.example/v1", "hosted", True),
        ("https://api.example/v1", "hosted", False),
        ("http://127.0.0.1:8000", "hosted", False),
        ("http://10.0.0.5:8000", "self_hosted", False),
    ],
)
def test_a_key_over_plain_http_to_a_stranger_is_warned_of(url: str, location: str, warned: bool) -> None:
    assert bool(listing.exposed(subject(url=url, key="key-0123456789", location=location))) is warned
    assert listing.exposed(subject(url=url)) == []


def test_a_key_that_http_cannot_carry_is_an_error() -> None:
    assert listing.unsendable(subject(key="key-\u20ac\n"))[0].severity == "error"
    assert listing.unsendable(subject(key="key-0123456789")) == []


def judged(catalogue: Catalogue, one: Deployment, models: list[ServedModel], habits: Habits) -> list[Finding]:
    return list(served.judge(subject(one), models, habits, catalogue))


def test_an_id_that_is_not_listed_is_named_with_the_nearest(catalogue: Catalogue) -> None:
    models = [ServedModel("meta-llama/Llama-3.3-70B-Instruct"), ServedModel("Qwen/Qwen3-8B"), *map(ServedModel, "abc")]
    (found,) = judged(catalogue, deployment("meta-llama/Llama-3.3-70B"), models, Habits())
    assert (found.severity, found.whom) == ("error", "gpu/llama-3.3-70b-instruct")
    assert "nearest are `meta-llama/Llama-3.3-70B-Instruct`" in found.advice
    (found,) = judged(catalogue, deployment("nothing-like-it", location="hosted"), models, Habits())
    assert found.severity == "warning"  # a hosted provider's list may be incomplete
    assert "nearest" not in found.advice


def test_no_model_at_all_is_one_warning(catalogue: Catalogue) -> None:
    (found,) = judged(catalogue, deployment("x"), [], Habits())
    assert "no models at all" in found.what


def test_an_ollama_id_without_a_tag_is_latest(catalogue: Catalogue) -> None:
    models = [ServedModel("llama3.3:latest")]
    assert judged(catalogue, deployment("llama3.3"), models, OLLAMA) == []
    assert judged(catalogue, deployment("registry.ollama.ai/library/llama3.3"), models, OLLAMA) == []
    assert len(judged(catalogue, deployment("llama3.3:70b"), models, OLLAMA)) == 1


def test_a_llama_cpp_answers_to_any_id_but_with_its_own_model(catalogue: Catalogue) -> None:
    mine = deployment("anything")
    assert judged(catalogue, mine, [ServedModel("Llama-3.3-70B-Instruct-Q4_K_M.gguf")], LLAMA_CPP) == []
    (found,) = judged(catalogue, mine, [ServedModel("Llama-3.2-1B-Instruct.gguf")], LLAMA_CPP)
    assert found.severity == "error"
    assert "It serves llama-3.2-1b-instruct" in found.what
    two = [ServedModel("a"), ServedModel("b")]
    assert "does not list" in judged(catalogue, mine, two, LLAMA_CPP)[0].what


@pytest.mark.parametrize(
    ("holds", "severity"), [(8192, "warning"), (65536, "info"), (32768, None), (None, None), ("8192", None), (0, None)]
)
def test_a_context_other_than_the_policy_s_is_told(
    catalogue: Catalogue, holds: int | None, severity: str | None
) -> None:
    found = judged(catalogue, deployment("x", context=32768), [ServedModel("x", holds)], Habits(widen="--len {}"))
    assert [one.severity for one in found] == ([severity] if severity else [])
    if severity == "warning":
        assert found[0].advice == "Write `context: 8192`, or --len 32768."


@pytest.mark.parametrize(
    ("days", "severity", "words"),
    [
        (61, None, ""),
        (60, "warning", "Plan its replacement"),
        (30, "warning", "Choose its replacement and try it"),
        (7, "warning", "Replace it now"),
        (1, "warning", "in 1 day:"),
        (0, "error", "retired"),
        (-100, "error", "retired"),
    ],
)
def test_retirement_is_told_60_30_and_7_days_ahead(
    catalogue: Catalogue, days: int, severity: str | None, words: str
) -> None:
    one = deployment("x", kind="bedrock", location="hosted", retires=TODAY + timedelta(days=days))
    found = retirement.judge(one, TODAY, catalogue)
    assert [finding.severity for finding in found] == ([severity] if severity else [])
    assert not found or words in f"{found[0].what} {found[0].advice}"


def test_a_retired_id_that_is_still_listed_is_a_warning(catalogue: Catalogue) -> None:
    one = deployment("x", retires=TODAY)
    assert retirement.judge(one, TODAY, catalogue, {"x"})[0].severity == "warning"


def test_a_retirement_names_another_id_or_other_places(catalogue: Catalogue) -> None:
    one = deployment("gone", "llama-3-8b-instruct", "together", "hosted", retires=TODAY)
    assert "`id: meta-llama/Meta-Llama-3-8B-Instruct-Lite`" in retirement.judge(one, TODAY, catalogue)[0].advice
    two = deployment("llama-3.3-70b-versatile", kind="groq", location="hosted", retires=TODAY)
    assert "is also at bedrock, fireworks" in retirement.judge(two, TODAY, catalogue)[0].advice
    three = deployment("x", "acme-8b", retires=TODAY)
    assert retirement.judge(three, TODAY, catalogue)[0].advice == "Replace it now."


def test_each_licence_is_one_note_with_its_models(catalogue: Catalogue) -> None:
    names = ("llama-3.1-8b-instruct", "llama-3.1-70b-instruct", "llama-3-8b-instruct", "gpt-oss-20b", "acme-8b")
    found = list(licences.judge([deployment("x", name) for name in names], catalogue))
    assert [one.whom for one in found] == ["Llama 3.1 Community License", "Meta Llama 3 Community License"]
    assert {one.severity for one in found} == {"info"}
    assert "llama-3.1-8b-instruct, llama-3.1-70b-instruct" in found[0].what
    assert '"Built with Llama"' in found[0].what
    assert "must not be used to improve" in found[1].what


def test_a_model_under_two_licences_and_a_fine_tune_are_named_with_each(catalogue: Catalogue) -> None:
    tuned = replace(deployment("x", "acme-8b"), base="llama-3.1-8b-instruct")
    own = replace(deployment("x", "llama-3.1-70b-instruct"), licence="ours")
    found = list(licences.judge([deployment("x", "deepseek-r1-distill-llama-8b"), tuned, own], catalogue))
    assert [one.whom for one in found] == ["Llama 3.1 Community License"]
    assert "Of deepseek-r1-distill-llama-8b, acme-8b:" in found[0].what


def test_the_eu_clause_is_a_note_on_multimodal_models_only(catalogue: Catalogue) -> None:
    names = ("llama-3.2-3b-instruct", "llama-3.2-11b-vision-instruct")
    found = list(licences.judge([deployment("x", name) for name in names], catalogue))
    assert len(found) == 2
    assert "European Union" in found[1].what
    assert "llama-3.2-3b-instruct" not in found[1].what


def verification(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code = code
    return error


@pytest.mark.parametrize(
    ("step", "error", "words"),
    [
        ("dns", socket.gaierror(socket.EAI_NONAME, "x"), "no host of the name 'gpu.example'"),
        ("dns", socket.gaierror(socket.EAI_AGAIN, "x"), "No name server said"),
        ("dns", None, "No name server said"),
        ("tcp", ConnectionRefusedError(), "Nothing listens on gpu.example:8443"),
        ("tcp", None, "does not answer at all"),
        ("tcp", OSError(101, "Network is unreachable"), "Network is unreachable"),
        ("tls", verification(9), "not valid yet"),
        ("tls", verification(10), "has expired"),
        ("tls", verification(20), "an authority that this machine does not know"),
        ("tls", verification(23), "code 23"),
        ("tls", None, "says nothing of TLS"),
        ("tls", ConnectionResetError(), "cannot agree on TLS (ConnectionResetError)"),
    ],
)
def test_each_step_on_the_way_has_its_words(step: str, error: Exception | None, words: str) -> None:
    found = reach.judge(subject(), PLACE, Trouble(step, error))
    assert (found.severity, found.check) == ("error", step)
    assert words in found.what
    assert found.advice
    assert "(its proxy)" in reach.judge(subject(), PLACE._replace(proxy=True), Trouble(step, error)).what


@pytest.mark.parametrize(("days", "words"), [(14, None), (13, "in 13 days"), (-1, "in 0 days")])
def test_a_certificate_is_told_of_two_weeks_before_it_ends(days: int, words: str | None) -> None:
    found = reach.expiry(subject(), PLACE, NOON + timedelta(days=days), NOON)
    assert [one.severity for one in found] == (["warning"] if words else [])
    assert not words or words in found[0].what


def test_a_file_of_ours_that_cannot_be_used_is_told() -> None:
    found = reach.files_fault(subject(), FileNotFoundError(2, "No such file or directory"))
    assert (found.severity, found.check) == ("error", "files")
    assert "No such file" in found.what


def test_a_right_that_is_missing_is_named() -> None:
    (found,) = listing.judge(subject(), 403, BadCredentials("x"), "bedrock:ListFoundationModels")
    assert found.severity == "warning"
    assert "`bedrock:ListFoundationModels` is missing" in found.what
