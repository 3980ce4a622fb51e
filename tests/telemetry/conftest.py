"""Logging is set up for a whole process: whatever a test changes of it is put back."""

import logging
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    uvicorn, root = logging.getLogger("uvicorn.error"), logging.getLogger()
    filters, handlers, level = list(uvicorn.filters), list(root.handlers), root.level
    yield
    uvicorn.filters, root.handlers, root.level = filters, handlers, level
    structlog.reset_defaults()
