"""Requests that two readers of HTTP may take apart differently: each hides a second one."""

from tests.faults.policies import KEY

HIDDEN = "r-999999"  # must never reach the wall


def inner(cell: str) -> bytes:
    """The request that is hidden."""
    body = b'{"model":"%b","messages":[{"role":"user","content":"%b"}]}' % (cell.encode(), HIDDEN.encode())
    return head(b"content-length: %d" % len(body)) + body


def head(*lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
    """The head of a chat request with these lines besides."""
    top = [b"POST /v1/chat/completions " + version, b"host: test", b"authorization: Bearer " + KEY.encode()]
    return b"\r\n".join([*top, *lines, b"", b""])


def chunked(data: bytes) -> bytes:
    """A chunked body."""
    return b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data)


def corpus(cell: str) -> dict[str, bytes]:
    """The requests by name; none may bring the hidden one to the wall."""
    hidden = inner(cell)
    short = b'{"model":"x"}'
    sized = b"content-length: %d" % len(short)
    te = b"transfer-encoding: chunked"
    return {
        "CL.TE": head(b"content-length: %d" % (len(hidden) + 5), te) + b"0\r\n\r\n" + hidden,
        "TE.CL": head(te, b"content-length: 4") + chunked(hidden),
        "TE.TE": head(te, b"transfer-encoding: identity", sized) + short + hidden,
        "TE-obscured": head(b"transfer-encoding: xchunked", sized) + short[:5] + hidden,
        "TE-spaced": head(b"transfer-encoding : chunked", sized) + b"0\r\n\r\n" + hidden,
        "two-lengths": head(sized, b"content-length: 0") + hidden,
        "length-list": head(b"content-length: 0, %d" % len(hidden)) + hidden,
        "length-sign": head(b"content-length: +%d" % len(short)) + hidden,
        "length-hex": head(b"content-length: 0x%x" % len(short)) + hidden,
        "folded": head(b"x-long: a\r\n content-length: 0", b"content-length: %d" % len(hidden)) + hidden,
        "bare-LF": head(b"x-a: b\ncontent-length: 0").replace(b"\r\n", b"\n") + hidden,
        "bare-CR": head(b"x-a: b\rcontent-length: 0") + hidden,
        "chunk-size": head(te) + b"0x5\r\nhello\r\n0\r\n\r\n" + hidden,
        "chunk-sign": head(te) + b"-1\r\n" + hidden,
        "chunk-tail": head(te) + b"5\r\nhelloXX0\r\n\r\n" + hidden,
        "underscore": head(b"content_length: 0", b"content-length: %d" % len(hidden)) + hidden,
        "old": head(te, version=b"HTTP/1.0") + b"0\r\n\r\n" + hidden,
    }
