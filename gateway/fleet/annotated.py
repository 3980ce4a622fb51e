"""Policies as text with comments: of what was found, and of the demo fleet."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date

from gateway.config.units import exactness
from gateway.fleet.found import Discovery, Found, FoundModel
from gateway.fleet.table import price, retires

PLAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9._/-]*)?|[A-Za-z][A-Za-z0-9._/-]*")
WORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})  # not text, to YAML

HEAD = """\
# A policy of Llama Gateway, written by `llama-gateway up` on {today} from what it found.
#
# It is yours to change: look at it with `llama-gateway check FILE`, run it with `llama-gateway serve --policy FILE`.
# A change of the file takes effect at once; if something is wrong with it, the last good policy stays.
version: 1

# Servers and accounts. Each serves models under their canonical names; `id` is what the backend itself calls them.
backends:
"""

DECLARED = """
# Models that the catalogue does not know. Add what is missing: `size` for routes that choose by size, `base` for a
# fine-tune of a known model, `capabilities` such as tools, json_schema or vision for what it can do.
models:
"""

ROUTES = """
# Who answers what. The first route whose `match` fits takes the request; a request for a model by its own name needs
# no route. `models` is a set: the best deployment of all of them is tried first, and the next one when it fails.
routes:
  # Callers who write `model: auto` leave the choice to the gateway. Add names to `match` that callers use already.
  - name: auto
    match: {{model: [auto]}}
    models:
{models}
    # Expected dollars and expected seconds count alike. Or one word: cost, latency, size.
    optimize: {{cost: 0.5, latency: 0.5}}
    # More to choose from, each without the leading `#`:
    # prefer: self_hosted                 # own servers first, hosted ones only when those cannot
    # size: largest                       # or smallest: which models to try first
    # require: {{location: self_hosted}}    # never leave the house, whatever fails
"""

DEFAULTS = """
# For every route that says nothing else, and for models asked for by name.
defaults:
  optimize: {cost: 0.5, latency: 0.5}
  retry: {attempts: 3}                    # tries of one request, over all deployments
  mid_stream: error                       # a stream that breaks ends with an error, never as if it were whole
  on_no_candidate: fail                   # with nobody left to ask, say so at once
  # cache: {ttl: 1h}                      # answer the same request from memory
"""

DEMO_HEAD = """\
# THE DEMO FLEET OF LLAMA GATEWAY: A TOY.
#
# Its servers are real (llama.cpp), its model is not: it babbles, whatever name it is served under. Sizes, prices and
# providers are made up, so that there is something to choose between. Nothing leaves this machine, nothing is charged.
version: 1

# The toy servers. Those with a price pretend to be hosted; the others pretend to be your own hardware.
backends:
"""


@dataclass(frozen=True, slots=True)
class DemoBackend:
    """A server of the demo fleet as the policy shows it; prices in US dollars per million tokens.

    Without prices it is own hardware. Without an `id`, the server calls the model what the catalogue says of its kind.
    """

    name: str
    url: str
    model: str
    slots: int
    context: int
    input_price: float | None = None
    output_price: float | None = None
    provider: str = "llama_cpp"
    id: str | None = None
    api_key: str = "demo"  # what the stand-in takes; written out, so that no real key is ever sent to it


def policy_text(discovery: Discovery, today: date) -> str:
    """A policy with everything found, which is at least one backend; keys only by the names of their variables."""
    if not discovery.found:
        raise ValueError("Nothing was found, and a policy needs a backend.")
    unknown = {model.canonical: model for found in discovery.found for model in found.models if not model.known}
    parts = [HEAD.format(today=today), *(line for found in discovery.found for line in backend(found, today))]
    if unknown:
        parts += [DECLARED, *(declared(model) for model in unknown.values())]
    names = (model.canonical for found in discovery.found for model in found.models)
    return "".join([*parts, routed(names), DEFAULTS])


def backend(found: Found, today: date) -> Iterator[str]:
    """The lines of one backend."""
    yield f"  {word(found.name)}:\n    provider: {word(found.kind)}\n"
    if found.url is not None:
        yield f"    url: {word(found.url)}\n"
    if found.credential is not None:
        yield f"    api_key: ${{{found.credential}}} # read from the environment; unset: this backend is off\n"
    elif found.location != "self_hosted":
        yield "    # its credentials are those that the provider's own tools find; without any, requests to it fail\n"
    if found.region is not None:
        yield f"    region: {word(found.region)}\n"
    if found.location == "self_hosted":
        yield "    location: self_hosted # requests that must not leave the house may come here\n"
        yield "    # cost: {usd_per_hour: 1.50} # what it costs, used or not; each request is free\n"
    if found.slots is not None:
        yield f"    slots: {found.slots} # requests it works on at once; more of them wait\n"
    yield "    models:\n"
    for model in found.models:
        yield f"      {word(model.canonical)}: {facts(found, model)}{remark(found, model, today)}\n"


def facts(found: Found, model: FoundModel) -> str:
    """How a backend serves a model; a hosted one's other facts come from the catalogue."""
    said = {"id": word(model.id)}
    if found.location == "self_hosted":
        if model.precision is not None and exactness(model.precision) is not None:  # else a policy has no word for it
            said["precision"] = word(model.precision)
        if model.context is not None:
            said["context"] = str(model.context)
    return flow(said)


def remark(found: Found, model: FoundModel, today: date) -> str:
    """What else to know of a model, as a comment."""
    said = []
    if found.location != "self_hosted":
        said.append(price(model.price) if model.price else "price unknown, so it counts as dear")
    if model.retires is not None:
        said.append(f"{retires(model.retires, today)} ({model.retires})")
    return f" # {'; '.join(said)}" if said else ""


def declared(model: FoundModel) -> str:
    """The declaration of a model that the catalogue does not know."""
    said = {}
    if model.size is not None and (size := f"{model.size:.3f}".rstrip("0").rstrip(".")) != "0":
        said["size"] = f"{size}b"
    if model.context is not None:
        said["context"] = str(model.context)
    if model.capabilities:
        said["capabilities"] = f"[{', '.join(model.capabilities)}]"
    return f"  {word(model.canonical)}: {flow(said)}\n"


def demo_text(servers: Iterable[DemoBackend]) -> str:
    """A policy for the demo fleet, which is at least one server."""
    fleet = tuple(servers)
    parts = [DEMO_HEAD, *(line for server in fleet for line in demo_backend(server))]
    return "".join([*parts, routed(server.model for server in fleet), DEFAULTS])


def demo_backend(server: DemoBackend) -> Iterator[str]:
    """The lines of one toy server."""
    yield f"  {word(server.name)}: # a toy\n    provider: {word(server.provider)}\n    url: {word(server.url)}\n"
    yield f"    api_key: {word(server.api_key)} # no key of yours\n"
    yield f"    slots: {server.slots} # requests it works on at once; more of them wait\n"
    said = {"id": word(server.id)} if server.id is not None else {}
    said["context"] = str(server.context)
    if server.input_price is None or server.output_price is None:
        yield "    location: self_hosted\n"
    else:
        yield "    location: hosted\n"
        said["price"] = f"{{input: {server.input_price:g}, output: {server.output_price:g}}}"
    yield f"    models:\n      {word(server.model)}: {flow(said)}\n"


def routed(names: Iterable[str]) -> str:
    """The route `auto` over models."""
    return ROUTES.format(models="\n".join(f"      - {word(name)}" for name in dict.fromkeys(names)))


def flow(said: dict[str, str]) -> str:
    """A mapping in braces; its values are YAML already."""
    return f"{{{', '.join(f'{name}: {value}' for name, value in said.items())}}}"


def word(text: str) -> str:
    """A text as a YAML scalar, in quotes where it needs them."""
    plain = PLAIN.fullmatch(text) and text.lower() not in WORDS
    return text if plain else json.dumps(text, ensure_ascii=False)
