"""The gateway's secret: one for everything, from which each purpose has a key of its own (HKDF, RFC 5869)."""

import hmac
import os
import secrets
from contextlib import suppress
from pathlib import Path

NAME = "secret"
LEAST = 32  # characters
DIFFERENT = 8  # characters that differ
SALT = b"llama-gateway"
WEAK = f"Make one of at least {LEAST} characters that nobody can guess, with `openssl rand -hex 32`."


class SecretRefused(Exception):
    """There is no secret that can be used; the message says what to do."""


def secret_of(given: str | None, directory: Path, shared: bool = False) -> bytes:
    """The secret: as given, else the one of the state directory, which is made at first; raises SecretRefused.

    Several gateways that share a store need the same one, so none is made for them. Where the directory cannot be
    written, the secret is good for this process alone.
    """
    if given is not None:
        return strong(given, "GATEWAY_SECRET")
    if shared:
        raise SecretRefused(f"Gateways that share a store need one GATEWAY_SECRET, and it is not set. {WEAK}")
    path = directory / NAME
    try:
        return strong(read(path), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return made(path)
    except OSError as exc:
        raise SecretRefused(f"{path} cannot be read ({exc.strerror}). Make it readable for this user alone.") from exc


def read(path: Path) -> str:
    """The secret in a file; raises OSError, and SecretRefused when others may read it."""
    if os.name == "posix" and path.stat().st_mode & 0o077:
        raise SecretRefused(f"Others may read {path}, which holds the gateway's secret. Run: chmod 600 {path}")
    return path.read_text("utf-8", "replace").strip()


def made(path: Path) -> bytes:
    """A new secret, in its file before it is used; another process that was faster has made the one that counts."""
    text, draft = secrets.token_hex(32), path.with_name(f"{NAME}.{secrets.token_hex(8)}")
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                file.write(f"{text}\n")
            os.link(draft, path)
        except FileExistsError:
            return strong(read(path), str(path))
        finally:
            draft.unlink(missing_ok=True)
    return text.encode()


def strong(text: str, where: str) -> bytes:
    """A secret that nobody guesses; raises SecretRefused."""
    if not text:
        raise SecretRefused(f"{where} is empty. {WEAK}")
    if len(text) < LEAST or len(set(text)) < DIFFERENT:
        raise SecretRefused(f"{where} can be guessed: it is too short or too uniform. {WEAK}")
    return text.encode("utf-8", "surrogateescape")


def derived(secret: bytes, purpose: str, size: int = 32) -> bytes:
    """The key of a purpose, in bytes: whoever has one of them knows nothing of the others."""
    return hkdf(secret, SALT, purpose.encode(), size)


def hkdf(secret: bytes, salt: bytes, info: bytes, size: int) -> bytes:
    """HKDF with SHA-256 (RFC 5869)."""
    pseudorandom = hmac.digest(salt, secret, "sha256")
    block, found, count = b"", b"", 0
    while len(found) < size:
        count += 1
        block = hmac.digest(pseudorandom, block + info + bytes((count,)), "sha256")
        found += block
    return found[:size]
