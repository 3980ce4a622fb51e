"""The gateway's secret: made once, read by nobody else, never weak; each purpose has a key of its own."""

import os
import threading
from pathlib import Path

import pytest

from gateway.stores.secret import NAME, SecretRefused, derived, hkdf, secret_of

GOOD = "0123456789abcdef0123456789abcdef"


def test_a_secret_is_made_at_first_and_is_the_same_ever_after(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    made = secret_of(None, directory)
    assert len(made) == 64
    assert secret_of(None, directory) == made
    assert (directory / NAME).stat().st_mode & 0o777 == 0o600
    assert [file.name for file in directory.iterdir()] == [NAME]


def test_a_secret_of_the_environment_goes_before_the_files(tmp_path: Path) -> None:
    secret_of(None, tmp_path)
    assert secret_of(GOOD, tmp_path) == GOOD.encode()


def test_gateways_that_share_a_store_must_be_given_one(tmp_path: Path) -> None:
    with pytest.raises(SecretRefused, match="GATEWAY_SECRET, and it is not set"):
        secret_of(None, tmp_path, shared=True)
    assert secret_of(GOOD, tmp_path, shared=True) == GOOD.encode()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("weak", ["", "secret", "changeme", "0" * 200, "ab" * 40, "x" * 31])
def test_a_weak_secret_is_refused_wherever_it_comes_from(tmp_path: Path, weak: str) -> None:
    with pytest.raises(SecretRefused, match="openssl rand -hex 32"):
        secret_of(weak, tmp_path)
    file = tmp_path / NAME
    file.touch(0o600)
    file.write_text(weak)
    with pytest.raises(SecretRefused) as caught:
        secret_of(None, tmp_path)
    assert not weak or weak not in str(caught.value).replace(str(file), "")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o644])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    secret_of(None, tmp_path)
    (tmp_path / NAME).chmod(mode)
    with pytest.raises(SecretRefused, match="chmod 600"):
        secret_of(None, tmp_path)


def test_odd_bytes_in_the_file_are_no_crash(tmp_path: Path) -> None:
    file = tmp_path / NAME
    file.touch(0o600)
    file.write_bytes(bytes(range(128, 256)))
    with pytest.raises(SecretRefused):  # all of them are replacement characters
        secret_of(None, tmp_path)


def test_a_directory_in_its_place_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir(0o700)
    with pytest.raises(SecretRefused, match="cannot be read"):
        secret_of(None, tmp_path)


def test_where_nothing_can_be_written_the_secret_is_this_processes_own(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    assert len(secret_of(None, blocked / "state")) == 64


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    found: list[bytes] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        found.append(secret_of(None, tmp_path))

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_each_purpose_has_a_key_of_its_own() -> None:
    purposes = ["caller-keys", "cache", "cursor", ""]
    keys = {derived(GOOD.encode(), purpose) for purpose in purposes}
    assert len(keys) == len(purposes)
    assert {len(key) for key in keys} == {32}
    assert derived(GOOD.encode(), "cache") != derived(os.urandom(32), "cache")


def test_derivation_is_that_of_rfc_5869() -> None:
    salt, info = bytes(range(0x0D)), bytes(range(0xF0, 0xFA))  # its first test case
    okm = "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    assert hkdf(b"\x0b" * 22, salt, info, 42).hex() == okm
