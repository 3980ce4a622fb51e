"""A caller who hangs up cancels the upstream's work, in every phase, and nothing stays behind."""

import json
import socket

import httpx
import pytest

from gateway.demo.standins.faults import Silent, Slow
from tests.world import KEY, World


def hang_up_after(whole: World, model: str, stream: bool, received: int) -> None:
    """Send a request, read that many bytes of the answer, and hang up."""
    body = json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}).encode()
    count = len(whole.script.requests)
    host, _, port = whole.gateway.data.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as caller:
        caller.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (KEY.encode(), len(body), body)
        )
        whole.background.run(whole.script.arrived(count + 1))
        seen = whole.script.requests[count]
        while received > 0:
            received -= len(caller.recv(received))
    whole.background.run(seen.closed.wait())
    assert seen.disconnected


def in_flight(whole: World) -> dict[str, int]:
    """Requests in flight by backend, as the admin plane shows them."""
    rows = httpx.get(f"{whole.gateway.admin}/admin/backends").json()
    return {row["backend"]: row["in_flight"] for row in rows if row["in_flight"]}


def last_outcome(whole: World) -> str:
    """How the last request ended."""
    row = httpx.get(f"{whole.gateway.admin}/admin/requests?limit=1").json()[0]
    return f"{row['outcome']} {row['status']}"


@pytest.mark.parametrize("stream", [False, True])
def test_while_the_upstream_has_not_answered(whole: World, stream: bool) -> None:
    whole.script.add(Slow())
    hang_up_after(whole, "trouble-6", stream, received=0)
    assert in_flight(whole) == {}
    assert last_outcome(whole) == "client_cancelled 499"


def test_in_the_middle_of_a_stream(whole: World) -> None:
    whole.script.add(Silent(after_chunks=5))
    hang_up_after(whole, "trouble-7", stream=True, received=400)
    assert in_flight(whole) == {}
    assert last_outcome(whole) == "client_cancelled 499"
