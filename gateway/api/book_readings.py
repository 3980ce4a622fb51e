"""The gauges of what is kept on disk."""

from collections.abc import Iterator

from gateway.stores.books import Books
from gateway.telemetry.gauges import Reading


def book_readings(books: Books | None) -> Iterator[Reading]:
    """Whether the state file can be written, and what becomes of the ledger meanwhile."""
    if books is None:
        return
    journal, writer = books.journal, books.writer
    state = (("store", "state"),)
    yield Reading("gateway_store_up", "1 while a store answers.", state, float(writer.up))
    waits = "Rows of the ledger that wait to be written; 10000 at most."
    yield Reading("gateway_ledger_waiting_rows", waits, (), float(len(journal.rows) + len(journal.queue)))
    lost = "Rows of the ledger that could be neither written nor held."
    yield Reading("gateway_ledger_lost_rows_total", lost, (), float(journal.lost))
    alone = "1 while another gateway uses the same state directory."
    yield Reading("gateway_state_shared", alone, (), float(books.alone is False))
    for (backend, model), count in list(journal.unpriced.items()):
        labels = (("backend", backend), ("model", model))
        yield Reading("gateway_price_unknown_total", "Attempts whose price nobody knows.", labels, float(count))
