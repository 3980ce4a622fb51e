"""`llama-gateway models`: what the catalogue knows of each model."""

import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from operator import attrgetter
from typing import Annotated, Literal, NamedTuple

import orjson
from cyclopts import Parameter
from rich.table import Table

from gateway.catalogue import Catalogue, Host, Licence, Model
from gateway.catalogue.licence import asks
from gateway.cli.start import FAILED
from gateway.cli.tables import console_for
from gateway.fleet.naming import llama
from gateway.types import Json

COLUMNS = ("model", "size", "context", "at", "id", "in $/M", "out $/M", "retires")
NUMBERS = ("context", "in $/M", "out $/M")
WIDTHS = (8, 18, None, 6, 7, 13)  # characters of the columns from `context` on; an id takes the rest


class Row(NamedTuple):
    """A model at one place, or at several that call it the same, in words."""

    model: str
    size: str
    context: str
    at: str
    id: str
    price_in: str
    price_out: str
    retires: str


def models(
    *names: Annotated[str, Parameter(help="Any spelling: canonical, Ollama tag, Hugging Face id, provider's id.")],
    licences: Annotated[bool, Parameter(help="What the licence of each asks.", negative=())] = False,
    all: Annotated[
        bool, Parameter(help="Also guards, other families, and every id that was ever served.", negative=())
    ] = False,
    format: Annotated[Literal["text", "json"], Parameter(help="How to print it.")] = "text",
) -> int:
    """The verb `models`; its exit code."""
    catalogue, today = Catalogue.load(), datetime.now(UTC).date()
    if unknown := [name for name in names if catalogue.resolve(name) is None]:
        print(*(missing(name, catalogue) for name in unknown), sep="\n", file=sys.stderr)
        return FAILED
    picked = chosen(catalogue, names, all)
    if format == "json":
        data = [facts(model, catalogue, today, licences) for model in picked]
        sys.stdout.write(orjson.dumps(data, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE).decode())
    elif licences:
        print(*licence_lines(picked, catalogue), sep="\n")
    else:
        show([row for model in picked for row in rows(model, catalogue, today, all)])
    return 0


def missing(name: str, catalogue: Catalogue) -> str:
    """What to say of a name that no model has."""
    near = catalogue.nearest(name, [model.name for model in catalogue.models])
    hint = f"Nearest: {', '.join(near)}." if near else "All there are: `llama-gateway models --all`."
    return f"There is no model '{name[:80]}' in the catalogue. {hint}"


def chosen(catalogue: Catalogue, names: Sequence[str], all: bool) -> list[Model]:
    """The models of names, each once; without names the Llama models that chat, or all there are."""
    if names:
        found = (catalogue.resolve(name) for name in names)
        return list({model.name: model for model in found if model is not None}.values())
    return [model for model in catalogue.models if all or llama(model)]


def rows(model: Model, catalogue: Catalogue, today: date, all: bool) -> Iterator[Row]:
    """A row for each place and id; places with the same hosts share one.

    A place that takes the model's own name is left out unless all are wanted: it has nothing to tell.
    """
    places: dict[tuple[Host, ...], list[str]] = {}
    for kind, hosts in model.hosts.items():
        preferred = catalogue.host(model, kind, today)
        shown = hosts if all or preferred is None else (preferred,)
        if all or any(host.id != model.name for host in shown):
            places.setdefault(shown, []).append(kind)
    for hosts, kinds in places.items():
        for host in hosts:
            yield row(model, ", ".join(kinds), host, today)
    if not places:
        yield row(model, "-", None, today)


def row(model: Model, at: str, host: Host | None, today: date) -> Row:
    """One row; the context is the place's own where it is known."""
    context = (host.context if host else None) or model.context
    return Row(
        model.name,
        size(model),
        "-" if context is None else str(context),
        at,
        host.id if host else "-",
        f"{host.price.input:g}" if host and host.price else "-",
        f"{host.price.output:g}" if host and host.price else "-",
        retires(host.retires if host else None, today),
    )


def size(model: Model) -> str:
    """Billions of parameters, as policies write them; and those used for one token, where these are fewer."""
    if model.size is None:
        return "-"
    active = f" ({model.active:g}b active)" if model.active not in (None, model.size) else ""
    return f"{model.size:g}b{active}"


def retires(day: date | None, today: date) -> str:
    """The day of retirement, and how far it is."""
    if day is None:
        return "-"
    days = (day - today).days
    return f"retired {day}" if days <= 0 else f"{day} (in {'1 day' if days == 1 else f'{days} days'})"


def show(found: Sequence[Row]) -> None:
    """A small table for each model on a terminal, else plain lines in columns, every field in each."""
    if sys.stdout.isatty():
        for _, group in groupby(found, key=attrgetter("model")):
            console_for(sys.stdout).print(table(list(group)))
        return
    widths = [max(map(len, column)) for column in zip(COLUMNS, *found, strict=True)]
    for cells in (COLUMNS, *found):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip())


def table(found: Sequence[Row]) -> Table:
    """Where one model is served; columns of one width, so that the tables of several models line up."""
    title = f"[bold]{found[0].model}[/bold]  {found[0].size}"
    drawn = Table(title=title, title_style="", title_justify="left", box=None, pad_edge=False, expand=True)
    for column, width in zip(COLUMNS[2:], WIDTHS, strict=True):
        justify: Literal["left", "right"] = "right" if column in NUMBERS else "left"
        drawn.add_column(column, width=width, ratio=None if width else 1, justify=justify, overflow="fold")
    for one in found:
        drawn.add_row(*one[2:])
    return drawn


def licence_lines(picked: Sequence[Model], catalogue: Catalogue) -> Iterator[str]:
    """What each licence asks, under its name and the models it is on; multimodal models apart where that matters."""
    groups: dict[tuple[str | None, bool], list[str]] = {}
    for model in picked:
        for licence in [catalogue.licence(id) for id in model.licences] or [None]:
            apart = model.multimodal and licence is not None and licence.eu_multimodal
            groups.setdefault((licence.id if licence else None, apart), []).append(model.name)
    for (id, multimodal), names in groups.items():
        licence = catalogue.licence(id or "")
        yield title(licence)
        yield f"  Models: {', '.join(names)}"
        for sentence in asks(licence, multimodal) if licence else ("Ask whoever serves it.",):
            yield f"  - {sentence}"
        yield f"  Text: {licence.url}\n" if licence else ""
    yield "These are facts to start from, and no legal advice: the licence's own text counts."


def title(licence: Licence | None) -> str:
    """A licence's name, identifier and date."""
    if licence is None:
        return "Licence unknown"
    dated = f", version of {licence.released}" if licence.released else ""
    return f"{licence.name} ({licence.spdx}{dated})"


def facts(model: Model, catalogue: Catalogue, today: date, licences: bool) -> Json:
    """A model for programs."""
    known: Json = {
        "name": model.name,
        "family": model.family,
        "generation": model.generation,
        "size": model.size,
        "active": model.active,
        "context": model.context,
        "capabilities": sorted(model.capabilities),
        "multimodal": model.multimodal,
        "languages": sorted(model.languages),
        "image_languages": sorted(model.image_languages),
        "base": model.base,
        "licences": model.licences,
        "replacement": model.replacement,
        "hosts": {kind: [host_facts(host, today) for host in hosts] for kind, hosts in model.hosts.items()},
    }
    if licences:
        bound = [licence for id in model.licences if (licence := catalogue.licence(id)) is not None]
        known["licence_facts"] = bound
        known["licence_asks"] = {licence.id: asks(licence, model.multimodal) for licence in bound}
    return known


def host_facts(host: Host, today: date) -> Json:
    """One id for programs; prices in US dollars per million tokens."""
    price = {"input": host.price.input, "output": host.price.output} if host.price else None
    return {
        "id": host.id,
        "price": price,
        "context": host.context,
        "max_output": host.max_output,
        "precision": host.precision,
        "retires": host.retires,
        "replacement": host.replacement,
        "retires_in_days": (host.retires - today).days if host.retires else None,
        "retired": host.retires is not None and host.retires <= today,
    }
