"""The actions in what the logger wrote."""

from collections.abc import Iterable
from typing import Any

from models.evaluation.event_metrics import f1
from models.simulation.spans import Span

__all__ = ["Span", "f1", "spans"]


def spans(actions: Iterable[dict[str, Any]]) -> list[Span]:
    """The ended actions among the lines of an actions.jsonl."""
    return [Span(a["label"], a["start_s"], a["end_s"]) for a in actions if a["event"] == "ended"]
