"""Define the errors of the bus, and log malformed messages."""

import logging

log = logging.getLogger(__name__)


class BusError(ConnectionError):
    """The bus cannot be used as requested; the text states what, where, and what to do."""


class BadMessage(ValueError):
    """Message parts do not follow the schema; the text states the reason."""


def log_malformed(count: int, reason: BadMessage) -> None:
    """Log the first malformed message, the tenth, the hundredth: a flood of them must not flood the log."""
    if str(count).strip("0") == "1":
        log.warning("dropped a foreign or malformed message (%s); %d so far", reason, count)
