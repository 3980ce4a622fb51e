"""`llama-gateway explain`: the plan of one request."""

import os
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

import httpx
import orjson
from cyclopts import Parameter

from gateway.catalogue import Catalogue
from gateway.cli.start import FAILED, address
from gateway.config.loading import load
from gateway.config.settings import Settings, SettingsError
from gateway.dialects.openai import chat_request
from gateway.engine.engine import routed
from gateway.errors import GatewayError
from gateway.policytools.check import render
from gateway.policytools.explain import deliberation_json, plan_json, plan_text
from gateway.routing.book import StatsBook
from gateway.routing.planner import deliberate
from gateway.routing.policy import Policy
from gateway.stores.request_file import one
from gateway.stores.state import NAME, StateAway, StateFile, StateRefused
from gateway.types import CacheControl, Caller, ChatRequest, Json

CHANCE = 0.5  # of [0, 1): it decides ties and, where a route splits its requests, the arm


class Unexplained(Exception):
    """There is no plan; the message says why."""


def explain(
    *,
    policy: Annotated[Path | None, Parameter(help="The policy file; else GATEWAY_POLICY.")] = None,
    request: Annotated[Path | None, Parameter(help="A chat request's body, as JSON.")] = None,
    model: Annotated[str, Parameter(help="Or: the model to ask for ...")] = "auto",
    prompt: Annotated[str, Parameter(help="... and a prompt.")] = "Hello",
    header: Annotated[tuple[str, ...], Parameter(help="A request header, as NAME:VALUE.")] = (),
    id: Annotated[str | None, Parameter(help="Or: a request that was answered, by its x-request-id.")] = None,
    format: Annotated[Literal["text", "json"], Parameter(help="How to print it.")] = "text",
) -> int:
    """The verb `explain`; its exit code."""
    try:
        settings = Settings.from_env(os.environ)
        found = answered(id, settings) if id else planned(policy or settings.policy, request, model, prompt, header)
    except (SettingsError, Unexplained) as exc:
        print(exc, file=sys.stderr)
        return FAILED
    print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() if format == "json" else plan_text(found))
    return FAILED if "error" in found else 0


def planned(path: Path | None, body: Path | None, model: str, prompt: str, headers: tuple[str, ...]) -> Json:
    """The plan that a policy makes when nothing was seen yet, or why there is none; raises Unexplained."""
    if path is None:
        raise Unexplained("No policy: give --policy FILE or set GATEWAY_POLICY.")
    loaded = load(path, os.environ, Catalogue.load(), datetime.now(UTC).date())
    if loaded.policy is None:
        raise Unexplained(render(loaded.problems, "text", sys.stderr.isatty()).rstrip())
    raw = content(body) if body else said(model, prompt)
    try:
        return plan_json_of(loaded.policy, asked(raw, headers))
    except GatewayError as exc:
        raise Unexplained(refusal(exc)) from exc


def content(file: Path) -> bytes:
    """A request's body in a file; raises Unexplained."""
    try:
        return file.read_bytes()
    except OSError as exc:
        raise Unexplained(f"{file} cannot be read: {exc.strerror}.") from exc


def said(model: str, prompt: str) -> bytes:
    """The body of a request in the words of the command line; raises Unexplained."""
    try:
        return orjson.dumps({"model": model, "messages": [{"role": "user", "content": prompt}]})
    except orjson.JSONEncodeError as exc:
        raise Unexplained("The model or the prompt is not UTF-8. Write the request to a file, see --request.") from exc


def asked(raw: bytes, headers: tuple[str, ...]) -> ChatRequest:
    """The request in a body, with headers as the command line has them."""
    pairs = [header.partition(":") for header in headers]
    given = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return chat_request(raw, "explain", given, Caller("explain"), CacheControl(), time.monotonic(), None)


def plan_json_of(policy: Policy, request: ChatRequest) -> Json:
    """The plan of a request with every filter's verdict; raises GatewayError when no route takes it."""
    book = StatsBook()
    request, route = routed(request, policy, book)
    return deliberation_json(deliberate(request, route, book, time.monotonic(), CHANCE), CHANCE)


def refusal(error: GatewayError) -> str:
    """An error with its reasons, a line each."""
    details: Mapping[str, list[Json]] = error.details or {}
    rows = [
        f"  {row.get('route') or row.get('deployment')}: {row['reason']}"
        for row in [*details.get("routes", []), *details.get("candidates", [])]
    ]
    return "\n".join([f"{error.status} {error.code}: {error.message}", *rows])


def answered(id: str, settings: Settings) -> Json:
    """The plan of a request that a running gateway remembers, else one in its log; raises Unexplained."""
    where = address((settings.admin_host, settings.admin_port))
    headers = {b"authorization": f"Bearer {settings.admin_key}".encode()} if settings.admin_key else {}
    try:
        response = httpx.get(f"http://{where}/admin/requests/{quote(id, safe='')}", headers=headers, timeout=5.0)
    except httpx.HTTPError as exc:
        if (kept := filed(id, settings)) is not None:
            return kept
        message = f"No gateway answers on {where}, and the log in {settings.state_dir} has no request '{id}'."
        raise Unexplained(f"{message} Is the gateway running?") from exc
    if response.status_code != 200:
        raise Unexplained(f"The gateway does not know request '{id}' ({response.status_code}).")
    try:
        record = response.json()
        found, reason = record["plan"], record["reason"]
    except (ValueError, KeyError, TypeError) as exc:
        raise Unexplained(f"What answers on {where} is no gateway; set GATEWAY_ADMIN_PORT to the gateway's.") from exc
    if not isinstance(found, dict):
        raise Unexplained(f"Request '{id}' was answered without a plan: {reason or 'it was refused'}.")
    return found


def filed(id: str, settings: Settings) -> Json | None:
    """The plan of a request in the log of the state directory; None where it is not there, or has none."""
    state = StateFile(settings.state_dir / NAME)
    if state.empty:
        return None
    try:
        found = state.read(lambda db: one(db, id))
    except (StateAway, StateRefused):
        return None
    return None if found is None or found[0].plan is None else plan_json(found[0].plan)
