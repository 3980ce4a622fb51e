"""Answers of the admin plane, and how its OpenAPI document describes those that go wrong."""

from typing import Any

import orjson
from fastapi import Response

from gateway.api.admin_shapes import Problem
from gateway.api.problem import KIND

REFUSALS = {
    400: "The body cannot be read.",
    401: "The admin key is missing or wrong.",
    403: "The request comes from a page of another origin.",
    404: "There is no such thing; the sentence says what there is.",
    409: "It cannot be done here; the sentence says why.",
    413: "The body is too large.",
    421: "The Host header names none of the admin plane's addresses.",
    422: "What was sent does not fit; the sentence says where.",
    503: "Not now; the sentence says when.",
}
GUARDED = (401, 403, 421)  # by the guard, whatever the path


def told(body: object, status: int = 200) -> Response:
    """A value as JSON; it shall be asked for again each time."""
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(body), status, headers, media_type="application/json")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """How the OpenAPI document describes these statuses: problem documents all."""
    schema = {"$ref": f"#/components/schemas/{Problem.__name__}"}
    return {status: {"description": REFUSALS[status], "content": {KIND: {"schema": schema}}} for status in statuses}
