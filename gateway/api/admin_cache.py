"""The cache of answers in the admin plane: it can be purged."""

from typing import Annotated

from fastapi import APIRouter, HTTPException, Response
from pydantic import Field

from gateway.api.admin_shapes import Name, Shape
from gateway.api.answers import problems, told
from gateway.errors import StoreAway
from gateway.stores.cache import Cache, Purge

Wanted = Annotated[Name | None, Field(default=None)]


class PurgeAsked(Shape):
    """Whose answers shall go: all that fit every key that is given; the whole cache without any."""

    caller: Wanted = Field(default=None, description="Who asked for them first.")
    route: Wanted = Field(default=None, description="The route that answered.")
    model: Wanted = Field(default=None, description="The canonical name of the model that answered.")


class Purged(Shape):
    """How many answers were there, and are not any more."""

    purged: int


def cache_router(cache: Cache) -> APIRouter:
    """The path /admin/cache."""
    router = APIRouter(prefix="/admin/cache")

    @router.post("/purge", response_model=Purged, responses=problems(400, 413, 422, 503))
    async def purge(asked: PurgeAsked | None = None) -> Response:
        """Forget answers: those of a caller, a route or a model, or all."""
        which = Purge() if asked is None else Purge(asked.caller, asked.route, asked.model)
        try:
            return told({"purged": await cache.purge(which)})
        except StoreAway as exc:
            raise HTTPException(503, exc.message) from exc

    return router
