"""The policy's part of the admin plane: what is in force, what was, reload and rollback."""

from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.api.admin_drafts import documented
from gateway.api.admin_shapes import PolicyView, Reloaded, RolledBack, VersionRow
from gateway.api.answers import problems, told
from gateway.api.intake import body_of, headers_of
from gateway.api.problem import refusal
from gateway.config.live import LivePolicy
from gateway.config.versions import Version
from gateway.errors import GatewayError
from gateway.types import Json

NO_FILE = "This gateway was started by `up` and has no policy file; serve one to {verb} it."
REFUSED = "The file was refused, and what was in force stays; see `problems`."
WRONG_TARGET = 'The body must be {"generation": "..."}, with one of GET /admin/policy/versions, or be left out.'


class Target(BaseModel):
    """Where a rollback goes: a generation, or the one before without it."""

    model_config = ConfigDict(extra="forbid")
    generation: str | None = None


async def target_of(request: Request) -> Target:
    """Where the body says to go; raises HTTPException."""
    try:
        body = await body_of(headers_of(request.scope), request.receive)
        return Target.model_validate_json(body or b"{}")
    except GatewayError as exc:
        raise HTTPException(exc.status, exc.message) from exc
    except ValidationError as exc:
        raise HTTPException(422, WRONG_TARGET) from exc


def policy_router(live: LivePolicy) -> APIRouter:
    """The paths under /admin/policy."""
    router = APIRouter(prefix="/admin/policy")

    @router.get("", response_model=PolicyView)
    async def policy() -> Response:
        """What is in force, where it comes from, and why the files as they are now are not."""
        return told(policy_view(live))

    @router.get("/versions", response_model=list[VersionRow])
    async def versions() -> Response:
        """The last versions, newest first, and what each has changed."""
        newest = live.history.versions[-1]
        return told([version_row(one, one is newest) for one in reversed(live.history.versions)])

    @router.post("/reload", response_model=Reloaded, responses=problems(409, 422))
    async def reload() -> Response:
        """Read the file again; one with errors is refused and changes nothing."""
        if live.path is None:
            raise HTTPException(409, NO_FILE.format(verb="reload"))
        found = [problem.message for problem in await live.reload("admin")]
        if found:
            return refusal(422, REFUSED, **in_force(live), problems=found)
        return told({**in_force(live), "problems": found})

    @router.post(
        "/rollback",
        response_model=RolledBack,
        responses=problems(400, 404, 409, 413, 422),
        openapi_extra=documented(Target),
    )
    async def rollback(target: Annotated[Target, Depends(target_of)]) -> Response:
        """Go back to a version, else to the one before, and stay there until the file changes."""
        if live.path is None:
            raise HTTPException(409, NO_FILE.format(verb="roll back"))
        try:
            version = await live.rollback(target.generation)
        except LookupError as exc:
            raise HTTPException(404, str(exc)) from exc
        return told({**in_force(live), "change": version.change})

    return router


def in_force(live: LivePolicy) -> Json:
    """The version in force, and whether it stays until the file changes."""
    return {"generation": live.current.generation, "pinned": live.pinned}


def policy_view(live: LivePolicy) -> Json:
    """What is in force, where it comes from, and why the files as they are now are not."""
    return {
        **in_force(live),
        "file": str(live.path or ""),
        "files": [str(file) for file in live.files] if live.path else [],
        "secret_files": [str(file) for file in live.secrets],
        "changed": live.changed,
        "last_reload": "refused" if live.problems else "ok",
        "problems": [asdict(problem) for problem in live.problems],
        "routes": [route.name for route in live.current.routes],
    }


def version_row(version: Version, current: bool) -> Json:
    """One version in a line; `at` is the Unix time from which it was in force."""
    return {
        "generation": version.generation,
        "at": version.at,
        "by": version.by,
        "change": version.change,
        "current": current,
    }
