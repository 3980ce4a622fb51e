"""What a new policy changes is told before it takes over: entries, requests that go elsewhere, privacy."""

from datetime import date

from gateway.api.preview import NAMED, Preview, snapshot
from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.config.versions import Change
from gateway.outcomes import Sketch
from gateway.routing.book import StatsBook
from gateway.telemetry.requests import RequestLog
from tests.routing.samples import deployment, outcome
from tests.telemetry.records import record

CATALOGUE = Catalogue.load()
BASE = """version: 1
backends:
  own: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
  out: {provider: groq, api_key: k0123456789abcdef, models: {llama-3.1-8b-instruct: {}}}
routes:
  - {name: chat, match: {model: [auto]}, models: [llama-3.1-8b-instruct], prefer: [own]}
  - {name: private, match: {headers: {x-class: secret}}, models: [llama-3.1-8b-instruct], prefer: [own]}
"""
GUARDED = BASE.replace("prefer: [own]}\n", "prefer: [own], require: {location: self_hosted}}\n")


def loaded(text: str) -> Loaded:
    found = read(text.encode(), "policy.yaml", {}, CATALOGUE, date(2026, 11, 24))
    assert found.policy is not None, found.problems
    return found


def change(old: str, new: str, *sketches: Sketch) -> Change:
    """What the preview says of a change, after requests came that looked like these."""
    log = RequestLog()
    for index, sketch in enumerate(sketches):
        log.answered(record(id=f"req_{index}", sketch=sketch))
    return Preview(log, StatsBook(), lambda: 0.0)(loaded(old), loaded(new))()


def test_requests_that_go_elsewhere_are_counted() -> None:
    said = change(
        BASE,
        BASE.replace(
            "[auto]}, models: [llama-3.1-8b-instruct], prefer: [own]",
            "[auto]}, models: [llama-3.1-8b-instruct], prefer: [out]",
        ),
        Sketch("auto"),
        Sketch("auto"),
        Sketch("llama-3.1-8b-instruct", headers={"x-class": "secret"}),
    )
    assert said.facts["routes_changed"] == ["chat"]
    assert (said.facts["requests"], said.facts["other_backend"], said.facts["other_route"]) == (3, 2, 0)
    assert said.text == "routes: ~chat; of the last 3 requests 2 another backend"


def test_headers_that_routes_look_at_decide_where_a_request_would_go() -> None:
    moved = BASE.replace("x-class: secret", "x-class: public")
    said = change(BASE, moved, Sketch("llama-3.1-8b-instruct", headers={"x-class": "secret"}), Sketch("auto"))
    assert (said.facts["other_route"], said.facts["fail_now"]) == (1, 0)


def test_requests_that_would_fail_and_routes_that_come_and_go_are_told() -> None:
    gone = BASE.replace("name: chat, match: {model: [auto]}", "name: talk, match: {model: [other]}")
    said = change(BASE, gone, Sketch("auto"))
    assert (said.facts["routes_added"], said.facts["routes_removed"], said.facts["fail_now"]) == (["talk"], ["chat"], 1)
    assert "routes: +talk -chat" in said.text


def test_privacy_that_is_lost_is_told_first_of_all_words() -> None:
    said = change(GUARDED, BASE, Sketch("auto"))
    assert said.facts["lost_privacy"] == 1
    assert any("never left the house" in text for text in said.facts["privacy"])  # type: ignore[attr-defined]
    assert "1 may leave the house" in said.text and "never left the house" in said.text


def test_no_credential_is_in_what_is_told() -> None:
    said = change(BASE, BASE.replace("k0123456789abcdef", "knew0123456789abcdef"))
    assert said.facts["backends_changed"] == ["out"]
    assert "0123456789abcdef" not in f"{said}"


def test_many_entries_are_told_as_a_number() -> None:
    many = "".join(
        f"  - {{name: r{i}, match: {{model: [m{i}]}}, models: [llama-3.1-8b-instruct]}}\n" for i in range(25)
    )
    assert f"+{25 - NAMED} more" in change(BASE, BASE + many).text


def test_comments_change_nothing() -> None:
    assert change(BASE, BASE + "# more\n", Sketch("auto")).text == "of the last 1 requests none fares differently"


def test_requests_that_were_never_understood_are_left_out() -> None:
    log = RequestLog()
    log.answered(record(sketch=None))
    assert Preview(log, StatsBook(), lambda: 0.0)(loaded(BASE), loaded(GUARDED))().facts["requests"] == 0


def test_a_snapshot_learns_nothing_of_what_comes_after() -> None:
    book, one = StatsBook(), deployment("a")
    book.started(one)
    book.spend("chat", 1.0, 0.0)
    taken = snapshot(book)
    book.ended(outcome(one, 3.0, first=1.0))
    book.spend("chat", 1.0, 0.0)
    assert (taken.in_flight["a"], taken.spent("chat", 0.0), taken.of(one).ttft) == (1, 1.0, None)
