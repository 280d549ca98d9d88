"""Define and log what goes wrong on the bus."""

import logging

log = logging.getLogger(__name__)


class BusError(ConnectionError):
    """The bus cannot be used as asked; the text says what, where, and what to do."""


class BadMessage(ValueError):
    """Message parts that do not follow the schema; the text says why."""


def log_malformed(count: int, reason: BadMessage) -> None:
    """Log the first malformed message, the tenth, the hundredth: a flood of them must not flood the log."""
    if str(count).strip("0") == "1":
        log.warning("dropped a foreign or malformed message (%s); %d so far", reason, count)
