"""The tables that `up` prints."""

from collections.abc import Sequence
from datetime import date
from typing import TextIO

from rich.console import Console
from rich.table import Table

from gateway.fleet.annotated import DemoBackend
from gateway.fleet.found import Discovery
from gateway.fleet.table import rows

NOTHING = "NO LLAMA SERVER AND NO PROVIDER'S KEY FOUND: "
TOYS = """\
THE BUILT-IN DEMO FLEET IS RUNNING. ITS MODELS ARE TOYS.
The servers are real llama.cpp; what they write is near-English nonsense. For real answers start Ollama or vLLM, or set
a key such as TOGETHER_API_KEY, and run this again.
"""
COLUMNS = ("backend", "where", "model", "id", "precision", "price", "retires")


def print_found(discovery: Discovery, today: date, out: TextIO) -> None:
    """What was found, and what was left out."""
    console = console_for(out)
    if discovery.found:
        table = Table(*COLUMNS, title="Found", title_justify="left", box=None, pad_edge=False)
        for row in rows(discovery, today):
            table.add_row(*row)
        console.print(table)
    for note in discovery.notes:
        console.print(f"note: {note}", markup=False, highlight=False)


def print_demo(backends: Sequence[DemoBackend], wanted: bool, out: TextIO) -> None:
    """The demo's servers, and in capitals that they are toys; unless it was `wanted`, that nothing else was found."""
    console = console_for(out)
    console.print(TOYS if wanted else NOTHING + TOYS, markup=False, highlight=False)
    table = Table(
        "backend", "where", "model (a toy in its place)", "slots", "price (invented)", box=None, pad_edge=False
    )
    for backend in backends:
        price = f"{backend.input_price:g}/{backend.output_price:g} $ per M"
        table.add_row(backend.name, backend.url, backend.model, str(backend.slots), price)
    console.print(table)


def console_for(out: TextIO) -> Console:
    """A console that is wide enough for the table also where there is no terminal."""
    return Console(file=out, width=None if out.isatty() else 160)
