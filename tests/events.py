"""Actions as they came out against actions as they should be: event F1."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple


class Span(NamedTuple):
    """An action, in seconds on the source's clock."""

    label: str
    start_s: float
    end_s: float


def spans(actions: Iterable[dict[str, Any]]) -> list[Span]:
    """The ended actions among the lines of an actions.jsonl."""
    return [Span(a["label"], a["start_s"], a["end_s"]) for a in actions if a["event"] == "ended"]


def overlap(one: Span, other: Span) -> float:
    """Intersection over union of two spans."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return max(0.0, shared) / (max(one.end_s, other.end_s) - min(one.start_s, other.start_s))


def f1(found: Sequence[Span], true: Sequence[Span], at_least: float = 0.5) -> tuple[float, list[Span]]:
    """The F1 of found actions, and those invented; one counts when label and time overlap by `at_least`."""
    open_spans, invented = list(true), []
    for span in found:
        match = next((t for t in open_spans if t.label == span.label and overlap(span, t) >= at_least), None)
        if match is None:
            invented.append(span)
        else:
            open_spans.remove(match)
    hits = len(found) - len(invented)
    return (2 * hits / (len(found) + len(true)) if found or true else 1.0), invented
