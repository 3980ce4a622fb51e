"""What came of asking a backend for its models: is its key accepted, does it answer as its kind does?"""

from urllib.parse import urlsplit

from gateway.errors import BadCredentials, InvalidResponse, UpstreamError
from gateway.fleet.checks.finding import Finding, Subject


def judge(
    subject: Subject, status: int | None, error: UpstreamError | None, permission: str = "", chain: str = ""
) -> list[Finding]:
    """What a list of models that could not be had means; `status` as far as there was an HTTP answer.

    `permission` is the right that a refusal says is missing, where it says so; `chain` is as in `refused`.
    """
    if error is None:
        return []
    if isinstance(error, BadCredentials) and permission:
        what = f"Its credentials are good, but they may not list models: `{permission}` is missing ({status})."
        advice = "Allow it, and the right to use the models; or go by its answers alone."
        return [Finding("warning", "key", subject.name, what, advice)]
    if isinstance(error, BadCredentials):
        return [refused(subject, status, chain)]
    if status is None:
        what = "It takes the connection, but gives no HTTP answer."
        advice = "If it speaks TLS, write `https://` in its url; else correct the port, or look at the server's log."
        return [Finding("error", "models", subject.name, what, advice)]
    if status == 404 or 300 <= status < 400:
        what = f"There is no list of models at its address ({status})."
        return [Finding("error", "models", subject.name, what, "Correct the path in its url, or its `provider`.")]
    if status == 429:
        what = "It is rate limited now (429), so it could not be asked for its models."
        return [Finding("warning", "models", subject.name, what, "Try again later; look at the account's limits.")]
    if isinstance(error, InvalidResponse):
        what = f"Its list of models is none that a `{subject.backend.kind}` gives."
        return [Finding("error", "models", subject.name, what, "Correct its `provider` or its url.")]
    what = f"It answers {status} when asked for its models."
    return [Finding("error", "models", subject.name, what, "Look at the server's log, or at its provider's status.")]


def refused(subject: Subject, status: int | None, chain: str = "") -> Finding:
    """The finding on credentials that are not accepted, or missing; `chain` is where others than a key come from."""
    said = f" ({status})" if status else ""
    if subject.backend.api_key is None and chain:
        what = f"It refuses the credentials that {chain} gives{said}."
        return Finding("error", "key", subject.name, what, "Renew them, or correct the variable, profile or role.")
    if subject.backend.api_key is None:
        advice = f"Write `api_key: ${{{subject.credential or 'A_VARIABLE'}}}` for it, and set that variable."
        return Finding("error", "key", subject.name, f"It wants a key, and there is none{said}.", advice)
    advice = "Set a valid one; a new one is made in the provider's console, or where the server was started."
    return Finding("error", "key", subject.name, f"It refuses the key in {subject.key}{said}.", advice)


def silent(subject: Subject, seconds: float) -> Finding:
    """The finding on a list that did not come in time."""
    what = f"It did not list its models within {seconds:g} s."
    return Finding("warning", "models", subject.name, what, "Try again; look at its load and its log.")


def unsendable(subject: Subject) -> list[Finding]:
    """An error for a key or a header that HTTP cannot carry."""
    backend = subject.backend
    if all(text.isascii() and text.isprintable() for text in (backend.api_key or "", *backend.headers.values())):
        return []
    what = f"There is a character in {subject.key} or its `headers` that no key has."
    return [Finding("error", "key", subject.name, what, "Set it again, without spaces or line ends around it.")]


def exposed(subject: Subject) -> list[Finding]:
    """A warning when a key goes over the network unencrypted."""
    url = urlsplit(subject.backend.url)
    inside = subject.backend.location == "self_hosted" or near(url.hostname)
    if url.scheme != "http" or not subject.backend.api_key or inside:
        return []
    what = "Its key is sent over plain HTTP, where everybody on the way can read it."
    return [Finding("warning", "key", subject.name, what, "Write `https://` in its url.")]


def near(host: str | None) -> bool:
    """Whether a host is this machine."""
    return host is None or host in ("localhost", "::1") or host.startswith("127.")
