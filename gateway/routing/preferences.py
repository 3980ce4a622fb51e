"""What a caller asks of the choice: it narrows what the policy allows, and orders what is left of it."""

from gateway.types import Deployment, Preferences


def dispreferred(wishes: Preferences, deployment: Deployment) -> str | None:
    """Why the caller does not want a deployment; None when they have nothing against it."""
    names = named(deployment)
    if wishes.only is not None and wishes.only.isdisjoint(names):
        return "is not among the providers that the request allows"
    if not wishes.ignore.isdisjoint(names):
        return "is a provider that the request ignores"
    if not wishes.allow_fallbacks and wishes.order and wishes.order[0] not in names:
        return "is not the first provider of a request that allows no fallbacks"
    if wishes.models and deployment.model not in wishes.models:
        return "serves none of the models that the request lists"
    if wishes.data_collection == "deny" and deployment.collects:
        return "may keep what it is sent, which the request denies"
    return overpriced(wishes, deployment) or imprecise(wishes, deployment)


def named(deployment: Deployment) -> frozenset[str]:
    """The names by which a request may mean a deployment's provider."""
    return frozenset((deployment.backend.lower(), deployment.kind.lower()))


def overpriced(wishes: Preferences, deployment: Deployment) -> str | None:
    """The price of a token is above what the request allows; own hardware has none."""
    price = deployment.price
    if wishes.max_prompt_price is None and wishes.max_completion_price is None:
        return None
    if price is None:
        return None if deployment.location == "self_hosted" else "has no known price, and the request sets a limit"
    for limit, asked in ((wishes.max_prompt_price, price.input), (wishes.max_completion_price, price.output)):
        if limit is not None and asked > limit:
            return f"costs ${asked:g} per million tokens, the request allows ${limit:g}"
    return None


def imprecise(wishes: Preferences, deployment: Deployment) -> str | None:
    """The precision is none of those that the request lists; an unknown one is called so."""
    if wishes.quantizations is None or (deployment.precision or "unknown") in wishes.quantizations:
        return None
    return f"has precision {deployment.precision or 'unknown'}, which the request does not list"


def rank(wishes: Preferences, deployment: Deployment) -> tuple[int, int]:
    """The place of a deployment by the request's own lists of models and of providers; past the end when not there."""
    names = named(deployment)
    order = next((place for place, name in enumerate(wishes.order) if name in names), len(wishes.order))
    model = wishes.models.index(deployment.model) if deployment.model in wishes.models else len(wishes.models)
    return model, order
