"""The requests of a log are planned by two policies with the same statistics, and what differs is counted."""

from collections.abc import Iterator
from datetime import date

import orjson
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalogue import Catalogue
from gateway.config.loading import read
from gateway.outcomes import Sketch
from gateway.policytools.logged import LoggedRequest
from gateway.policytools.replay import EXAMPLES, Found, quantile, replay, replay_json
from gateway.routing.book import StatsBook
from gateway.routing.policy import Policy
from gateway.routing.stats import Stats

CATALOGUE = Catalogue.load()
TEXT = """\
version: 1
backends:
  gpu: {provider: vllm, url: http://10.0.0.5:8000, models: {llama-3.3-70b-instruct: {context: 8192}}}
  together:
    {provider: together, api_key: key-0123456789, models: {llama-3.3-70b-instruct: {price: {input: 1, output: 2}}}}
routes:
  - name: private
    match: {headers: {x-data-class: confidential}}
    models: [llama-3.3-70b-instruct]
    require: {location: self_hosted}
  - name: anything
    match: {model: [auto]}
    models: [llama-3.3-70b-instruct]
    prefer: self_hosted
"""
PRIVATE = LoggedRequest(Sketch("auto", prompt_tokens=100, headers={"x-data-class": "confidential"}), "p")
PLAIN = LoggedRequest(Sketch("auto", prompt_tokens=100, max_tokens=100), "a")


def policy(before: str = "", after: str = "") -> Policy:
    """The policy with a part replaced."""
    assert before in TEXT
    found = read(
        TEXT.replace(before, after).encode() if before else TEXT.encode(), "test", {}, CATALOGUE, date(2026, 11, 24)
    )
    assert found.policy is not None, found.problems
    return found.policy


def test_the_same_policy_changes_nothing() -> None:
    found = replay(policy(), policy(), [PRIVATE, PLAIN] * 10, StatsBook(), 0.0)
    assert (found.requests, found.planned) == (20, 20)
    assert not found.changed() and found.before == found.after and found.moves == ()


def test_another_first_backend_is_counted_with_its_cost() -> None:
    new = policy("    prefer: self_hosted\n", "    prefer: hosted\n")
    found = replay(policy(), new, [PLAIN, PRIVATE], StatsBook(), 0.0)
    assert (found.route_changes, found.model_changes, found.backend_changes) == (0, 0, 1)
    assert [(move.of, move.before, move.after, move.count) for move in found.moves] == [
        ("backend", "gpu", "together", 1)
    ]
    assert found.before.usd_total == 0 and abs(found.after.usd_total - 300e-6) < 1e-9
    assert found.changed()


def test_lost_and_gained_privacy_is_counted_with_examples() -> None:
    open_ = policy("    require: {location: self_hosted}\n")
    found = replay(policy(), open_, [PRIVATE, PLAIN], StatsBook(), 0.0)
    assert found.lost_privacy == Found(1, ("p",)) and found.gained_privacy.count == 0
    back = replay(open_, policy(), [PRIVATE, PLAIN], StatsBook(), 0.0)
    assert back.gained_privacy == Found(1, ("p",)) and back.lost_privacy.count == 0


def test_what_would_fail_now_is_counted_with_the_reason() -> None:
    new = policy("model: [auto]", "model: [other]")
    found = replay(policy(), new, [PLAIN], StatsBook(), 0.0)
    assert found.fails_now == Found(1, ("a (model_not_found)",)) and found.planned == 0
    assert replay(new, policy(), [PLAIN], StatsBook(), 0.0).works_now.count == 1
    assert [(move.of, move.after) for move in found.moves] == [("route", "none")]


def test_requests_without_an_id_are_named_by_their_place_and_examples_are_few() -> None:
    many = [LoggedRequest(Sketch("auto"))] * 50
    found = replay(policy(), policy("model: [auto]", "model: [other]"), many, StatsBook(), 0.0)
    assert found.fails_now.count == 50 and len(found.fails_now.examples) == EXAMPLES
    assert found.fails_now.examples[0] == "line 1 (model_not_found)"


def test_both_are_planned_by_what_was_lately_seen_and_that_stays_as_it_was() -> None:
    book = StatsBook()
    book.deployments["gpu/llama-3.3-70b-instruct"] = Stats(ttft=9.0, per_token=0.01, seen=100.0)
    before = dict(book.deployments)
    found = replay(policy(), policy(), [PLAIN], book, 100.0)
    assert found.before.ttft_p50 == 9.0 and book.deployments == before


def test_a_log_is_read_once_and_as_it_comes() -> None:
    def lines() -> Iterator[LoggedRequest]:
        yield PLAIN
        yield PRIVATE

    assert replay(policy(), policy(), lines(), StatsBook(), 0.0).requests == 2
    assert replay(policy(), policy(), iter(()), StatsBook(), 0.0).before.usd_p95 == 0.0


def test_it_can_be_written_as_json() -> None:
    new = policy("    require: {location: self_hosted}\n")
    found = orjson.loads(orjson.dumps(replay_json(replay(policy(), new, [PRIVATE], StatsBook(), 0.0))))
    assert found["lost_privacy"] == {"count": 1, "examples": ["p"]} and found["before"]["usd_p50"] == 0.0


@given(values=st.lists(st.floats(0, 100), min_size=1), share=st.floats(0.01, 1))
def test_a_quantile_is_a_value_that_such_a_share_does_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9
