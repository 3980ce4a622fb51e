"""How a route keeps answers, and who makes the vectors by which it tells that questions mean the same."""

from gateway.config.choices import CacheSpec, RequireSpec
from gateway.config.constraints import sift
from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.problems import Path, clean
from gateway.config.schema import RouteSpec
from gateway.providers.registry import provider_class
from gateway.routing.policy import CachePolicy, Semantic
from gateway.types import Deployment

THRESHOLD = 0.95


def cache_policy(spec: RouteSpec, path: Path, fleet: Fleet, context: Context) -> CachePolicy | None:
    """How a route keeps answers; None where it keeps none."""
    if (cache := spec.cache) is None:
        return None
    semantic = None if cache.embeddings is None else meaning(cache, cache.embeddings, spec, path, fleet, context)
    return CachePolicy(cache.ttl, cache.share, cache.answers, cache.coalesce, semantic)


def meaning(
    cache: CacheSpec, model: str, spec: RouteSpec, path: Path, fleet: Fleet, context: Context
) -> Semantic | None:
    """When questions mean the same; None where nobody can make vectors, which is told."""
    embedders = [one for one in may_read(model, spec, fleet) if hasattr(provider_class(one.kind), "embed")]
    if not embedders:
        if model in fleet.served:
            message = (
                f"No backend of `{clean(model)}` makes vectors of what the route '{spec.name}' is asked: its provider "
                "cannot, it is switched off, or the route's `require` shuts it out. The route keeps exact answers only."
            )
            context.report.add("LG082", (*path, "cache"), message)
        return None
    return Semantic(THRESHOLD if cache.threshold is None else cache.threshold, tuple(embedders))


def may_read(model: str, spec: RouteSpec, fleet: Fleet) -> list[Deployment]:
    """The deployments of a model that may read what a route is asked: whether they could answer it is no matter."""
    require = spec.require
    readers = RequireSpec(location=require.location, regions=require.regions, data_collection=require.data_collection)
    return sift([model], spec.model_copy(update={"require": readers, "size": None}), fleet).allowed
