"""What a scrape gets: the counted and the read metrics in one text, made beside the event loop."""

import asyncio
import gzip
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.exposition import choose_encoder, gzip_accepted
from prometheus_client.registry import Collector

from gateway.telemetry.compat import Aliases
from gateway.telemetry.gauges import Gauges, Reading

LEVEL = 1  # of gzip: a fifteenth of the size already


class Page(NamedTuple):
    """An answer to a scrape."""

    body: bytes
    headers: dict[str, str]


class Scraped(Collector):
    """Everything there is at one moment; the gauges were read before, on the loop that changes what they read."""

    def __init__(self, counted: CollectorRegistry, read: Sequence[Reading], aliases: Aliases | None) -> None:
        self.counted = counted
        self.gauges = Gauges(lambda: read)
        self.aliases = aliases

    def collect(self) -> Iterator[Metric]:
        """All families."""
        for family in self.counted.collect():
            yield family
            if self.aliases is not None:
                yield from self.aliases.of(family)
        yield from self.gauges.collect()


class Exposition:
    """Renders `/metrics`: the gauges are read on the loop, the text is made in a thread so that no request waits."""

    def __init__(
        self, counted: CollectorRegistry, read: Callable[[], Iterable[Reading]], aliases: Aliases | None = None
    ) -> None:
        self.counted = counted
        self.read = read
        self.aliases = aliases

    async def page(self, accept: str, encodings: str) -> Page:
        """The answer to a scrape with these `Accept` and `Accept-Encoding`."""
        scraped = Scraped(self.counted, list(self.read()), self.aliases)
        return await asyncio.to_thread(rendered, scraped, accept, encodings)


def rendered(scraped: Scraped, accept: str, encodings: str) -> Page:
    """The text of everything, in the format and the encoding that were asked for."""
    encoder, kind = choose_encoder(accept)
    body, headers = encoder(scraped), {"content-type": kind, "vary": "accept, accept-encoding"}
    if gzip_accepted(encodings):
        return Page(gzip.compress(body, LEVEL), {**headers, "content-encoding": "gzip"})
    return Page(body, headers)
