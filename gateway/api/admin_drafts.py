"""Drafts of a policy in the admin plane: checked, explained, compared. Nothing here changes what is in force.

No variable and no file of a draft is read, and no class imported. The work is done aside, one piece at a time.
"""

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import Annotated, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Request, Response
from pydantic import BaseModel, ValidationError

from gateway.api.admin_shapes import Asked, Checked, Compared, DifferenceView, Draft, PlanView, Source
from gateway.api.answers import problems, told
from gateway.api.intake import body_of, headers_of
from gateway.api.preview import gently, snapshot
from gateway.api.problem import refusal
from gateway.catalogue import Catalogue
from gateway.config.live import LivePolicy
from gateway.config.loading import read
from gateway.config.problems import Problem
from gateway.dialects.openai import chat_request
from gateway.engine.engine import routed
from gateway.errors import GatewayError
from gateway.policytools.diff import difference, difference_json
from gateway.policytools.explain import deliberation_json
from gateway.policytools.masked import masked
from gateway.policytools.replay import replay, replay_json
from gateway.policytools.versions import Unreadable, Version, version
from gateway.routing.book import StatsBook
from gateway.routing.planner import deliberate
from gateway.routing.policy import Policy
from gateway.telemetry.requests import RequestLog
from gateway.types import CacheControl, Caller, Json

Result = TypeVar("Result")
Body = TypeVar("Body", bound=BaseModel)

CHANCE = 0.5  # of [0, 1): it decides ties and, where a route splits its requests, the arm
NAME = "draft"
IN_FORCE = "in force"


class Desk:
    """Where drafts are looked at: what it takes to read one, and to ask it what it would do."""

    def __init__(
        self,
        live: LivePolicy,
        book: StatsBook,
        requests: RequestLog,
        clock: Callable[[], float],
        catalogue: Callable[[], Catalogue],
    ) -> None:
        self.live = live
        self.book = book
        self.requests = requests
        self.clock = clock
        self.catalogue = catalogue
        self.lock = asyncio.Lock()

    async def aside(self, work: Callable[[], Result]) -> Result:
        """What the work returns; the loop goes on meanwhile."""
        async with self.lock:
            return await self.live.aside(work)

    def check(self, text: str) -> Json:
        """What is wrong with a draft."""
        found = read(text.encode(), NAME, {}, self.catalogue(), today(), expand=False).problems
        severities = [problem.severity for problem in found]
        counts = {"errors": severities.count("error"), "warnings": severities.count("warning")}
        return {**counts, "problems": rows(found)}

    def read(self, text: str, name: str) -> Version:
        """A draft to ask or to compare; raises Unreadable."""
        return version(text.encode(), name, None, self.catalogue(), today())

    def explain(self, asked: Asked, book: StatsBook, now: float) -> Json:
        """The plan of a request, by a draft where there is one; raises Unreadable and GatewayError."""
        policy = self.live.current if asked.text is None else self.read(asked.text, NAME).policy
        headers = {name.lower(): value for name, value in asked.headers.items()}
        caller = caller_of(asked.caller, policy)
        body = json.dumps(asked.request).encode()  # orjson refuses numbers beyond 64 bits, which are read all the same
        request = chat_request(body, "explain", headers, caller, CacheControl(), now, None)
        request, route = routed(request, policy, book)
        return deliberation_json(deliberate(request, route, book, now, CHANCE), CHANCE)

    def compare(self, draft: Compared, book: StatsBook, now: float) -> Json:
        """What a draft would change; raises Unreadable."""
        before, after = self.read(masked(self.live.loaded.source), IN_FORCE), self.read(draft.text, NAME)
        replayed = None
        if draft.replay:
            last = [(one.id, one.sketch) for one in self.requests.last(self.requests.kept) if one.sketch]
            replayed = replay_json(replay(before.policy, after.policy, gently(last), book, now))
        return {**difference_json(difference(before, after)), "requests": replayed}

    def source(self) -> Json:
        """The policy's files as they are now, with what is to say of each."""
        in_force = not self.live.problems and not self.live.pinned
        found = self.live.problems or self.live.loaded.problems
        texts = self.live.loaded.texts
        files = self.live.files if self.live.path else dict.fromkeys(texts)
        shown = []
        for file in files:
            try:
                text = texts[file] if in_force and file in texts else file.read_bytes()
            except OSError:
                text = texts.get(file, b"")
            about = [problem for problem in found if problem.file == str(file)]
            shown.append({"file": str(file), "text": masked(text), "problems": rows(about)})
        return {"in_force": in_force, "files": shown}


def today() -> date:
    """The day, in UTC."""
    return datetime.now(UTC).date()


def rows(found: tuple[Problem, ...] | list[Problem]) -> list[Json]:
    """Problems as JSON-ready values."""
    return [asdict(problem) for problem in found]


def caller_of(name: str | None, policy: Policy) -> Caller:
    """The caller of a name; one that the policy does not have may use everything."""
    known = (caller for caller in policy.callers.values() if caller.name == name)
    return next(known, Caller(name or "explain"))


def shaped(kind: type[Body]) -> Callable[[Request], object]:
    """Reads a body of that shape, bounded; raises HTTPException."""

    async def body(request: Request) -> Body:
        try:
            return kind.model_validate_json(await body_of(headers_of(request.scope), request.receive) or b"{}")
        except GatewayError as exc:
            raise HTTPException(exc.status, exc.message) from exc
        except ValidationError as exc:
            one = exc.errors()[0]
            where = ".".join(str(part) for part in one["loc"]) or "it"
            raise HTTPException(422, f"The body does not fit: {where[:100]}: {one['msg'][:200]}.") from exc

    return body


def documented(kind: type[BaseModel]) -> Json:
    """What the OpenAPI document says of a body that is read here rather than by the framework."""
    schema = kind.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def drafts_router(desk: Desk) -> APIRouter:
    """The paths of drafts, under /admin/policy."""
    router = APIRouter(prefix="/admin/policy")
    wrong = problems(400, 413, 422)

    @router.get("/source", response_model=Source)
    async def source() -> Response:
        """The text of the policy's files, credentials covered, with the findings of `check` in place."""
        return told(await desk.aside(desk.source))

    @router.post("/check", response_model=Checked, responses=wrong, openapi_extra=documented(Draft))
    async def check(draft: Annotated[Draft, Depends(shaped(Draft))]) -> Response:
        """What `llama-gateway check` says of a draft."""
        return told(await desk.aside(lambda: desk.check(draft.text)))

    @router.post(
        "/explain", response_model=PlanView, responses=problems(400, 404, 413, 422), openapi_extra=documented(Asked)
    )
    async def explain(asked: Annotated[Asked, Depends(shaped(Asked))]) -> Response:
        """The plan of a request as things are now, by the policy in force or by a draft."""
        book, now = snapshot(desk.book), desk.clock()
        try:
            return told(await desk.aside(lambda: desk.explain(asked, book, now)))
        except Unreadable as exc:
            return unreadable(exc)
        except GatewayError as exc:
            status = exc.status if exc.status in (400, 404) else 422
            return refusal(status, exc.message, code=exc.code, details=exc.details)

    @router.post("/diff", response_model=DifferenceView, responses=wrong, openapi_extra=documented(Compared))
    async def diff(draft: Annotated[Compared, Depends(shaped(Compared))]) -> Response:
        """What a draft would change, and how the last requests would fare; the file stays the truth."""
        book, now = snapshot(desk.book), desk.clock()
        try:
            return told(await desk.aside(lambda: desk.compare(draft, book, now)))
        except Unreadable as exc:
            return unreadable(exc)

    return router


def unreadable(found: Unreadable) -> Response:
    """The answer to a draft with errors."""
    return refusal(422, f"The policy '{found}'; see `problems`.", problems=rows(found.problems))
