"""The comparison with other gateways: how they are configured, and what their answers are worth. None is installed."""

import json
from dataclasses import replace

import pytest

from tests.faults.client import Reply
from tests.faults.exchange import Attempt
from tests.faults.failover_bench import FAULTS, Fault
from tests.faults.peers.report import as_json, markdown
from tests.faults.peers.stage import Judged, cell_of, fitted, verdict
from tests.faults.peers.systems import litellm_config, portkey_config
from tests.faults.speech import Said
from tests.faults.verdicts import Seen, Verdict

BY_ID = {fault.id: fault for fault in FAULTS}
WALL = "http://127.0.0.1:9"


def stream(*events: object, done: bool = False) -> bytes:
    """The events of a stream."""
    end = [b"data: [DONE]\n\n"] if done else []
    return b"".join([b"data: %b\n\n" % json.dumps(event).encode() for event in events] + end)


def chunk(text: str, finish: str | None = None, model: str = "m") -> dict[str, object]:
    """One chunk."""
    return {"model": model, "choices": [{"delta": {"content": text}, "finish_reason": finish}]}


def seen(
    fault: Fault, body: bytes, end: str = "whole", status: int = 200, asked: tuple[str, ...] = ("primary",)
) -> Seen:
    """What was seen of one request that got these bytes, where everybody was to say two words."""
    cell = cell_of(fault, 0)
    reply = Reply("r", cell.name, True, 0.0, status=status, body=body, end=end)  # type: ignore[arg-type]  # one of them
    said = Said("m", 2)
    attempts = {role: [Attempt("m", 1, "", 0.0, True, False, {}, "", said, words=2, whole=True)] for role in asked}
    return Seen(cell, [reply], attempts, 1.0, False)


def worth(id: str, body: bytes, **more: object) -> Verdict:
    """The verdict on it."""
    fault = fitted(BY_ID[id])
    return verdict(fault, seen(fault, body, **more))[0]  # type: ignore[arg-type]  # of `seen`


GOOD = stream(chunk("w0001 "), chunk("w0002 ", "stop"))


def test_a_stream_that_ends_without_done_is_whole_to_an_sdk() -> None:
    assert worth("S08", GOOD) == "pass"


@pytest.mark.parametrize("end", ["whole", "closed"])
def test_a_cut_that_looks_like_an_end_is_a_wrong_answer(end: str) -> None:
    assert worth("S08", stream(chunk("w0001 ")), end=end) == "fail"


def test_an_error_in_the_stream_is_safe() -> None:
    assert worth("S08", stream(chunk("w0001 "), {"error": {"code": "500"}})) == "safe"


def test_an_event_that_is_no_json_makes_the_sdk_raise_and_misleads_nobody() -> None:
    assert worth("S10", stream(chunk("w0001 ")) + b"data: {broken\n\n" + GOOD) == "safe"


def test_a_refusal_has_to_come_as_a_clear_400_with_whatever_code() -> None:
    refusal = json.dumps({"error": {"message": "no", "code": "400"}}).encode()
    assert worth("S13", refusal, status=400) == "pass"
    assert worth("S13", refusal, status=500) == "partial"
    assert worth("S13", GOOD, asked=("primary", "fallback")) == "fail"


def test_a_peer_may_call_the_fallback_by_any_of_its_names() -> None:
    fault = fitted(replace(BY_ID["S16"], fallback="ok"))
    cell = cell_of(fault, 0)
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}
    for name, verdict_on_it in (
        (cell.id(cell.role("fallback")), "pass"),
        (f"{cell.name}-fallback", "pass"),
        ("primary", "fail"),
    ):
        body = stream(chunk("w0001 ", model=name), chunk("w0002 ", "stop", name), {**usage, "model": name})
        assert verdict(fault, seen(fault, body, asked=("fallback",)))[0] == verdict_on_it


def test_a_peer_is_told_of_the_larger_window_at_once() -> None:
    assert [back.role for back in cell_of(BY_ID["S12"], 0).backs] == ["primary", "larger"]
    assert [back.role for back in cell_of(BY_ID["S05"], 0).backs] == ["primary", "fallback"]


def test_litellm_asks_for_the_primary_and_falls_back_to_the_others() -> None:
    cell = cell_of(BY_ID["S05"], 0)
    plain, tuned = (json.loads(litellm_config([cell], WALL, way)) for way in (False, True))
    assert [model["model_name"] for model in plain["model_list"]] == [cell.name, f"{cell.name}-fallback"]
    assert plain["router_settings"] == {"fallbacks": [{cell.name: [f"{cell.name}-fallback"]}]}
    assert tuned["router_settings"]["stream_timeout"] == 10


def test_portkey_has_its_targets_in_order_and_where_tuned_falls_back_on_failures_alone() -> None:
    cell = cell_of(BY_ID["S13"], 0)
    plain, tuned = (json.loads(portkey_config(cell, WALL, way)) for way in (False, True))
    models = [target["override_params"]["model"] for target in plain["targets"]]
    assert models == [cell.id(back) for back in cell.backs]
    assert plain["strategy"] == {"mode": "fallback"}
    assert 400 not in tuned["strategy"]["on_status_codes"]


def test_the_table_has_the_worst_repeat_the_sums_and_the_reasons() -> None:
    found: dict[str, dict[str, Judged]] = {
        "ours": {"S05": ([("pass", "")] * 2, 0.1)},
        "theirs": {"S05": ([("pass", ""), ("fail", "it hung")], 60.0)},
    }
    text = markdown(found, [BY_ID["S05"]], {"theirs": "1.0"})
    assert "| S05 | resets the connection | pass, 0.1 s | fail, 60.0 s |" in text
    assert "| 1 / 0 / 0 / 0 | 0 / 0 / 0 / 1 |" in text
    assert "- theirs, S05: fail, it hung" in text
    assert json.loads(as_json(found, {}, {}))["systems"]["theirs"]["S05"]["verdict"] == "fail"
