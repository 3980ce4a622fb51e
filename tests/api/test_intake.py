"""Headers, keys and bodies as they come in."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.door import WRONG_KEY, Door
from gateway.api.intake import BODY_LIMIT, LOOPBACK, body_of, caller_of, deadline_of, headers_of
from gateway.api.reply import Message
from gateway.errors import CallerGone, InvalidRequest, TooLarge, Unauthorized
from gateway.routing.policy import key_digest
from gateway.types import Caller
from tests.routing.samples import policy

SEARCH = Caller("search")
HERE = {"client": ("127.0.0.1", 5)}
KEYED = policy(callers={key_digest("sk-search"): SEARCH, key_digest("sk-chat"): Caller("chat")})


class Wire:
    """Gives a body piece by piece, and then a disconnect."""

    def __init__(self, *pieces: bytes, complete: bool = True) -> None:
        self.messages: list[Message] = [
            {"type": "http.request", "body": piece, "more_body": not complete or index < len(pieces) - 1}
            for index, piece in enumerate(pieces)
        ]
        self.received = 0

    async def __call__(self) -> Message:
        self.received += 1
        return self.messages.pop(0) if self.messages else {"type": "http.disconnect"}


def read(wire: Wire, **headers: str) -> bytes:
    return asyncio.run(body_of({name.replace("_", "-"): value for name, value in headers.items()}, wire))


def test_headers_are_read_as_latin_1() -> None:
    assert headers_of({"headers": [(b"x-a", b"1"), (b"x-b", b"\xe9")]}) == {"x-a": "1", "x-b": "é"}


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer sk-search"},
        {"authorization": "bearer   sk-search "},
        {"x-api-key": "sk-search"},
        {"authorization": "Basic c2s=", "x-api-key": " sk-search"},
        {"authorization": "Bearer", "x-api-key": "sk-search"},
    ],
)
def test_caller_is_known_by_the_key_in_either_header(headers: dict[str, str]) -> None:
    assert caller_of(HERE, headers, KEYED, Door()) is SEARCH


WRONG = [
    {},
    {"authorization": ""},
    {"authorization": "Bearer"},
    {"authorization": "Bearer "},
    {"authorization": "Bearer sk-other"},
    {"authorization": "sk-search"},
    {"authorization": "Basic sk-search"},
    {"x-api-key": ""},
    {"x-api-key": "sk-searc"},
    {"x-api-key": "sk-search2"},
    {"authorization": "Bearer ü"},
    {"authorization": "Bearer ' OR 1=1 --"},
    {"authorization": "Bearer sk-other", "x-api-key": "sk-search"},
]


@pytest.mark.parametrize("headers", WRONG)
def test_every_wrong_key_gets_the_same_words(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized) as caught:
        caller_of(HERE, headers, KEYED, Door())
    error = caught.value
    assert (error.status, error.message, error.param, error.details) == (401, WRONG_KEY, None, None)


def test_policy_without_callers_needs_no_key() -> None:
    assert caller_of(HERE, {}, policy(), Door()) is LOOPBACK
    assert caller_of(HERE, {"authorization": "Bearer anything"}, policy(), Door()) is LOOPBACK


@given(st.text(st.characters(codec="latin-1")), st.text(st.characters(codec="latin-1")))
def test_any_header_is_a_caller_or_a_401(authorization: str, key: str) -> None:
    try:
        caller_of(HERE, {"authorization": authorization, "x-api-key": key}, KEYED, Door())
    except Unauthorized as error:
        assert error.message == WRONG_KEY


def test_body_is_put_together_from_its_pieces() -> None:
    assert read(Wire(b"ab", b"", b"cd")) == b"abcd"
    assert read(Wire(b"")) == b""


def test_body_at_the_limit_is_taken() -> None:
    assert len(read(Wire(b"x" * BODY_LIMIT), content_length=str(BODY_LIMIT))) == BODY_LIMIT
    assert len(read(Wire(*[b"x" * (BODY_LIMIT // 8)] * 8))) == BODY_LIMIT


def test_body_that_is_declared_too_large_is_refused_before_a_byte_of_it_is_read() -> None:
    wire = Wire(b"x")
    with pytest.raises(TooLarge, match="8 MiB") as caught:
        read(wire, content_length=str(BODY_LIMIT + 1))
    assert caught.value.status == 413
    assert wire.received == 0


@pytest.mark.parametrize("declared", [None, "5"])
def test_body_that_grows_too_large_is_refused_whatever_was_declared(declared: str | None) -> None:
    headers = {} if declared is None else {"content_length": declared}
    with pytest.raises(TooLarge):
        read(Wire(b"x" * (BODY_LIMIT + 1)), **headers)
    endless = Wire(*[b"x" * (1 << 20)] * 20, complete=False)
    with pytest.raises(TooLarge):
        read(endless, **headers)
    assert endless.received == 9


@pytest.mark.parametrize("declared", ["²", "٣", "-1", "1e9", "", "x", "+5"])
def test_length_that_is_no_number_is_not_believed(declared: str) -> None:
    assert read(Wire(b"ab"), content_length=declared) == b"ab"


def test_length_of_thousands_of_digits_is_too_large() -> None:
    with pytest.raises(TooLarge):
        read(Wire(b"ab"), content_length="9" * 5000)


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate", "gzip, identity", "zstd"])
def test_packed_body_is_refused_before_it_is_read(encoding: str) -> None:
    wire = Wire(b"x")
    with pytest.raises(InvalidRequest, match="must not be compressed"):
        read(wire, content_encoding=encoding)
    assert wire.received == 0


def test_identity_is_no_packing() -> None:
    assert read(Wire(b"x"), content_encoding="identity") == b"x"


@pytest.mark.parametrize("pieces", [(), (b"ab",), (b"ab", b"cd")])
def test_caller_who_hangs_up_before_the_end_of_the_body_is_gone(pieces: tuple[bytes, ...]) -> None:
    with pytest.raises(CallerGone):
        read(Wire(*pieces, complete=False))


def test_deadline_counts_from_the_arrival() -> None:
    assert deadline_of({}, 100.0) is None
    assert deadline_of({"x-request-timeout-ms": "2500"}, 100.0) == 102.5


@pytest.mark.parametrize("value", ["", "0", "00", "-5", "1.5", "1e3", "soon", "²", "٣", " 5", "5 ", "0x10"])
def test_nonsense_for_a_timeout_is_the_callers_error(value: str) -> None:
    with pytest.raises(InvalidRequest, match="x-request-timeout-ms"):
        deadline_of({"x-request-timeout-ms": value}, 100.0)


@pytest.mark.parametrize("digits", [20, 300, 400, 5000])
def test_timeout_of_any_length_is_a_deadline_or_the_callers_error(digits: int) -> None:
    try:
        deadline = deadline_of({"x-request-timeout-ms": "9" * digits}, 100.0)
    except InvalidRequest:
        return
    assert deadline is not None and deadline > 100.0


@pytest.mark.parametrize("peer", ["10.0.0.5", "192.0.2.1", "2001:db8::1", "unix"])
def test_policy_without_callers_lets_nobody_in_from_elsewhere(peer: str) -> None:
    with pytest.raises(Unauthorized):
        caller_of({"client": (peer, 5)}, {}, policy(), Door())


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": "evil.example:4080"},
        {"host": "localhost:4080", "origin": "http://evil.example"},
        {"host": "localhost:4080", "origin": "null"},
    ],
)
def test_policy_without_callers_lets_no_page_of_another_origin_in(headers: dict[str, str]) -> None:
    with pytest.raises(Unauthorized) as caught:
        caller_of(HERE, headers, policy(), Door())
    assert (caught.value.status, caught.value.message) == (401, WRONG_KEY)


@pytest.mark.parametrize(
    "headers", [{"host": "localhost:4080"}, {"host": "[::1]:1", "origin": "http://localhost:3000"}]
)
def test_policy_without_callers_lets_this_machine_in(headers: dict[str, str]) -> None:
    assert caller_of(HERE, headers, policy(), Door()) is LOOPBACK


def test_host_and_origin_are_of_no_account_where_there_are_keys() -> None:
    headers = {"host": "gateway.internal", "origin": "https://app.example", "authorization": "Bearer sk-search"}
    assert caller_of(HERE, headers, KEYED, Door()) is SEARCH
