"""That the figures of the adapters are of what the table says they are."""

import orjson
import pytest

from gateway.engine.tally import Tally
from gateway.providers.registry import KINDS

from . import __main__ as command
from . import adapters, report
from .wires import CHUNKS, stream, texts

MEASURED = [kind for kind in KINDS if kind not in adapters.APART]
every_kind = pytest.mark.parametrize("kind", MEASURED)


@every_kind
def test_a_stream_in_a_kinds_own_wire_is_decoded_to_all_of_its_text(kind: str) -> None:
    tally, said = Tally(), ""
    made, asked, where = adapters.provider(kind), adapters.question(kind, True), adapters.deployment(kind)
    for data in adapters.decoded(made, asked, where, stream(kind)):
        body = orjson.loads(data)
        tally.add(body)
        said += "".join(choice["delta"].get("content") or "" for choice in body["choices"])
    assert said == "".join(texts())
    assert tally.complete is (kind != "replicate")  # whose end is told apart from its stream


@every_kind
def test_a_stream_has_a_read_for_each_chunk(kind: str) -> None:
    assert CHUNKS <= len(stream(kind)) <= CHUNKS + 4


@every_kind
def test_a_request_is_of_about_a_kilobyte_with_tools_where_there_are_any(kind: str) -> None:
    made, asked = adapters.provider(kind), adapters.question(kind, False)
    body = made.call(asked, adapters.deployment(kind)).body
    assert 900 <= len(body) <= 1600
    assert (b"queue_depth" in body) is (kind not in adapters.TOOLLESS)


def test_every_kind_is_measured_in_every_round_and_has_its_row_and_goal() -> None:
    rounds = adapters.measured(2, seconds=0.0001)
    rows = adapters.table(rounds).splitlines()[2:]
    assert [row.split(" | ")[0] for row in rows] == [f"| {kind}" for kind in rounds]
    assert set(rounds) == set(MEASURED)
    assert all(set(one or ()) == set(adapters.TITLES) for found in rounds.values() for one in found)
    assert {len(found) for found in rounds.values()} == {2}
    assert adapters.goals("vllm") == {adapters.REQUEST: 1.1, adapters.CHUNK: 1.1}
    assert (adapters.goals("ollama"), adapters.goals("replicate")) == ({adapters.CHUNK: 2.5}, {})


def test_the_report_has_the_section_only_where_adapters_were_measured() -> None:
    figures = dict.fromkeys(adapters.TITLES, 2.0)
    made = report.Report({"connections": 1}, {}, {}, (), {adapters.PLAIN: [figures], "vllm": [figures]})
    assert "## Adapters" in report.markdown(made)
    assert "| vllm | 2.00 | 1.00 | 1.1 | 2.00 | 1.00 | 1.1 |" in report.markdown(made)
    assert orjson.loads(report.as_json(made))["adapters"]["vllm"][adapters.CHUNK]["median"] == 2.0
    assert "## Adapters" not in report.markdown(report.Report({"connections": 1}, {}, {}, ()))


def test_adapters_can_be_measured_alone_or_not_at_all() -> None:
    alone = command.options(command.parser().parse_args(["--targets", "", "--quick"]))
    assert (alone.targets, alone.adapter_rounds) == ((), 1)
    assert command.options(command.parser().parse_args(["--adapter-rounds", "0"])).adapter_rounds == 0
    with pytest.raises(SystemExit, match="negative"):
        command.options(command.parser().parse_args(["--adapter-rounds", "-1"]))
