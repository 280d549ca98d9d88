"""Actions in a stream: when they happen, and when they are detected."""

from typing import NamedTuple


class Span(NamedTuple):
    """An action, in seconds on the source's clock."""

    label: str
    start_s: float
    end_s: float


class Detection(NamedTuple):
    """A detected action, and when its start was reported."""

    span: Span
    reported_s: float
