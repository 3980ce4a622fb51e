"""Backends of a policy: kind, address, credentials, and whether they are switched on."""

import re
from dataclasses import dataclass
from pathlib import Path as PathName
from stat import S_ISREG

from gateway.config import addresses
from gateway.config.choices import TimeoutsSpec
from gateway.config.context import Context
from gateway.config.problems import Path, clean
from gateway.config.schema import BackendSpec
from gateway.providers.kind import Kind
from gateway.providers.registry import KINDS, provider_class
from gateway.types import Backend, ReadOn, Timeouts

CLASS = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)
FRAMING = frozenset({"host", "content-length", "transfer-encoding", "connection", "expect", "te", "trailer", "upgrade"})
HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
QUEUE = 2  # times the requests that a backend works on may wait for it
HEADER_VALUE = re.compile(r"[\x20-\x7e\xa0-\xff]*")


@dataclass(frozen=True, slots=True)
class Server:
    """A backend, its kind, and why it is switched off if it is."""

    backend: Backend
    kind: Kind
    off: str | None = None


def servers(context: Context) -> dict[str, Server]:
    """Every backend of the file by name, those that are switched off included."""
    found = {name: server(name, spec, context) for name, spec in context.file.backends.items()}
    if found and all(one.off for one in found.values()):
        message = "Every backend is switched off, so nobody can answer. Set at least one of their credential variables."
        context.report.add("LG026", ("backends",), message, key=True)
    return found


def server(name: str, spec: BackendSpec, context: Context) -> Server:
    """One backend, checked."""
    path: Path = ("backends", name)
    kind = kind_of(spec.provider, (*path, "provider"), context)
    key, off = credential(name, spec, kind, context)
    check_headers(spec, path, context)
    check_files(spec, path, context)
    check_transport(spec, kind, path, context)
    check_region(spec, kind, path, context)
    if not spec.models and context.shaped.whole((*path, "models")):
        message = f"The backend '{name}' serves no models, so it is never used. List them under `models`, or remove it."
        context.report.add("LG035", path, message, key=True)
    backend = Backend(
        name=name,
        kind=spec.provider,
        url=address(name, spec, kind, context),
        api_key=key,
        headers={header.lower(): value for header, value in spec.headers.items()},
        location=spec.location or kind.location,
        region=spec.region,
        concurrency=spec.limits.concurrency,
        slots=spec.slots or spec.limits.concurrency or kind.slots,
        queue=queue(spec, kind),
        queue_wait=kind.queue_wait if spec.limits.queue_wait is None else spec.limits.queue_wait,
        read_on=None if (rest := spec.on_disconnect.drain) is None else ReadOn(rest.max, rest.seconds),
        usd_per_hour=spec.cost.usd_per_hour,
        timeouts=override(kind.timeouts, spec.timeouts, kind),
        keepalive=kind.keepalive,
        ca=spec.tls.ca,
        cert=spec.tls.cert,
        key=spec.tls.key,
        proxy=spec.proxy,
    )
    return Server(backend, kind, off)


def queue(spec: BackendSpec, kind: Kind) -> int:
    """How many requests may wait: as written, as usual for the kind, or twice as many as are worked on."""
    if spec.limits.queue is not None:
        return spec.limits.queue
    return kind.queue or QUEUE * (spec.limits.concurrency or spec.slots or kind.slots)


def kind_of(provider: str, path: Path, context: Context) -> Kind:
    """The facts of a provider kind; a stand-in for one we do not know, or must not import."""
    own = CLASS.fullmatch(provider) is not None
    if provider in KINDS or (own and context.env is not None):
        try:
            kind = getattr(provider_class(provider), "kind", None)
        except LookupError as exc:
            context.report.add("LG030", path, f"The provider `{clean(provider)}` cannot be used: {exc}.")
            return Kind(provider, telemetry=provider, location="self_hosted")
        if isinstance(kind, Kind):
            return kind
        context.report.add("LG030", path, f"The class `{clean(provider)}` has no `kind`, so it is no provider.")
    elif not own and not context.unread(provider):
        kinds = ", ".join(KINDS)
        message = f"There is no provider kind `{clean(provider)}`. There are {kinds}, and `package.module:Class`."
        context.report.add("LG030", path, message, context.near(provider, KINDS))
    return Kind(provider, telemetry=provider, location="hosted" if own else "self_hosted")


def credential(name: str, spec: BackendSpec, kind: Kind, context: Context) -> tuple[str | None, str | None]:
    """The backend's key, and why it is switched off if it lacks one; a draft's keys are not looked at."""
    if context.env is None:
        return None, None
    variable = context.off.get(name)
    key = spec.api_key
    written = ("backends", name, "api_key") in context.report.values
    if not written and kind.credential is not None:
        key = context.env.get(kind.credential) or None
        variable = kind.credential if key is None and kind.needs_key else None
        context.report.hide(key or "", "***")
    if variable is None:
        return key, None
    message = f"The backend '{name}' is switched off, because {variable} is not set. Set it to use the backend."
    context.report.add("LG025", ("backends", name), message, key=True)
    return None, f"its backend is switched off, because {variable} is not set"


def address(name: str, spec: BackendSpec, kind: Kind, context: Context) -> str:
    """The backend's address, checked."""
    path: Path = ("backends", name, "url")
    url = spec.url or kind.url or ""
    if not url:
        if spec.provider in KINDS and kind.needs_url and path not in context.report.values:
            message = f"The backend '{name}' has no `url`, and the kind {kind.name} has no address of its own. Add it."
            context.report.add("LG031", path, message, key=True)
    elif not context.unread(url):
        check_address(url, path, context)
    proxy: Path = ("backends", name, "proxy")
    if spec.proxy and not context.unread(spec.proxy) and addresses.parts(spec.proxy) is None:
        message = f"The `proxy` of '{name}' is not an address that begins with http:// or https://. Correct it."
        context.report.add("LG032", proxy, message)
    return url


def check_address(url: str, path: Path, context: Context) -> None:
    """An HTTP address that is nobody's metadata service."""
    secret = "@" in url or "?" in url  # or at least it may be
    hint = f"write http://{url}" if not secret and "://" not in url and addresses.parts(f"http://{url}") else ""
    if fault := addresses.fault(url):
        shown = "" if secret else f" `{clean(url)}`"
        context.report.add("LG032", path, f"The url{shown} of '{path[1]}' {fault}.", hint)
    elif addresses.forbidden(url):
        message = f"The url of '{path[1]}' is a link-local or metadata address, which can hand out this machine's"
        context.report.add("LG033", path, f"{message} credentials. Give the server's own address.")


def check_files(spec: BackendSpec, path: Path, context: Context) -> None:
    """The files of `tls` are there and hold what they should."""
    for key in ("ca", "cert", "key"):
        file = getattr(spec.tls, key)
        if file and context.env is not None and not context.unread(file) and (fault := unreadable(file)):
            message = f"The file of `tls.{key}` of '{path[1]}' cannot be used: {fault}. Correct its path."
            context.report.add("LG024", (*path, "tls", key), message)


def check_transport(spec: BackendSpec, kind: Kind, path: Path, context: Context) -> None:
    """`proxy` and `tls` are written only where they will be honoured."""
    written = {"proxy": spec.proxy, "tls": spec.tls.ca or spec.tls.cert or spec.tls.key}
    for key in (key for key, value in written.items() if value and not kind.transport):
        message = f"`{key}` of '{path[1]}' would do nothing: the kind {kind.name} has connections of its own. Remove it"
        context.report.add("LG036", (*path, key), f"{message}, or use a kind that speaks to the host itself.", key=True)


def check_region(spec: BackendSpec, kind: Kind, path: Path, context: Context) -> None:
    """A region that becomes part of an address has the form of one."""
    region = spec.region
    if region is None or kind.region_form is None or context.unread(region) or re.fullmatch(kind.region_form, region):
        return
    message = f"`{clean(region)}` is no region of {kind.name}. Write its full name, such as {kind.region}."
    context.report.add("LG037", (*path, "region"), f"{message} `require: {{regions: [eu]}}` takes in eu-west-1.")


def unreadable(file: str) -> str:
    """Why a file cannot be read; nothing when it can."""
    try:
        if not S_ISREG(PathName(file).stat().st_mode):
            return "it is no plain file"
        with PathName(file).open("rb"):
            return ""
    except OSError as exc:
        return exc.strerror or "it cannot be opened"
    except ValueError:
        return "no file can have that name"


def check_headers(spec: BackendSpec, path: Path, context: Context) -> None:
    """Names and values that HTTP can carry."""
    for header, value in spec.headers.items():
        if header.lower() in FRAMING:
            message = f"The header `{header}` is the gateway's own to set. Remove it."
            context.report.add("LG034", (*path, "headers", header), message, key=True)
            continue
        if not HEADER.fullmatch(header):
            message = f"`{clean(header)}` cannot be the name of an HTTP header. Correct it."
            context.report.add("LG034", (*path, "headers", header), message, key=True)
        elif not HEADER_VALUE.fullmatch(value):
            message = f"The value of the header `{header}` has a character that HTTP cannot carry. Remove it."
            context.report.add("LG034", (*path, "headers", header), message)
    if spec.api_key is not None and not HEADER_VALUE.fullmatch(spec.api_key):
        message = f"The api_key of '{path[1]}' has a character that HTTP cannot carry. Remove it."
        context.report.add("LG034", (*path, "api_key"), message)


def override(base: Timeouts, spec: TimeoutsSpec, kind: Kind, own: bool = True) -> Timeouts:
    """Timeouts with what is written in place; the last candidate always gets the time the kind needs.

    Only a backend's `own` entry may cut the time of a cold load: cutting it short would make the load start over.
    """
    written = spec.first_token if own or spec.first_token is None else max(spec.first_token, kind.cold)
    first = base.first_token if written is None else written
    last = base.first_token_last if spec.first_token is None else max(first, kind.timeouts.first_token_last)
    return Timeouts(
        connect=base.connect if spec.connect is None else spec.connect,
        first_token=first,
        first_token_last=last,
        idle=base.idle if spec.idle is None else spec.idle,
        total=base.total if spec.total is None else spec.total,
    )
