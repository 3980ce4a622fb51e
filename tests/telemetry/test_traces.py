"""Traces as a collector gets them: a real gateway sends them, over OTLP, to a receiver that speaks the real format."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.telemetry.traces import traces, wanted
from tests.process import GatewayProcess

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
PROMPT = "a prompt that nobody shall see"
ANSWER = {
    "id": "a",
    "object": "chat.completion",
    "created": 1,
    "model": "served-model",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}


@dataclass(slots=True)
class Seen:
    """What was sent to upstreams and to the collector."""

    url: str = ""
    parents: dict[str, str | None] = field(default_factory=dict)  # by upstream
    exports: list[bytes] = field(default_factory=list)

    def spans(self) -> list[Span]:
        """All spans, as the protocol has them."""
        found = []
        for body in self.exports:
            told = ExportTraceServiceRequest()
            told.ParseFromString(body)
            found += [one for resource in told.resource_spans for scope in resource.scope_spans for one in scope.spans]
        return found


@contextmanager
def outside() -> Iterator[Seen]:
    """An upstream that fails, one that answers, and a collector."""
    seen = Seen()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path.endswith("/v1/traces"):
                seen.exports.append(body)
                self.reply(200, b"", "application/x-protobuf")
                return
            upstream = self.path.split("/")[1]
            seen.parents[upstream] = self.headers["traceparent"]
            status = 500 if upstream == "broken" else 200
            self.reply(status, json.dumps(ANSWER if status == 200 else {}).encode(), "application/json")

        def reply(self, status: int, body: bytes, kind: str) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    seen.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield seen
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def policy(folder: Path, url: str) -> str:
    """Two upstreams, the broken one first."""

    def backend(name: str) -> dict[str, object]:
        models = {"llama-3.1-8b-instruct": {"id": "served-model", "price": {"input": 1, "output": 2}}}
        return {"provider": "openai_compatible", "url": f"{url}/{name}", "models": models}

    routes = [
        {
            "name": "traced",
            "match": {"model": ["auto"]},
            "models": ["llama-3.1-8b-instruct"],
            "prefer": ["broken", "sound"],
        }
    ]
    backends = {"broken": backend("broken"), "sound": backend("sound")}
    (folder / "policy.yaml").write_text(json.dumps({"version": 1, "backends": backends, "routes": routes}))
    return str(folder / "policy.yaml")


def ask(gateway: GatewayProcess, headers: dict[str, str]) -> httpx.Response:
    """One request."""
    body = {"model": "auto", "messages": [{"role": "user", "content": PROMPT}]}
    return httpx.post(f"{gateway.data}/v1/chat/completions", json=body, headers=headers, timeout=20)


def facts(span: Span) -> dict[str, object]:
    """A span's attributes."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


def test_request_is_one_span_in_its_callers_trace_and_each_attempt_one_below_it(tmp_path: Path) -> None:
    with outside() as seen:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": seen.url}
        with GatewayProcess("serve", "--policy", policy(tmp_path, seen.url), env=env) as gateway:
            assert ask(gateway, {"traceparent": PARENT}).status_code == 200
        found = seen.spans()
    server, first, second = sorted(
        found, key=lambda span: (span.kind != Span.SPAN_KIND_SERVER, span.end_time_unix_nano)
    )
    assert {span.trace_id.hex() for span in found} == {PARENT.split("-")[1]}
    assert server.parent_span_id.hex() == PARENT.split("-")[2]
    assert {first.parent_span_id, second.parent_span_id} == {server.span_id}
    sent = [seen.parents["broken"], seen.parents["sound"]]
    assert [f"00-{one.trace_id.hex()}-{one.span_id.hex()}-01" for one in (first, second)] == sent
    assert str(facts(first)["error.type"]).startswith("upstream_")
    told = facts(second)
    assert (told["gen_ai.request.model"], told["gen_ai.response.model"]) == ("llama-3.1-8b-instruct", "served-model")
    assert (told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"]) == (7, 3)
    assert facts(server)["gateway.route"] == "traced"
    assert [event.name for event in server.events] == ["gateway.cache", "gateway.plan"]
    assert server.start_time_unix_nano <= first.start_time_unix_nano <= first.end_time_unix_nano
    assert second.end_time_unix_nano <= server.end_time_unix_nano + 1_000_000
    assert all(PROMPT.encode() not in body for body in seen.exports)


def test_request_without_a_trace_begins_one(tmp_path: Path) -> None:
    with outside() as seen:
        env = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": seen.url}
        with GatewayProcess("serve", "--policy", policy(tmp_path, seen.url), env=env) as gateway:
            ask(gateway, {"traceparent": "nonsense"})
        (server,) = [span for span in seen.spans() if span.kind == Span.SPAN_KIND_SERVER]
    assert not server.parent_span_id
    assert str(seen.parents["sound"]).split("-")[1] == server.trace_id.hex()


def test_trace_that_its_caller_does_not_keep_is_passed_on_and_not_sent(tmp_path: Path) -> None:
    unkept = PARENT[:-1] + "0"
    with outside() as seen:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": seen.url}
        with GatewayProcess("serve", "--policy", policy(tmp_path, seen.url), env=env) as gateway:
            ask(gateway, {"traceparent": unkept})
    assert not seen.exports
    assert str(seen.parents["sound"]).startswith(unkept[:36])
    assert str(seen.parents["sound"]).endswith("-00")


def test_callers_trace_is_passed_on_as_it_is_where_nobody_traces(tmp_path: Path) -> None:
    with outside() as seen:
        with GatewayProcess("serve", "--policy", policy(tmp_path, seen.url)) as gateway:
            ask(gateway, {"traceparent": "nonsense"})
            assert seen.parents == {"broken": None, "sound": None}
            ask(gateway, {"traceparent": PARENT})
        assert not seen.exports
    assert seen.parents == {"broken": PARENT, "sound": PARENT}


@pytest.mark.parametrize(
    ("env", "asked"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
        ({"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, False),
    ],
)
def test_opentelemetrys_own_variables_decide_whether_anybody_traces(env: dict[str, str], asked: bool) -> None:
    assert wanted(env) is asked


def test_nothing_is_made_where_nobody_traces() -> None:
    assert traces({}, str) is None
