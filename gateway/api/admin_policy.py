"""The policy's part of the admin plane: what is in force, what was, reload and rollback."""

from fastapi import APIRouter, HTTPException
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from gateway.config.live import LivePolicy
from gateway.config.problems import Problem
from gateway.config.versions import Version
from gateway.types import Json

NO_FILE = "This gateway was started by `up` and has no policy file; serve one to {verb} it."


class Target(BaseModel):
    """Where a rollback goes: a generation, or the one before without it."""

    model_config = ConfigDict(extra="forbid")
    generation: str | None = None


def policy_router(live: LivePolicy) -> APIRouter:
    """The paths under /admin/policy."""
    router = APIRouter(prefix="/admin/policy")

    @router.get("")
    async def policy() -> Json:
        return policy_view(live)

    @router.get("/versions")
    async def versions() -> list[Json]:
        newest = live.history.versions[-1]
        return [version_row(one, one is newest) for one in reversed(live.history.versions)]

    @router.post("/reload")
    async def reload() -> JSONResponse:
        if live.path is None:
            raise HTTPException(409, NO_FILE.format(verb="reload"))
        problems = await live.reload("admin")
        body = {**in_force(live), "problems": [problem.message for problem in problems]}
        return JSONResponse(body, 422 if problems else 200)

    @router.post("/rollback")
    async def rollback(target: Target | None = None) -> Json:
        if live.path is None:
            raise HTTPException(409, NO_FILE.format(verb="roll back"))
        try:
            version = await live.rollback(target.generation if target else None)
        except LookupError as exc:
            raise HTTPException(404, str(exc)) from exc
        return {**in_force(live), "change": version.change}

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
        "problems": [problem_row(problem) for problem in live.problems],
        "routes": [route.name for route in live.current.routes],
    }


def problem_row(problem: Problem) -> Json:
    """One problem of a file; its excerpt shows no secret."""
    return {
        "code": problem.code,
        "severity": problem.severity,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "message": problem.message,
        "excerpt": problem.excerpt,
        "hint": problem.hint,
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
