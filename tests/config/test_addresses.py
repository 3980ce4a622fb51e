"""Upstreams have plain HTTP addresses, and never a cloud's metadata service."""

import pytest

from gateway.config.addresses import fault, forbidden


@pytest.mark.parametrize("url", ["http://a", "https://a.example:8443/v1", "http://10.0.0.5:8000", "http://[::1]:8000"])
def test_a_plain_address_is_fine(url: str) -> None:
    assert fault(url) is None
    assert not forbidden(url)


@pytest.mark.parametrize(
    "url",
    ["", "a", "ftp://a", "file:///etc/passwd", "http://", "http:///x", "http://a:x", "http://a:0", "http://[::1",
     "http://u:p@a", "http://u@a", "http://a?b", "http://a#b", "http://a b", "http://a\nb", "javascript:1", "//a"],
)  # fmt: skip
def test_anything_else_is_not(url: str) -> None:
    assert fault(url)


@pytest.mark.parametrize(
    "host",
    ["169.254.169.254", "169.254.0.1:80", "2852039166", "0xA9FEA9FE", "0251.0376.0251.0376", "169.254.43518",
     "[fe80::1]", "[fe80::1%25eth0]", "[::ffff:169.254.169.254]", "[::ffff:a9fe:a9fe]", "[::a9fe:a9fe]",
     "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::]", "[fd00:ec2::254]", "[fd20:ce::254]", "100.100.100.200",
     "metadata.google.internal", "METADATA.google.internal", "metadata.google.internal.", "metadata"],
)  # fmt: skip
def test_link_local_and_metadata_addresses_are_forbidden_however_written(host: str) -> None:
    assert forbidden(f"http://{host}/v1")


@pytest.mark.parametrize("host", ["169.253.1.1", "10.0.0.5", "127.0.0.1", "localhost", "[fd00::1]", "metadata.example"])
def test_other_private_addresses_are_allowed(host: str) -> None:
    assert not forbidden(f"http://{host}/v1")
