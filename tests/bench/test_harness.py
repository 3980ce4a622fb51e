"""The benchmark's own parts: that its figures mean what the table says."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from . import __main__ as command
from . import proc, report, stats
from .cases import CASES, METRICS, TITLES, Case, Sample, body, complaint, figures
from .measure import Bench, StartError, run_target
from .targets import TARGETS, Launch
from .targets.gateway import DEPLOYMENTS, policy
from .tools import Job, LoadResult, Tools, Upstream, compile_tools, load, upstream

CHUNKS = 20
SEEN = LoadResult(
    requests=1000, errors=0, seconds=2, rps=500, p50_us=90, p90_us=95, p99_us=120, ttfb_p50_us=80, bytes=1, events=0
)
BY_NAME = {case.name: case for case in CASES}
PLAIN, STREAM, CACHED, CROWD = (BY_NAME[name] for name in ("plain", "stream", "cached", "stream_crowd"))


@pytest.fixture(scope="session")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Tools:
    """The compiled programs."""
    return compile_tools(tmp_path_factory.mktemp("bench-tools"))


@pytest.fixture(scope="module")
def server(tools: Tools) -> Iterator[Upstream]:
    """A running upstream with short streams."""
    with upstream(tools, proc.cores()[1], CHUNKS) as started:
        yield started


def job(server: Upstream, folder: Path, stream: bool = False) -> Job:
    """Return a small bounded run over four connections."""
    file = folder / "body.json"
    file.write_bytes(body("bench-model", STREAM if stream else PLAIN))
    return Job(server.port, "/v1/chat/completions", file, connections=4, requests=200, seconds=10)


def run(tools: Tools, work: Job) -> LoadResult:
    """Run the load generator beside everything else."""
    return load(tools, proc.cores()[1], work)


def test_every_plain_request_is_answered_and_counted_by_both_sides(
    tools: Tools, server: Upstream, tmp_path: Path
) -> None:
    before = server.served()
    seen = run(tools, job(server, tmp_path))
    assert (seen.requests, seen.errors, seen.events) == (200, 0, 0)
    assert server.served() - before == 200
    assert 1000 <= seen.bytes / seen.requests <= 1300
    assert seen.ttfb_p50_us <= seen.p50_us <= seen.p90_us <= seen.p99_us


def test_a_stream_has_its_chunks_the_usage_and_done(tools: Tools, server: Upstream, tmp_path: Path) -> None:
    seen = run(tools, job(server, tmp_path, stream=True))
    assert (seen.requests, seen.errors) == (200, 0)
    assert seen.events == 200 * (CHUNKS + 2)
    assert 200 <= seen.bytes / seen.events <= 260


def test_usage_comes_only_when_asked_for(tools: Tools, server: Upstream, tmp_path: Path) -> None:
    work = job(server, tmp_path)
    work.body.write_text('{"stream": true}')
    assert run(tools, work).events == 200 * (CHUNKS + 1)


def test_an_answer_other_than_200_is_an_error(tools: Tools, server: Upstream, tmp_path: Path) -> None:
    seen = run(tools, replace(job(server, tmp_path), path="/nowhere"))
    assert (seen.requests, seen.errors) == (0, 200)


def test_a_server_that_hangs_up_after_each_answer_is_dialled_again(
    tools: Tools, server: Upstream, tmp_path: Path
) -> None:
    seen = run(tools, replace(job(server, tmp_path), headers=("Connection: close",)))
    assert (seen.requests, seen.errors) == (200, 0)


def test_a_large_body_arrives_whole(tools: Tools, server: Upstream, tmp_path: Path) -> None:
    work = replace(job(server, tmp_path), requests=8)
    work.body.write_text(json.dumps({"pad": "x" * 3_000_000, "stream": True}))
    seen = run(tools, work)
    assert (seen.requests, seen.errors, seen.events) == (8, 0, 8 * (CHUNKS + 1))


def test_a_delay_and_an_interval_hold_the_answer_back(tools: Tools, tmp_path: Path) -> None:
    with upstream(tools, proc.cores()[1], CHUNKS, ("--delay-ms", "20", "--chunk-interval-us", "1000")) as slow:
        seen = run(tools, replace(job(slow, tmp_path, stream=True), requests=4))
    assert seen.ttfb_p50_us >= 20_000
    assert seen.p50_us >= 20_000 + CHUNKS * 1000


def test_a_request_may_ask_for_a_pace_of_its_own(tools: Tools, server: Upstream, tmp_path: Path) -> None:
    work = replace(job(server, tmp_path), requests=4)
    paced = Case("paced", stream=True, pace="pace-delay-us=20000 pace-interval-us=5000 ", chunks=6)
    work.body.write_bytes(body("bench-model", paced))
    seen = run(tools, work)
    assert (seen.requests, seen.events) == (4, 4 * (6 + 2))
    assert seen.ttfb_p50_us >= 20_000
    assert seen.p50_us >= 20_000 + 6 * 5000


def test_each_port_of_the_upstream_is_a_server(tools: Tools, tmp_path: Path) -> None:
    with upstream(tools, proc.cores()[1], CHUNKS, listeners=3) as many:
        assert len(set(many.ports)) == 3
        for port in many.ports:
            assert run(tools, replace(job(many, tmp_path), port=port, requests=4)).requests == 4
        assert many.served() == 12


def test_no_two_requests_that_must_miss_the_cache_are_the_same(tools: Tools, tmp_path: Path) -> None:
    heard: list[bytes] = []
    file = tmp_path / "body.json"
    file.write_bytes(body("bench-model", BY_NAME["missing"]))
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                for _ in range(3):
                    heard.append(connection.recv(1 << 16))
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

        server = threading.Thread(target=answer)
        server.start()
        seen = run(tools, Job(listening.getsockname()[1], "/", file, requests=3))
        server.join()
    assert seen.requests == len(set(heard)) == 3


def test_what_a_crowd_loses_is_a_figure() -> None:
    cut = replace(SEEN, requests=990, errors=10, events=990 * 20 - 40)
    found = figures(CROWD, Sample(cut, 1.0, 20, peak_mb=50.0))
    assert (found["lost_stream_crowd"], found["mb_stream_crowd"]) == (12, 50)


def test_the_load_refuses_what_is_out_of_bounds(tools: Tools, server: Upstream, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of bounds"):
        run(tools, replace(job(server, tmp_path), connections=100_000))


def test_cpu_time_of_a_process_only_grows() -> None:
    mine = proc.family(os.getpid())[:1]
    before = proc.cpu_seconds(mine)
    spent = time.process_time() + 0.05
    while time.process_time() < spent:
        pass
    assert proc.cpu_seconds(mine) >= before + 0.02
    assert proc.resident_mb(mine) > 5


def test_a_family_is_a_process_and_its_descendants(tmp_path: Path) -> None:
    script = ("/bin/sh", "-c", "sleep 60 & echo started; wait")
    process = proc.spawn(script, proc.cores()[1], {}, tmp_path / "log")
    try:
        while "started" not in (tmp_path / "log").read_text():
            assert process.poll() is None
        assert len(proc.family(process.pid)) == 2
    finally:
        proc.stop(process)
    assert process.returncode is not None


def test_a_spread_is_the_median_and_the_range() -> None:
    found = stats.spread([3, 1, 10])
    assert (found.median, found.low, found.high) == (3, 1, 10)


def test_ratios_compare_within_a_round_and_skip_failed_ones() -> None:
    found = stats.ratios([{"x": 2}, {"x": 30}, None], [{"x": 1}, {"x": 10}, {"x": 1}])
    assert found["x"].rounds == (2, 3)


def test_added_is_the_difference_to_direct() -> None:
    assert stats.added({"p50": 30, "new": 1}, {"p50": 20}, ["p50", "new"]) == {"added_p50": 10}


def test_cpu_is_divided_by_requests_and_by_chunks() -> None:
    assert figures(PLAIN, Sample(SEEN, 0.05, 100))["cpu_us"] == pytest.approx(50)
    streamed = replace(SEEN, events=100_000)
    assert figures(STREAM, Sample(streamed, 0.05, 100))["cpu_us_chunk"] == pytest.approx(0.5)
    assert "cpu_us" not in figures(PLAIN, Sample(SEEN, None, 100))


@pytest.mark.parametrize(
    ("case", "seen", "reached", "complaint_about"),
    [
        (PLAIN, SEEN, 1000, None),
        (PLAIN, SEEN, 10, "only 10 of 1000"),
        (PLAIN, replace(SEEN, errors=1), 1000, "1 of 1001 requests failed"),
        (CACHED, SEEN, 0, None),
        (CACHED, SEEN, 3, "3 of 1000 requests missed"),
        (STREAM, replace(SEEN, events=100_000), 1000, None),
        (STREAM, replace(SEEN, events=99_000), 1000, "99.0 events a stream"),
        (CROWD, replace(SEEN, errors=5, events=99_000), 1005, None),
        (CROWD, replace(SEEN, requests=0, errors=5), 5, "5 of 5 requests failed"),
    ],
)
def test_figures_that_do_not_mean_what_they_say_are_refused(
    case: Case, seen: LoadResult, reached: int, complaint_about: str | None
) -> None:
    found = complaint(case, Sample(seen, 0.1, 100), reached)
    assert found is None if complaint_about is None else complaint_about in str(found)


def test_every_metric_belongs_to_a_case_and_has_a_title() -> None:
    assert {metric.case for metric in METRICS} == {case.name for case in CASES}
    assert all(TITLES[metric.name] for metric in METRICS)


def test_the_request_has_the_size_the_table_is_about() -> None:
    assert 800 <= len(body("bench", PLAIN)) <= 1000


def test_the_gateways_policy_offers_ten_deployments_and_caches_on_one_route_only() -> None:
    written = json.loads(json.dumps(policy((8000, 8001))))
    assert len(written["backends"]) == DEPLOYMENTS == 10
    assert len({backend["url"] for backend in written["backends"].values()}) == 2
    assert written["callers"]["bench"]["limits"]
    assert [("cache" in route) for route in written["routes"]] == [False, True]


def test_a_round_without_a_proxy_gives_latencies_and_no_cpu(tools: Tools, server: Upstream) -> None:
    target_core, load_core = proc.cores()
    bench = Bench(tools, server, 0.1, 4, target_core, load_core)
    result = run_target(bench, TARGETS["direct"], [case for case in CASES if not case.crowd])
    assert result.problems == ()
    assert result.figures["rps"] > 0
    assert result.figures["ttft_us_one"] > 0
    assert not {"cpu_us", "memory_mb", "start_s", "cpu_us_hit"} & set(result.figures)


class StandIn:
    """A second upstream in the place of a proxy that answers everything from its cache."""

    name = "stand-in"

    def __init__(self, tools: Tools) -> None:
        self._program = str(tools.upstream)

    def prepare(self) -> None:
        """Nothing is needed."""

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Return a server that never asks the upstream."""
        port = proc.free_port()
        return Launch(argv=(self._program, "--port", str(port)), port=port, cached_model="bench-model")


def test_a_target_with_a_process_is_started_measured_and_stopped(tools: Tools, server: Upstream) -> None:
    before = set(proc.family(os.getpid()))
    bench = Bench(tools, server, 0.1, 4, *proc.cores())
    result = run_target(bench, StandIn(tools), (PLAIN, CACHED))
    assert len(result.problems) == 1
    assert "reached the upstream" in result.problems[0]
    assert {"cpu_us_hit", "hits_per_second", "memory_mb", "start_s"} == set(result.figures)
    assert set(proc.family(os.getpid())) <= before


class Failing:
    """A target that ends at once with a word about it."""

    name = "failing"

    def prepare(self) -> None:
        """Nothing is needed."""

    def launch(self, ports: Sequence[int], folder: Path) -> Launch:
        """Return a command that fails."""
        return Launch(argv=("/bin/sh", "-c", "echo no such policy; exit 3"), port=proc.free_port())


def test_a_target_that_does_not_start_is_quoted(tools: Tools, server: Upstream) -> None:
    with pytest.raises(StartError, match="no such policy"):
        run_target(Bench(tools, server, 0.1, 4, *proc.cores()), Failing())


def test_the_report_shows_medians_ratios_and_what_is_missing(tmp_path: Path) -> None:
    rounds: dict[str, list[stats.Round | None]] = {
        "direct": [{"rps": 100.0}, {"rps": 90.0}],
        "nginx": [{"rps": 80.0, "cpu_us": 13.0}, {"rps": 70.0, "cpu_us": 12.0}],
        "gateway": [{"rps": 40.0, "cpu_us": 52.0}, None],
    }
    made = report.Report({"connections": 16}, rounds, {"peer": "not installed"}, ["round 2 of 2, gateway: cut"])
    report.write(made, tmp_path / "deep" / "bench")
    text = (tmp_path / "deep" / "bench.md").read_text()
    assert "nginx" in (tmp_path / "deep" / "bench.svg").read_text()
    assert "| CPU us per request | - | 12.5 (12.0 to 13.0) | 52.0 |" in text
    assert "peer: not installed" in text
    assert "gateway: cut" in text
    loaded = json.loads((tmp_path / "deep" / "bench.json").read_text())
    assert loaded["ratio_base"] == "gateway"
    assert loaded["ratios"]["nginx"]["cpu_us"]["median"] == 0.25


def test_quick_is_one_short_round_and_an_unknown_target_is_named() -> None:
    quick = command.options(command.parser().parse_args(["--quick", "--targets", "direct"]))
    assert (quick.rounds, quick.targets) == (1, ("direct",))
    with pytest.raises(SystemExit, match="haproxy"):
        command.options(command.parser().parse_args(["--targets", "direct,haproxy"]))
