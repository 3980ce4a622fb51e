"""Compiles the dated snapshots into models.json: `python -m gateway.catalogue.build [--check]`."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import orjson

from gateway.catalogue import spelling as spellings
from gateway.types import Json

HERE = Path(__file__).parent
TARGET = HERE / "models.json"
SNAPSHOTS = HERE / "snapshots"

# Provider kinds with ids of their own; any other place in the hosts snapshot only teaches us a spelling.
HOSTED = ("bedrock", "fireworks", "groq", "huggingface", "replicate", "together")
# Servers that are started with a Hugging Face id and answer to it.
FROM_HUGGING_FACE = ("openai_compatible", "sglang", "tgi", "vllm")

DEAREST = 100.0  # USD per million tokens; above it the unit is wrong
CHEAPEST = 0.001  # USD per million tokens; below it the figure is per token, or per thousand
PER_BILLION = 0.002  # USD per million tokens and billion active parameters; nobody sells below it
STEEPEST = 8.0  # output price over input price; hosts charge up to five times as much


FACTS = ("name", "family", "generation", "size", "context", "input", "languages", "image_languages", "base", "src")
UNPLACED = "is of no model here"
UNPRICED = "has no price"


class Drop(NamedTuple):
    """A price row we do not believe or cannot place, and why."""

    id: str
    reason: str


class Built(NamedTuple):
    """The bytes of models.json, and the price rows left out of it."""

    content: bytes
    drops: list[Drop]


def build(snapshots: Path = SNAPSHOTS) -> Built:
    """models.json from the newest snapshot of each sort; the same input gives the same bytes."""
    models, hosts, prices, licences = (_newest(snapshots, sort) for sort in ("models", "hosts", "prices", "licences"))
    drops: list[Drop] = []
    priced = dict(_believed(prices, hosts["rows"], models["rows"], drops))
    _check_refused(_newest(snapshots, "refused"), drops)
    rows = sorted(models["rows"], key=lambda row: str(row["name"]))
    served = {row["name"]: [host for host in hosts["rows"] if host["model"] == row["name"]] for row in rows}
    spelt = _spellings(rows, served)
    entries = [_entry(row, _replaced(served[row["name"]], spelt), priced) for row in rows]
    data = {
        "date": max(models["date"], hosts["date"], licences["date"]),
        "sources": _sources((models, hosts, prices, licences)),
        "models": entries,
        "licences": _licences(licences, rows),
        "spellings": spelt,
        "precisions": _precisions(rows, entries),
        "bases": sorted(_bases(rows, hosts["rows"])),
    }
    content = orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)
    return Built(content, sorted(drops))


def price_fault(price_in: float | None, price_out: float | None, active: float | None) -> str | None:
    """Why a price cannot be right, or None; prices in USD per million tokens, `active` in billions of parameters."""
    if price_in is None or price_out is None:
        return UNPRICED
    low, high = min(price_in, price_out), max(price_in, price_out)
    if low < 0:
        return "is negative"
    if high > DEAREST:
        return f"is above {DEAREST:g} USD per million tokens"
    if low < CHEAPEST:
        return f"is below {CHEAPEST:g} USD per million tokens: free, or counted per token"
    if active is not None and high < PER_BILLION * active:
        return f"is too cheap for {active:g} billion active parameters"
    return f"asks over {STEEPEST:g} times as much for output as for input" if price_out > STEEPEST * price_in else None


def capabilities(row: Json) -> list[str]:
    """What the model can do, each from one fact; what a provider does not pass on, the provider takes away."""
    chats, guards = row["kind"] == "chat", row["kind"] == "guard"
    facts = {
        "tools": row["tools"],  # its card or prompt format documents tool calls
        "parallel_tools": row["parallel_tools"],  # ... and several of them in one turn
        "vision": "image" in row["input"],  # its card lists images among the inputs
        "json_schema": chats,  # constrained decoding is the server's work: any generative model can
        "logprobs": chats or guards,  # every generative model has them; a guard's score is that of its first token
    }
    return sorted(name for name, held in facts.items() if held)


def _newest(folder: Path, sort: str) -> Json:
    newest: Json = orjson.loads(max(folder.glob(f"{sort}-*.json")).read_bytes())
    return newest


def _believed(prices: Json, hosts: list[Json], models: list[Json], drops: list[Drop]) -> Iterator[tuple[str, Json]]:
    """Every price row that passes, under its place (`bedrock/eu-west-1/id`); the others go to `drops`."""
    active = {row["name"]: row["active"] or row["size"] for row in models}
    model = {f"{host['at']}/{host['id']}": host["model"] for host in hosts if not host.get("base")}
    for row in prices["rows"]:
        served = model.get(f"{row['at']}/{row['id']}")
        place = "/".join(filter(None, (row["at"], row.get("region"), row["id"])))
        fault = price_fault(row["input"], row["output"], active[served]) if served else UNPLACED
        if fault:
            drops.append(Drop(place, fault))
        else:
            price = {"input": row["input"], "output": row["output"], "source": prices["source"], "date": prices["date"]}
            yield place, {"price": price, "max_output": row.get("max_output"), "region": row.get("region")}


def _check_refused(refused: Json, drops: list[Drop]) -> None:
    """A price out of bounds that nobody has looked at fails the build, and so does a refusal without one."""
    found = {drop.id: drop.reason for drop in drops if drop.reason not in (UNPLACED, UNPRICED)}
    known = {row["place"] for row in refused["rows"]}
    if new := sorted(found.keys() - known):
        told = "; ".join(f"{place} {found[place]}" for place in new)
        raise ValueError(f"prices out of bounds: {told}. Correct them, or add them to the snapshot `refused`.")
    if gone := sorted(known - found.keys()):
        raise ValueError(f"prices that are refused and no longer out of bounds: {', '.join(gone)}")


def _sources(snapshots: Iterable[Json]) -> dict[str, Json]:
    """What each source is, and the day of the snapshot that was made of it."""
    found: dict[str, Json] = {}
    for snapshot in snapshots:
        for name, text in snapshot["sources"].items():
            known = found.setdefault(name, {"date": snapshot["date"], "is": text})
            known["date"] = max(known["date"], snapshot["date"])
    return found


def _replaced(hosts: list[Json], spelt: dict[str, str]) -> list[Json]:
    """Hosts with the canonical name of what each names instead of the model."""
    return [
        host | {"replacement": _canonical(host["replacement"], spelt)} if "replacement" in host else host
        for host in hosts
    ]


def _canonical(text: str, spelt: dict[str, str]) -> str:
    name = spelt.get(text.lower()) or spelt.get(spellings.key(text))
    if name is None:
        raise ValueError(f"no model here is called {text!r}, which a host names as a replacement")
    return name


def _replacement(hosts: list[Json]) -> str | None:
    """What all hosts that say so name instead of a model; None when they differ."""
    named = {host["replacement"] for host in hosts if "replacement" in host}
    return named.pop() if len(named) == 1 else None


def _bound(row: Json) -> list[str]:
    """The licences that hold for a model: its own, and that of the weights it was made from."""
    return [id for id in (row["licence"], row.get("base_licence")) if id is not None]


def _licences(licences: Json, rows: list[Json]) -> list[Json]:
    """What each licence asks; every licence of a model must be there."""
    known = sorted(licences["rows"], key=lambda row: str(row["id"]))
    if missing := {id for row in rows for id in _bound(row)} - {row["id"] for row in known}:
        raise ValueError(f"no facts on the licences {sorted(missing)}")
    return [_present({name: value for name, value in row.items() if name != "src"}) for row in known]


def _entry(row: Json, hosts: list[Json], priced: dict[str, Json]) -> Json:
    known = {field: row.get(field) for field in FACTS}
    known["licences"] = _bound(row)
    known["replacement"] = _replacement(hosts)
    known["active"] = row["active"] or row["size"]  # a dense model uses all of it
    known["capabilities"] = capabilities(row)
    known["hosts"] = dict(_own(row)) | dict(_hosted(hosts, priced))
    return _present(known)


def _own(row: Json) -> Iterator[tuple[str, list[Json]]]:
    """Ids on a team's own servers; context, price and mostly precision are the operator's choice: absent."""
    if row["kind"] == "classifier":
        return  # no chat endpoint serves one
    repositories = [_present({"id": id, "precision": spellings.precision(id)}) for id in row["hugging_face"]]
    if repositories:
        yield from ((kind, repositories) for kind in FROM_HUGGING_FACE)
        yield "llama_cpp", [{"id": row["name"]}]  # a server of one model answers to any name
    if tags := row.get("ollama"):
        yield "ollama", [_present({"id": tags["tag"], "precision": _default_precision(row)})]


def _default_precision(row: Json) -> str | None:
    """What an Ollama tag without a precision holds: stated, or told by the size of the download."""
    tags = row["ollama"]
    if tags["precision"] or not tags["gigabytes"]:
        stated: str | None = tags["precision"]
        return stated
    return "q8_0" if 8 * tags["gigabytes"] / row["size"] > 8 else "q4_k_m"


def _hosted(hosts: list[Json], priced: dict[str, Json]) -> Iterator[tuple[str, list[Json]]]:
    """Hosted providers' ids, the one to prefer first."""
    for kind in HOSTED:
        rows = [host for host in hosts if host["at"] == kind and not host.get("base") and not host.get("spelling_only")]
        if rows:
            yield kind, sorted((_host(host, priced) for host in rows), key=_preference)


def _host(host: Json, priced: dict[str, Json]) -> Json:
    id, kind = host["id"], host["at"]
    listed = priced.get(f"{kind}/{host.get('price_of', id)}", {})
    regions = {
        row["region"]: row["price"]
        for place, row in priced.items()
        if row["region"] and place == f"{kind}/{row['region']}/{id}"
    }
    facts = {
        field: host.get(field) for field in ("context", "precision", "retires", "replacement", "serverless", "src")
    }
    return _present({"id": id, "price": listed.get("price"), "max_output": listed.get("max_output"), **facts}) | (
        {"regions": regions} if regions else {}
    )


def _preference(host: Json) -> tuple[bool, int, int, str]:
    # Bedrock serves Llama 3.1 and later mostly through a geographic profile, so us.meta... goes before meta....
    profile = {"us.m": 0, "eu.m": 1}.get(host["id"][:4], 2)
    return "price" not in host, profile, -host.get("context", 0), host["id"]


def _spellings(rows: list[Json], served: dict[str, list[Json]]) -> dict[str, str]:
    """Key of a spelling -> canonical name; full ids too where only the provider tells a tuned model from its base."""
    found: dict[str, str] = {}
    bases = set(_bases(rows, [host for hosts in served.values() for host in hosts]))
    for row in rows:
        for text in _names(row, served[row["name"]]):
            keys = {spellings.key(text)} | ({text.lower()} if spellings.bare(text) in bases else set())
            for key in keys:
                if found.setdefault(key, row["name"]) != row["name"]:
                    raise ValueError(f"{text!r} could mean {found[key]} or {row['name']}")
    return found


def _names(row: Json, hosts: list[Json]) -> Iterator[str]:
    yield row["name"]
    yield from row["hugging_face"] + row["hugging_face_other"]
    if tags := row.get("ollama"):
        yield from [tags["tag"], *tags["same"]]
    yield from (host["id"] for host in hosts if not host.get("base"))


def _precisions(rows: list[Json], entries: list[Json]) -> dict[str, str]:
    """Lower-case id -> precision, where the id itself does not say it."""
    hosts = (host for entry in entries for kind in entry["hosts"].values() for host in kind)
    found = {host["id"].lower(): host["precision"] for host in hosts if "precision" in host}
    for row in rows:
        default = _default_precision(row) if "ollama" in row else None
        found |= dict.fromkeys(row["ollama"]["same"], default) if default else {}
    return {id: precision for id, precision in found.items() if spellings.precision(id) is None}


def _bases(rows: Iterable[Json], hosts: Iterable[Json]) -> Iterator[str]:
    """What makers and hosts call models that were not tuned to chat."""
    for row in rows:
        yield from (spellings.bare(id) for id in row["hugging_face_base"])
    yield from (spellings.bare(host["id"]) for host in hosts if host.get("base"))


def _present(fields: Json) -> Json:
    return {name: value for name, value in fields.items() if value is not None}


def main(arguments: list[str] | None = None) -> int:
    """Writes models.json, or with --check compares it; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if models.json is out of step")
    checking = parser.parse_args(arguments).check
    built = build()
    if not checking:
        TARGET.write_bytes(built.content)
        print(*(f"dropped: {drop.id} {drop.reason}" for drop in built.drops), sep="\n")
        return 0
    current = TARGET.read_bytes() if TARGET.exists() else b""
    if current == built.content:
        return 0
    print("models.json is out of step with its snapshots: run `python -m gateway.catalogue.build`", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
