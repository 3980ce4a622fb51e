"""The names that other gateways give to the same things, so that a dashboard made for them is not empty.

An alias is made when somebody scrapes and costs requests nothing. It is the sum over the labels that the other name
does not have.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import Metric
from prometheus_client.samples import Sample

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a metric; `labels` are its own by ours, `wanted` says which of our series it counts."""

    name: str
    labels: Mapping[str, str]
    wanted: Callable[[Mapping[str, str]], bool] = lambda labels: True


ROUTED = {"route": "requested_model", "model": "model", "backend": "api_provider"}
ASKED = {
    "gen_ai_original_model": "requested_model",
    "gen_ai_request_model": "model",
    "gen_ai_provider_name": "api_provider",
}
LITELLM = {
    "gateway_requests": (
        Alias("litellm_proxy_total_requests_metric", ROUTED),
        Alias("litellm_proxy_failed_requests_metric", ROUTED, lambda labels: labels["outcome"] != "success"),
    ),
    "gateway_cost_usd": (Alias("litellm_spend_metric", ROUTED),),
    "gen_ai_server_request_duration_seconds": (Alias("litellm_request_total_latency_metric", ASKED),),
    "gen_ai_server_time_to_first_token_seconds": (Alias("litellm_llm_api_time_to_first_token_metric", ASKED),),
}
DIALECTS = {"litellm": LITELLM}


class Aliases:
    """The aliases of one other gateway; raises KeyError for one that is not known."""

    def __init__(self, dialect: str) -> None:
        self.aliases = DIALECTS[dialect]

    def of(self, family: Metric) -> Iterator[Metric]:
        """The same family under the other names."""
        for alias in self.aliases.get(family.name, ()):
            yield renamed(family, alias)


def renamed(family: Metric, alias: Alias) -> Metric:
    """A family under another name and with fewer labels: what falls together is added up."""
    sums: defaultdict[tuple[str, Labels], float] = defaultdict(float)
    for sample in family.samples:
        if alias.wanted(sample.labels):
            name = alias.name + sample.name.removeprefix(family.name)
            sums[name, labels_of(sample, alias)] += sample.value
    found = Metric(alias.name, f"The same as {family.name}.", family.type)
    found.samples = [Sample(name, dict(labels), value) for (name, labels), value in sums.items()]
    return found


def labels_of(sample: Sample, alias: Alias) -> Labels:
    """The labels that an alias has of a sample, the bucket's edge among them."""
    kept = tuple([(name, sample.labels[ours]) for ours, name in alias.labels.items()])
    return (*kept, ("le", sample.labels["le"])) if "le" in sample.labels else kept
