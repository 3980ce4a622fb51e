"""`size` of a route: which models it uses, which of them first, and whether the language of a request counts."""

from gateway.config.choices import BoundsSpec, SizeSpec
from gateway.config.languages import detector
from gateway.routing.policy import Detect
from gateway.types import Deployment

ADEQUATE = "smallest_adequate"
UNBOUND = BoundsSpec()


def order(spec: SizeSpec | None) -> str:
    """The word of a size: smallest, largest or smallest_adequate; nothing when it says bounds alone."""
    if spec is None:
        return ""
    words = {"smallest": spec.smallest, "largest": spec.largest, ADEQUATE: spec.smallest_adequate}
    return next((word for word, written in words.items() if written is not None), "")


def bounds(spec: SizeSpec | None) -> BoundsSpec:
    """The bounds of a size, beside its word or below it."""
    if spec is None:
        return UNBOUND
    return spec.smallest or spec.largest or spec.smallest_adequate or spec


def outside(spec: SizeSpec | None, deployment: Deployment) -> str | None:
    """Why the size of a deployment's model keeps it from a route."""
    least, most = bounds(spec).at_least, bounds(spec).at_most
    size = deployment.size
    has = "no known size" if size is None else f"{size:g}b"
    if least is not None and (size is None or size < least):
        return f"has {has}, the route wants at least {least:g}b"
    if most is not None and (size is None or size > most):
        return f"has {has}, the route wants at most {most:g}b"
    return None


def rank(spec: SizeSpec | None, deployment: Deployment) -> float:
    """What sorts models as `size` wants; one of unknown size comes last."""
    word = order(spec)
    if not word:
        return 0.0
    if deployment.size is None:
        return float("inf")
    return -deployment.size if word == "largest" else deployment.size


def detect(spec: SizeSpec | None) -> Detect | None:
    """What tells the language of a request where only models that speak it are adequate; None where that is no matter.

    Raises LookupError when the detector is not installed.
    """
    return detector() if order(spec) == ADEQUATE else None
