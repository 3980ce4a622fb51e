"""A provider of somebody's own that tells its credentials to whatever takes text."""

import json
import logging
import threading

import structlog

from gateway.providers.port import HttpCall
from gateway.providers.vllm import Vllm
from gateway.types import ChatRequest, Deployment


def fail(text: str) -> None:
    """Raise with a text."""
    raise RuntimeError(text)


class Careless(Vllm):
    """Fails before it asks anybody."""

    def call(self, request: ChatRequest, deployment: Deployment) -> HttpCall:
        """Raises RuntimeError, after every way to a log was taken."""
        sent = {"key": self.backend.api_key, **self.backend.headers}
        structlog.get_logger().debug("careless.called", sent=sent, dumped=json.dumps(sent))
        logging.getLogger("careless").warning("calls with %s, %r and %s", sent, str(sent).encode(), json.dumps(sent))
        thread = threading.Thread(target=fail, args=(f"in a thread: {sent}",))
        thread.start()
        thread.join()
        raise RuntimeError(f"in the request: {sent}")
