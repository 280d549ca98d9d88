"""Actions as they came out and as they should be in; how well they agree, and how late they were told, out."""

from collections.abc import Sequence as Row
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from models.simulation.spans import Detection, Span

OVERLAPS: Final = (0.1, 0.25, 0.5)  # intersection over union, as segmentation papers have it since Lea et al. 2017


class Delay(msgspec.Struct, kw_only=True, frozen=True):
    """Seconds until an action is told, over all that were found."""

    p50: float
    p95: float


class EventScores(msgspec.Struct, kw_only=True, frozen=True):
    """What is said about a stream."""

    minutes: float
    actions: int  # that it holds
    found: int
    f1: dict[str, float]  # by the overlap that counts as found
    edit: float  # 1: the right labels in the right order
    false_per_minute: float  # actions told that match no true one, not even by the least of OVERLAPS
    from_start: Delay | None  # None: nothing was found
    from_end: Delay | None  # below 0: told while the action still goes on


def judge(found: Row[Detection], true: Row[Span], seconds: float) -> EventScores:
    """Everything about one stream that lasts so long."""
    spans, hits = [one.span for one in found], paired(found, true)
    return EventScores(
        minutes=seconds / 60,
        actions=len(true),
        found=len(hits),
        f1={str(least): f1(spans, true, least)[0] for least in OVERLAPS},
        edit=edit([span.label for span in spans], [span.label for span in true]),
        false_per_minute=(len(found) - len(hits)) / max(seconds / 60, 1e-9),
        from_start=_delay([one.reported_s - span.start_s for one, span in hits]),
        from_end=_delay([one.reported_s - span.end_s for one, span in hits]),
    )


def paired(found: Row[Detection], true: Row[Span]) -> list[tuple[Detection, Span]]:
    """What was found with what it stands for, where these overlap by the least of OVERLAPS."""
    places = match([one.span for one in found], true, OVERLAPS[0])
    return [(one, true[place]) for one, place in zip(found, places, strict=True) if place is not None]


def overlap(one: Span, other: Span) -> float:
    """Intersection over union of two spans."""
    shared = min(one.end_s, other.end_s) - max(one.start_s, other.start_s)
    return shared / (max(one.end_s, other.end_s) - min(one.start_s, other.start_s)) if shared > 0 else 0.0


def match(found: Row[Span], true: Row[Span], at_least: float) -> list[int | None]:
    """For each found span the true one it stands for: of its label, overlapping most, and not yet taken; or None."""
    free: dict[str, list[int]] = {}
    for place, span in enumerate(true):
        free.setdefault(span.label, []).append(place)
    matches: list[int | None] = []
    for span in found:
        overlaps = {place: overlap(span, true[place]) for place in free.get(span.label, ())}
        best = max(overlaps, key=overlaps.__getitem__, default=None)
        if best is not None and overlaps[best] < at_least:
            best = None
        if best is not None:
            free[span.label].remove(best)
        matches.append(best)
    return matches


def f1(found: Row[Span], true: Row[Span], at_least: float = 0.5) -> tuple[float, list[Span]]:
    """The F1 of found actions, and those invented; one counts when label and time overlap by `at_least`."""
    matches = match(found, true, at_least)
    invented = [span for span, place in zip(found, matches, strict=True) if place is None]
    hits = len(found) - len(invented)
    return (2 * hits / (len(found) + len(true)) if found or true else 1.0), invented


def edit(found: Row[str], true: Row[str]) -> float:
    """1 less the Levenshtein distance of two rows of labels, as a share of the longer: the segmental edit score."""
    longer = max(len(found), len(true))
    return 1.0 - _distance(found, true) / longer if longer else 1.0


def _distance(one: Row[str], other: Row[str]) -> int:
    # A row of the usual table at once: an insertion carries on the least to its left.
    labels, steps = np.array([*other], object), np.arange(len(other) + 1)
    row: NDArray[np.int_] = steps
    for number, label in enumerate(one, start=1):
        replaced = row[:-1] + (labels != label)
        below = np.concatenate([[number], np.minimum(row[1:] + 1, replaced)])
        row = np.minimum.accumulate(below - steps) + steps
    return int(row[-1])


def _delay(seconds: Row[float]) -> Delay | None:
    if not seconds:
        return None
    p50, p95 = np.percentile(seconds, (50, 95)).tolist()
    return Delay(p50=p50, p95=p95)
